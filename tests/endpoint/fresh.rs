//! Scrapes that wait for fresh values, and for no longer than they were told.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::client::{Client, PATIENCE, registry, sample, wide_registry};
use stethoscope::endpoint::{Builder, Endpoint, Freshness, Notifier};

/// Tells the test of each request, and waits as long as it was told.
struct Asked {
    requests: Mutex<Sender<Notifier>>,
    wait: Option<Duration>,
}

impl Freshness for Asked {
    fn request(&self, notify: Notifier) -> Option<Duration> {
        self.requests.lock().unwrap().send(notify).unwrap();
        self.wait
    }
}

fn endpoint(
    registry: &stethoscope::Registry,
    wait: Option<Duration>,
) -> (Endpoint, Receiver<Notifier>) {
    let (requests, asked) = mpsc::channel();
    let freshness = Arc::new(Asked {
        requests: Mutex::new(requests),
        wait,
    });
    let builder = Builder::new(registry).listen("127.0.0.1:0").unwrap();
    (builder.freshness(freshness).spawn().unwrap(), asked)
}

const FOREVER: Option<Duration> = Some(Duration::from_secs(3600));

#[test]
fn a_scrape_shows_the_values_that_were_made_for_it() {
    let registry = registry();
    let gauge = registry.gauge("fresh", "Set on request.").unwrap();
    let (endpoint, asked) = endpoint(&registry, FOREVER);
    let mut client = Client::of(&endpoint);
    for value in 1..=20 {
        client.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
        let notifier = asked.recv_timeout(PATIENCE).unwrap();
        gauge.set(value);
        notifier.ready();
        assert_eq!(sample(&client.answer().body, "fresh"), value as f64);
    }
}

#[test]
fn scrapes_that_wait_together_share_one_request() {
    let registry = registry();
    let (endpoint, asked) = endpoint(&registry, FOREVER);
    let mut clients: Vec<Client> = (0..50).map(|_| Client::of(&endpoint)).collect();
    clients[0].send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    let notifier = asked.recv_timeout(PATIENCE).unwrap();
    for client in &mut clients[1..] {
        client.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    // Others go on meanwhile, and this one comes after all of them.
    assert_eq!(Client::of(&endpoint).get("/nothing").code, 404);
    notifier.ready();
    for client in &mut clients {
        assert_eq!(client.answer().code, 200);
    }
    assert!(asked.try_recv().is_err(), "nobody was to ask again");
}

#[test]
fn a_scrape_waits_no_longer_than_it_was_told() {
    let registry = registry();
    let (endpoint, asked) = endpoint(&registry, Some(Duration::from_millis(20)));
    let mut client = Client::of(&endpoint);
    assert_eq!(client.get("/metrics").code, 200);
    let too_late = asked.recv_timeout(PATIENCE).unwrap();

    client.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    let second = asked.recv_timeout(PATIENCE).unwrap();
    too_late.ready();
    second.ready();
    assert_eq!(client.answer().code, 200);
}

#[test]
fn an_answer_to_an_earlier_request_is_none_to_this() {
    let registry = registry();
    let (requests, asked) = mpsc::channel();
    struct OnceShort(Mutex<Sender<Notifier>>, std::sync::atomic::AtomicBool);
    impl Freshness for OnceShort {
        fn request(&self, notify: Notifier) -> Option<Duration> {
            self.0.lock().unwrap().send(notify).unwrap();
            let first = !self.1.swap(true, std::sync::atomic::Ordering::Relaxed);
            Some(if first {
                Duration::ZERO
            } else {
                Duration::from_secs(3600)
            })
        }
    }
    let freshness = Arc::new(OnceShort(Mutex::new(requests), false.into()));
    let gauge = registry.gauge("fresh", "Set on request.").unwrap();
    let builder = Builder::new(&registry).listen("127.0.0.1:0").unwrap();
    let endpoint = builder.freshness(freshness).spawn().unwrap();
    let mut client = Client::of(&endpoint);
    assert_eq!(sample(&client.get("/metrics").body, "fresh"), 0.0);
    let first = asked.recv_timeout(PATIENCE).unwrap();

    client.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    let second = asked.recv_timeout(PATIENCE).unwrap();
    first.ready();
    // The loop has heard of it when it answers this.
    assert_eq!(Client::of(&endpoint).get("/nothing").code, 404);
    gauge.set(2);
    second.ready();
    assert_eq!(sample(&client.answer().body, "fresh"), 2.0);
}

#[test]
fn values_that_are_fresh_are_not_waited_for() {
    let registry = registry();
    let (endpoint, asked) = endpoint(&registry, None);
    let mut client = Client::of(&endpoint);
    for _ in 0..5 {
        assert_eq!(client.get("/metrics").code, 200);
        asked.recv_timeout(PATIENCE).unwrap();
    }
}

#[test]
fn a_shutdown_does_not_wait_for_fresh_values() {
    let registry = registry();
    let (endpoint, asked) = endpoint(&registry, FOREVER);
    let mut client = Client::of(&endpoint);
    client.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    let _never = asked.recv_timeout(PATIENCE).unwrap();
    endpoint.shutdown();
    assert_eq!(client.answer().code, 200);
    client.expect_end();
    endpoint.join().unwrap();
}

#[test]
fn a_shutdown_gives_a_client_that_waited_and_does_not_read_no_more_time_than_others() {
    let (endpoint, asked) = endpoint(&wide_registry(), FOREVER);
    let mut client = Client::of(&endpoint);
    client.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    let _never = asked.recv_timeout(PATIENCE).unwrap();
    endpoint.shutdown();
    let (sent, ended) = mpsc::channel();
    std::thread::spawn(move || sent.send(endpoint.join()));
    // Less than the time that readers have otherwise.
    ended.recv_timeout(PATIENCE).unwrap().unwrap();
}
