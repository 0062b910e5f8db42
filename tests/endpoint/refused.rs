//! Error responses.

use std::time::Duration;

use crate::client::{Client, PAGE, registry, serve};
use stethoscope::endpoint::{Builder, Limits};

#[test]
fn unknown_path_is_told_where_the_metrics_are() {
    let endpoint = serve(&registry());
    let mut client = Client::of(&endpoint);
    for target in [
        "/metric",
        "/metricsx",
        "/metrics//",
        "//metrics",
        "/%6detrics",
        "/..",
        "*",
    ] {
        let answer = client.get(target);
        assert_eq!(answer.code, 404, "{target}");
        assert!(answer.body.contains("/metrics"), "{}", answer.body);
    }
    assert_eq!(client.get("/metrics").code, 200, "the connection is kept");
}

#[test]
fn method_other_than_get_and_head_is_refused() {
    let endpoint = serve(&registry());
    let mut client = Client::of(&endpoint);
    for request in [
        "POST /metrics",
        "DELETE /metrics/",
        "get /metrics",
        "OPTIONS *",
        "BREW /metrics?x",
    ] {
        client.send(format!("{request} HTTP/1.1\r\nHost: test\r\n\r\n"));
        let answer = client.answer();
        assert_eq!(
            (answer.code, answer.header("Allow")),
            (405, Some("GET, HEAD")),
            "{request}"
        );
        assert!(answer.body.contains("GET"), "{}", answer.body);
    }
    assert_eq!(client.get("/metrics").code, 200, "the connection is kept");
}

#[test]
fn method_that_sends_a_body_is_refused_as_without_one() {
    let endpoint = serve(&registry());
    let mut client = Client::of(&endpoint);
    client.send("POST /metrics HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\n\r\nx");
    let answer = client.answer();
    assert_eq!(
        (
            answer.code,
            answer.header("Allow"),
            answer.header("Connection")
        ),
        (405, Some("GET, HEAD"), Some("close"))
    );
    client.expect_end();
}

#[test]
fn accept_header_that_refuses_every_format_gets_406() {
    let endpoint = serve(&registry());
    let mut client = Client::of(&endpoint);
    let answer = client.ask("/metrics", "Accept: */*;q=0");
    assert_eq!(answer.code, 406);
    for format in [
        "text/plain (versions 0.0.4 and 1.0.0)",
        "application/openmetrics-text (version 1.0.0)",
        "application/vnd.google.protobuf",
    ] {
        assert!(answer.body.contains(format), "{}", answer.body);
    }
    assert_eq!(client.get("/metrics").code, 200, "the connection is kept");
}

#[test]
fn openmetrics2_is_named_as_available_where_it_is_switched_on() {
    let builder = Builder::new(&registry()).listen("127.0.0.1:0");
    let endpoint = builder.openmetrics2(true).spawn().unwrap();
    let answer = Client::of(&endpoint).ask("/metrics", "Accept: */*;q=0");
    assert_eq!(answer.code, 406);
    assert!(
        answer.body.contains("versions 1.0.0 and 2.0.0"),
        "{}",
        answer.body
    );
}

