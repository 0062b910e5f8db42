//! Requests that are not for the metrics are handed over, byte for byte.

use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{self, Receiver, Sender};

use crate::client::{Client, PAGE, PATIENCE, registry};
use stethoscope::endpoint::{Builder, ConnectionHandler, Endpoint};

struct ToTest(Sender<OwnedFd>);

impl ConnectionHandler for ToTest {
    fn handle(&mut self, connection: OwnedFd) -> Result<(), OwnedFd> {
        self.0.send(connection).map_err(|refused| refused.0)
    }
}

struct Host {
    endpoint: Endpoint,
    taken: Receiver<OwnedFd>,
}

impl Host {
    fn new() -> Self {
        let (sender, taken) = mpsc::channel();
        let endpoint = Builder::new(&registry())
            .listen("127.0.0.1:0")
            .self_metrics(true)
            .connection_handler(ToTest(sender))
            .spawn()
            .unwrap();
        Self { endpoint, taken }
    }

    /// The next connection handed over, as a host would go on with it.
    fn take(&self) -> Client {
        let stream = TcpStream::from(self.taken.recv_timeout(PATIENCE).expect("a hand-over"));
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client::over(stream)
    }
}

#[test]
fn other_requests_are_handed_over_with_every_byte() {
    let host = Host::new();
    for request in [
        "GET /status HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET /metricsx HTTP/1.1\r\n\r\n",
        "GET /metrics/targets HTTP/1.1\r\n\r\n",
        "GET /METRICS HTTP/1.1\r\n\r\n",
        "GET http://a/metrics HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /metrics HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\r\nOPTIONS * HTTP/1.1\r\n\r\n",
    ] {
        let mut client = Client::of(&host.endpoint);
        client.send(request);
        client.stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut taken = host.take();
        assert_eq!(taken.read_to_end(), request);
        taken.send("the host's own answer");
        drop(taken);
        assert_eq!(client.read_to_end(), "the host's own answer");
    }
}

#[test]
fn request_is_handed_over_as_soon_as_it_cannot_be_ours() {
    let host = Host::new();
    for prefix in [
        "P",
        "GE/",
        "GET /s",
        "GET /metrics/t",
        "GETS",
        "HEAD /metrics2",
        "\r\nD",
        "OPTIONS",
    ] {
        let mut client = Client::of(&host.endpoint);
        let (last, before) = prefix.as_bytes().split_last().unwrap();
        client.send(before);
        std::thread::sleep(std::time::Duration::from_millis(2));
        client.send([*last]);
        client.stream.shutdown(std::net::Shutdown::Write).unwrap();
        if prefix == "GE/" {
            assert_eq!(client.answer().code, 400, "no method has a slash");
        } else {
            assert_eq!(host.take().read_to_end(), prefix);
        }
    }
}

#[test]
fn requests_for_the_metrics_are_not_handed_over() {
    let host = Host::new();
    let mut client = Client::of(&host.endpoint);
    for request in [
        "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /metrics/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /metrics?x HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\n\r\nGET /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        client.send(request);
        assert!(client.answer().body.starts_with(PAGE), "{request:?}");
    }
    client.send("HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().code, 200);
    assert!(host.taken.try_recv().is_err());
}

#[test]
fn connection_is_handed_over_after_a_request_for_the_metrics() {
    let host = Host::new();
    let metrics = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
    let status = "GET /status HTTP/1.1\r\nHost: a\r\n\r\n";

    let mut client = Client::of(&host.endpoint);
    client.send(metrics);
    assert_eq!(client.answer().code, 200);
    client.send(status);
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(host.take().read_to_end(), status);

    let mut at_once = Client::of(&host.endpoint);
    at_once.send([metrics, metrics, status, metrics].concat());
    at_once.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(at_once.answer().code, 200);
    assert_eq!(at_once.answer().code, 200);
    let mut taken = host.take();
    assert_eq!(
        taken.read_to_end(),
        [status, metrics].concat(),
        "later requests go along"
    );
    drop(taken);
    at_once.expect_end();
}

#[test]
fn bytes_that_are_not_http_are_refused_and_not_handed_over() {
    let host = Host::new();
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01"[..],
        b"\xff\xff",
        b" ",
        b"{}",
        b"\n",
        b"abc\r\n",
        b"\0",
    ] {
        let mut client = Client::of(&host.endpoint);
        client.send(garbage);
        client.stream.shutdown(std::net::Shutdown::Write).unwrap();
        // Cut in pieces, `abc` could have become a method.
        let text = client.read_to_end();
        assert!(
            text.starts_with("HTTP/1.1 400 Bad Request\r\n"),
            "{garbage:?}: {text}"
        );
    }
    assert!(host.taken.try_recv().is_err());
}

#[test]
fn invalid_requests_for_the_metrics_are_refused_and_not_handed_over() {
    let host = Host::new();
    for (request, code) in [
        (format!("GET /metrics?{}", "x".repeat(1 << 20)), 414),
        (
            format!("GET /metrics HTTP/1.1\r\n{}", "X: y\r\n".repeat(1 << 17)),
            431,
        ),
        ("\r\n".repeat(1 << 19), 414),
        (
            "GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n".to_owned(),
            400,
        ),
        ("GET /metrics HTTP/1.1\n\n".to_owned(), 400),
        ("GET /metrics HTTP/3.0\r\n\r\n".to_owned(), 505),
    ] {
        let mut client = Client::of(&host.endpoint);
        // The endpoint may close before all of it is sent.
        let _ = std::io::Write::write_all(&mut client.stream, request.as_bytes());
        let answer = client.read_to_end();
        assert!(
            answer.is_empty() || answer.starts_with(&format!("HTTP/1.1 {code} ")),
            "{answer}"
        );
        assert_eq!(Client::of(&host.endpoint).get("/metrics").code, 200);
    }
    assert!(host.taken.try_recv().is_err());
}

#[test]
fn client_is_sent_503_if_the_handler_refuses_its_connection() {
    let Host { endpoint, taken } = Host::new();
    drop(taken);
    let mut client = Client::of(&endpoint);
    client.send("GET /status HTTP/1.1\r\nHost: a\r\n\r\n");
    let text = client.read_to_end();
    assert!(
        text.is_empty() || text.starts_with("HTTP/1.1 503 "),
        "{text}"
    );
    let page = Client::of(&endpoint).get("/metrics").body;
    let dropped = crate::client::sample(
        &page,
        "stethoscope_http_connections_dropped_total{reason=\"hand_off\"}",
    );
    assert_eq!(dropped, 1.0);
}

#[test]
fn handler_that_panics_loses_one_connection() {
    struct Panics;
    impl ConnectionHandler for Panics {
        fn handle(&mut self, _: OwnedFd) -> Result<(), OwnedFd> {
            panic!("a handler that fails, in a test");
        }
    }
    let builder = Builder::new(&registry()).listen("127.0.0.1:0");
    let endpoint = builder.connection_handler(Panics).spawn().unwrap();
    for _ in 0..2 {
        let mut client = Client::of(&endpoint);
        client.send("GET /status HTTP/1.1\r\nHost: a\r\n\r\n");
        client.expect_end();
        assert_eq!(Client::of(&endpoint).get("/metrics").code, 200);
    }
}
