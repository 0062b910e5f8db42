//! Whatever clients do, the endpoint holds no more than its bounds, and a
//! well-behaved scraper is answered.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use crate::client::{Client, eventually, registry, sample, wide_registry};
use stethoscope::Registry;
use stethoscope::endpoint::{Builder, Endpoint, Freshness, Limits, Notifier};
use stethoscope::exposition::Format;

fn bounded(registry: &Registry, limits: Limits) -> Endpoint {
    let builder = Builder::new(registry).listen("127.0.0.1:0").unwrap();
    builder.limits(limits).metrics(true).spawn().unwrap()
}

fn dropped(endpoint: &Endpoint, reason: &str) -> f64 {
    let family = "stethoscope_http_connections_dropped_total";
    let page = Client::of(endpoint)
        .get(&format!("/metrics?name[]={family}"))
        .body;
    sample(&page, &format!("{family}{{reason=\"{reason}\"}}"))
}

#[test]
fn neither_idle_nor_silent_nor_slow_clients_keep_a_scraper_out() {
    let endpoint = bounded(
        &registry(),
        Limits {
            connections: 20,
            ..Limits::default()
        },
    );
    let mut crowd = Vec::new();
    for n in 0..200 {
        let mut client = Client::of(&endpoint);
        match n % 3 {
            0 => {}
            1 => {
                client.send("GET /met");
            }
            _ => {
                assert_eq!(client.get("/metrics").code, 200);
            }
        }
        crowd.push(client);
    }
    let page = Client::of(&endpoint).get("/metrics").body;
    assert!(sample(&page, "stethoscope_http_connections") <= 20.0);
    assert!(dropped(&endpoint, "connections") >= 180.0);
}

/// Lets every scrape wait.
struct Never;

impl Freshness for Never {
    fn request(&self, _: Notifier) -> Option<Duration> {
        Some(Duration::from_secs(3600))
    }
}

#[test]
fn who_is_refused_makes_no_room_for_the_next() {
    let registry = registry();
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let builder = Builder::new(&registry).listen("127.0.0.1:0").unwrap();
    let builder = builder.limits(limits).metrics(true);
    let endpoint = builder.freshness(Arc::new(Never)).spawn().unwrap();
    let scrapes: Vec<Client> = (0..20)
        .map(|_| {
            let mut client = Client::of(&endpoint);
            client.send("GET /metrics HTTP/1.0\r\n\r\n");
            client
        })
        .collect();
    let page = || {
        let page = registry.scraper().scrape(Format::Text).to_vec();
        String::from_utf8(page).unwrap()
    };
    eventually("all are let in or refused", || {
        sample(&page(), "stethoscope_http_connections_accepted_total") == 20.0
    });
    // Two that wait, and one that is still to read that it was refused.
    let open = sample(&page(), "stethoscope_http_connections");
    assert!(open <= 3.0, "{open} are open");
    drop(scrapes);
}

#[test]
fn an_idle_connection_goes_before_one_that_was_just_opened() {
    let endpoint = bounded(
        &registry(),
        Limits {
            connections: 2,
            ..Limits::default()
        },
    );
    let mut idle = Client::of(&endpoint);
    assert_eq!(idle.get("/metrics").code, 200);
    let mut fresh = Client::of(&endpoint);
    assert_eq!(Client::of(&endpoint).get("/metrics").code, 200);
    idle.expect_end();
    assert_eq!(fresh.get("/metrics").code, 200);
}

#[test]
fn an_idle_connection_ends_after_its_time() {
    let endpoint = bounded(
        &registry(),
        Limits {
            idle_time: Duration::from_millis(30),
            ..Limits::default()
        },
    );
    let mut client = Client::of(&endpoint);
    assert_eq!(client.get("/metrics").code, 200);
    client.expect_end();
    assert_eq!(dropped(&endpoint, "idle_time"), 1.0);
}

#[test]
fn a_client_that_does_not_read_is_cut_and_delays_nobody() {
    let registry = wide_registry();
    let limits = Limits {
        write_time: Duration::from_millis(200),
        ..Limits::default()
    };
    let endpoint = bounded(&registry, limits);
    let mut stuck = Client::of(&endpoint);
    stuck.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    stuck.head();
    let small = "HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
    for _ in 0..5 {
        assert_eq!(Client::of(&endpoint).send(small).head().code, 200);
    }
    eventually("the cut", || dropped(&endpoint, "write_time") >= 1.0);
    let mut rest = Vec::new();
    let cut = stuck.stream.read_to_end(&mut rest);
    assert!(
        cut.is_err() || rest.len() < 16_000_000,
        "{} bytes came",
        rest.len()
    );
}

#[test]
fn pages_held_for_slow_readers_are_bounded_and_the_slowest_loses_its_own() {
    let registry = wide_registry();
    let endpoint = bounded(
        &registry,
        Limits {
            pages: 3,
            ..Limits::default()
        },
    );
    let mut stuck = Vec::new();
    for _ in 0..10 {
        let mut client = Client::of(&endpoint);
        client.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.head().code, 200);
        stuck.push(client);
    }
    assert_eq!(dropped(&endpoint, "pages"), 7.0);
    // The last three may go on, the earlier ones have ended.
    let whole = 16_000_000;
    for (n, client) in stuck.iter_mut().enumerate() {
        let rest = client.read_up_to(whole);
        assert_eq!(rest >= whole, n >= 7, "client {n} got {rest} bytes");
    }
}
