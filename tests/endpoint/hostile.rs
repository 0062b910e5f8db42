//! Clients that mean harm, or that are broken in the same way.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::net::sockopt;

use crate::client::{Client, PAGE, eventually, registry, sample, serve, wide_registry};
use stethoscope::endpoint::{Builder, ConnectionHandler, Endpoint, Limits};
use stethoscope::exposition::Format;

/// Closes every connection that it is given.
struct Drops;

impl ConnectionHandler for Drops {
    fn handle(&mut self, _: OwnedFd) -> Result<(), OwnedFd> {
        Ok(())
    }
}

/// An endpoint alone, and one with a handler for other requests.
fn both() -> [Endpoint; 2] {
    let builder = || Builder::new(&registry()).listen("127.0.0.1:0");
    [
        builder().spawn().unwrap(),
        builder().connection_handler(Drops).spawn().unwrap(),
    ]
}

/// Closes the connection with a reset.
fn reset(client: Client) {
    sockopt::set_socket_linger(client.stream.as_fd(), Some(Duration::ZERO)).unwrap();
}

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % bound
    }
}

#[test]
fn mixed_requests_in_any_pieces_are_answered_in_order() {
    let requests = [
        ("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 200, PAGE),
        ("HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 200, ""),
        ("GET /metrics/?x HTTP/1.2\r\nHost: a\r\n\r\n", 200, PAGE),
        (
            "\r\nGET /metrics?name[]=x HTTP/1.1\r\nHost: a\r\n\r\n",
            200,
            "",
        ),
        (
            "GET /metrics HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            200,
            PAGE,
        ),
        (
            "GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: */*;q=0\r\n\r\n",
            406,
            "The Accept",
        ),
    ];
    let mut numbers = Numbers(1);
    for endpoint in both() {
        for _ in 0..20 {
            let chosen: Vec<_> = (0..50)
                .map(|_| requests[numbers.below(requests.len())])
                .collect();
            let stream: String = chosen.iter().map(|(request, ..)| *request).collect();
            let mut client = Client::of(&endpoint);
            let mut sending = client.stream.try_clone().unwrap();
            let mut rest = stream.as_bytes();
            let mut pieces = Vec::new();
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(1 + numbers.below(rest.len().min(300)));
                pieces.push(piece.to_vec());
                rest = after;
            }
            let sender = std::thread::spawn(move || {
                for piece in pieces {
                    sending.write_all(&piece).unwrap();
                }
                sending.shutdown(Shutdown::Write).unwrap();
            });
            for (request, code, body) in chosen {
                let answer = match request.starts_with("HEAD") {
                    true => client.head(),
                    false => client.answer(),
                };
                assert_eq!(answer.code, code, "{request:?}");
                assert!(
                    answer.body.starts_with(body),
                    "{request:?}: {}",
                    answer.body
                );
            }
            client.expect_end();
            sender.join().unwrap();
        }
    }
}

#[test]
fn clients_that_reset_their_connections_leave_nothing() {
    let registry = wide_registry();
    for n in 0..20 {
        registry.gauge(&format!("other{n}"), "A family.").unwrap();
    }
    let builder = Builder::new(&registry).listen("127.0.0.1:0");
    let endpoint = builder.self_metrics(true).spawn().unwrap();
    for n in 0..200 {
        let mut client = Client::of(&endpoint);
        let family = n % 20;
        client.send(match n % 4 {
            0 => "GET /metr".to_owned(),
            1 => format!("GET /metrics?name[]=other{family} HTTP/1.1\r\nHost: a\r\n\r\n"),
            2 => format!("GET /metrics?name[]=wide&name[]=other{family} HTTP/1.0\r\n\r\n"),
            _ => "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100),
        });
        reset(client);
    }
    eventually("the end of all connections", || {
        let page = registry.scraper().scrape(Format::Text).to_vec();
        let page = String::from_utf8_lossy(&page[page.len() - 20_000..]).into_owned();
        sample(&page, "stethoscope_http_connections") == 0.0
    });
    let page = Client::of(&endpoint).get("/metrics?name[]=answer").body;
    assert_eq!(page, PAGE);
}

#[test]
fn unknown_methods_and_garbage_are_answered_and_never_kill_the_endpoint() {
    let mut numbers = Numbers(2);
    for endpoint in both() {
        for _ in 0..200 {
            let mut client = Client::of(&endpoint);
            let len = 1 + numbers.below(2000);
            let alphabet = b"GET /metricsHEAD?HTTP1. \r\n\r\n:\0\xff#%";
            let garbage: Vec<u8> = (0..len)
                .map(|_| alphabet[numbers.below(alphabet.len())])
                .collect();
            // The endpoint may close before all of it is sent.
            let _ = client.stream.write_all(&garbage);
            let _ = client.stream.shutdown(Shutdown::Write);
            let mut response = Vec::new();
            let _ = client.stream.read_to_end(&mut response);
            let is_http = response.is_empty() || response.starts_with(b"HTTP/1.1 ");
            assert!(is_http, "{garbage:?}");
        }
        assert_eq!(Client::of(&endpoint).get("/metrics").code, 200);
    }
}

#[test]
fn drip_readers_of_different_pages_do_not_keep_a_scraper_out() {
    let registry = wide_registry();
    for n in 0..2 {
        registry.gauge(&format!("other{n}"), "A family.").unwrap();
    }
    let builder = Builder::new(&registry).listen("127.0.0.1:0");
    let endpoint = builder.limits(Limits::default().pages(2)).spawn().unwrap();
    let mut drips: Vec<Client> = (0..2)
        .map(|n| {
            let mut client = Client::of(&endpoint);
            let target = format!("/metrics?name[]=wide&name[]=other{n}");
            client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
            client.head();
            client
        })
        .collect();
    let scraper = std::thread::spawn({
        let mut client = Client::of(&endpoint);
        move || client.get("/metrics").code
    });
    // One byte at a time, for longer than a reader that progresses is given.
    while !scraper.is_finished() {
        for drip in &mut drips {
            let _ = drip.stream.read(&mut [0; 1]);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(scraper.join().unwrap(), 200);
}

#[test]
fn connections_beyond_every_limit_leave_the_endpoint_answering() {
    let endpoint = serve(&registry());
    let crowd: Vec<Client> = (0..400)
        .map(|n| {
            let mut client = Client::of(&endpoint);
            if n % 2 == 0 {
                client.send("GET /metrics HTTP/1.1\r\nX");
            }
            client
        })
        .collect();
    for _ in 0..5 {
        assert_eq!(Client::of(&endpoint).get("/metrics").body, PAGE);
    }
    drop(crowd);
}