/// Each of these could be read as one request by the endpoint and as another by a
/// proxy in front of it. A request follows each that must not be answered.
#[test]
fn ambiguous_request_is_refused_and_its_connection_closed() {
    let endpoint = serve(&registry());
    let next = "GET /metrics HTTP/1.1\r\nHost: smuggled\r\n\r\n";
    for (request, code) in [
        // Bodies, and lengths that say two things.
        (
            "GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 43\r\n\r\n",
            400,
        ),
        (
            "GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 43\r\n\r\n",
            400,
        ),
        (
            "GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
            400,
        ),
        (
            "GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 0\r\n\r\n",
            400,
        ),
        (
            "GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: +0\r\n\r\n",
            400,
        ),
        (
            "GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: -0\r\n\r\n",
            400,
        ),
        (
            "GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0x0\r\n\r\n",
            400,
        ),
        (
            "GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
            400,
        ),
        (
            "GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length : 0\r\n\r\n",
            400,
        ),
        (
            "GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 43\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        (
            "GET /metrics HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "GET /metrics HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
            400,
        ),
        (
            "GET /metrics HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\x0bchunked\r\n\r\n",
            400,
        ),
        (
            "GET /metrics HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n",
            400,
        ),
        (
            "GET /metrics HTTP/1.0\r\nTransfer-Encoding: identity\r\n\r\n",
            400,
        ),
        (
            "POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 43\r\n\r\n",
            404,
        ),
        (
            "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 43\r\n\r\n",
            405,
        ),
        (
            "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            405,
        ),
        (
            "GET /metrics HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 43\r\n\r\n",
            400,
        ),
        // Other line endings.
        ("GET /metrics HTTP/1.1\nHost: a\n\n", 400),
        ("GET /metrics HTTP/1.1\r\nHost: a\n\r\n", 400),
        (
            "GET /metrics HTTP/1.1\r\nHost: a\r\nX: y\n\nZ: a\r\n\r\n",
            400,
        ),
        ("GET /metrics HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", 400),
        (
            "GET /metrics HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
            400,
        ),
        ("GET /metrics HTTP/1.1\r\n Host: a\r\n\r\n", 400),
        ("\nGET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        // Bytes that other readers ignore or end a line at.
        ("GET /metrics HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", 400),
        ("GET /metrics\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /metrics HTTP/1.1\r\nHost: a\r\nX\0: y\r\n\r\n", 400),
        ("GET /metrics HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400),
        ("GET /metrics HTTP/1.1\r\nHost: a\r\n: no name\r\n\r\n", 400),
        // The host.
        ("GET /metrics HTTP/1.1\r\n\r\n", 400),
        ("GET /metrics HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET /metrics HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET /metrics HTTP/1.1\r\nHost: a@b/c\r\n\r\n", 400),
        // Invalid request lines.
        ("GET  /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /metrics  HTTP/1.1\r\nHost: a\r\n\r\n", 505),
        ("GET\t/metrics\tHTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /metrics\r\n\r\n", 400),
        ("GET /metrics#x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET http:///metrics HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (" GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("G@T /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("\x16\x03\x01\x02\0\x01", 400),
        // Other versions.
        ("GET /metrics HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("GET /metrics HTTP/0.9\r\nHost: a\r\n\r\n", 505),
        ("GET /metrics http/1.1\r\nHost: a\r\n\r\n", 505),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        // Unknown expectations.
        (
            "GET /metrics HTTP/1.1\r\nHost: a\r\nExpect: a-miracle\r\n\r\n",
            417,
        ),
    ] {
        let mut client = Client::of(&endpoint);
        client.send(format!("{request}{next}"));
        let answer = client.answer();
        assert_eq!(answer.code, code, "{request:?} was told {}", answer.body);
        assert_eq!(answer.header("Connection"), Some("close"), "{request:?}");
        assert!(
            answer.body.ends_with(".\n"),
            "{:?} is not a sentence",
            answer.body
        );
        client.expect_end();
    }
}

#[test]
fn head_longer_than_the_limit_is_refused_before_it_is_whole() {
    let limits = Limits::default().header_bytes(2000);
    let endpoint = Builder::new(&registry())
        .listen("127.0.0.1:0")
        .limits(limits)
        .spawn()
        .unwrap();
    let line = "GET /metrics HTTP/1.1\r\nHost: test\r\n";

    let mut client = Client::of(&endpoint);
    let room = 2000 - line.len() - "X: \r\n\r\n".len();
    client.send(format!("{line}X: {}\r\n\r\n", "y".repeat(room)));
    assert_eq!(client.answer().body, PAGE, "the limit itself is allowed");

    for (request, code) in [
        (format!("{line}X: {}\r\n\r\n", "y".repeat(room + 1)), 431),
        (format!("{line}X: {}", "y".repeat(1 << 20)), 431),
        (format!("{line}{}", "X: y\r\n".repeat(1 << 18)), 431),
        (format!("{line}{}\r\n", "X: y\r\n".repeat(100)), 431),
        (format!("GET /metrics?{}", "x".repeat(1 << 20)), 414),
        (format!("GET /{}", "x".repeat(1 << 20)), 414),
        ("x".repeat(1 << 20), 414),
        ("\r\n".repeat(1 << 20), 414),
    ] {
        let mut client = Client::of(&endpoint);
        // The endpoint may close before all of it is sent.
        let _ = std::io::Write::write_all(&mut client.stream, request.as_bytes());
        let answer = client.read_to_end();
        assert!(
            answer.is_empty() || answer.starts_with(&format!("HTTP/1.1 {code} ")),
            "{answer}"
        );
    }
}

#[test]
fn head_that_does_not_arrive_is_timed_out() {
    let limits = Limits::default().header_time(Duration::from_millis(50));
    let endpoint = Builder::new(&registry())
        .listen("127.0.0.1:0")
        .limits(limits)
        .spawn()
        .unwrap();

    let mut silent = Client::of(&endpoint);
    let mut begun = Client::of(&endpoint);
    begun.send("GET /metrics HT");
    assert_eq!(begun.answer().code, 408);
    begun.expect_end();
    silent.expect_end();

    let mut later = Client::of(&endpoint);
    assert_eq!(later.get("/metrics").code, 200);
    later.send("GET /metrics");
    assert_eq!(later.answer().code, 408, "each request has its time");
    later.expect_end();
}

#[test]
fn truncated_request_is_refused_at_once() {
    let endpoint = serve(&registry());
    let mut client = Client::of(&endpoint);
    client.send("GET /metrics HTTP/1.1\r\nHost: te");
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client.answer().code, 400);
    client.expect_end();
}
