//! Refreshing values before a scrape.

use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use crate::client::{Client, PATIENCE, registry, sample, wide_registry};
use stethoscope::endpoint::{Builder, Endpoint, Refresh, RefreshDone};

/// Tells the test of each refresh, and has scrapes wait.
struct Asked {
    requests: Sender<RefreshDone>,
    wait: Option<Duration>,
}

impl Refresh for Asked {
    fn refresh(&mut self, done: RefreshDone) -> Option<Duration> {
        self.requests.send(done).unwrap();
        self.wait
    }
}

fn endpoint(
    registry: &stethoscope::Registry,
    wait: Option<Duration>,
) -> (Endpoint, Receiver<RefreshDone>) {
    let (requests, asked) = mpsc::channel();
    let refresh = Asked { requests, wait };
    let builder = Builder::new(registry).listen("127.0.0.1:0");
    (builder.refresh(refresh).spawn().unwrap(), asked)
}

const FOREVER: Option<Duration> = Some(Duration::from_secs(3600));

#[test]
fn scrape_has_the_values_that_were_refreshed_for_it() {
    let registry = registry();
    let gauge = registry.gauge("fresh", "Set on request.").unwrap();
    let (endpoint, asked) = endpoint(&registry, FOREVER);
    let mut client = Client::of(&endpoint);
    for value in 1..=20 {
        client.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
        let notifier = asked.recv_timeout(PATIENCE).unwrap();
        gauge.set(value);
        notifier.notify();
        assert_eq!(sample(&client.answer().body, "fresh"), value as f64);
    }
}

#[test]
fn scrapes_that_wait_together_share_one_refresh() {
    let registry = registry();
    let (endpoint, asked) = endpoint(&registry, FOREVER);
    let mut clients: Vec<Client> = (0..50).map(|_| Client::of(&endpoint)).collect();
    clients[0].send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    let notifier = asked.recv_timeout(PATIENCE).unwrap();
    for client in &mut clients[1..] {
        client.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    // Other requests are answered meanwhile. This one comes after all of them.
    assert_eq!(Client::of(&endpoint).get("/nothing").code, 404);
    notifier.notify();
    for client in &mut clients {
        assert_eq!(client.answer().code, 200);
    }
    assert!(asked.try_recv().is_err(), "there was a second request");
}

#[test]
fn scrape_waits_no_longer_than_it_was_told() {
    let registry = registry();
    let (endpoint, asked) = endpoint(&registry, Some(Duration::from_millis(20)));
    let mut client = Client::of(&endpoint);
    assert_eq!(client.get("/metrics").code, 200);
    let too_late = asked.recv_timeout(PATIENCE).unwrap();

    client.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    let second = asked.recv_timeout(PATIENCE).unwrap();
    too_late.notify();
    second.notify();
    assert_eq!(client.answer().code, 200);
}

#[test]
fn late_refresh_does_not_end_the_next_wait() {
    let registry = registry();
    let (requests, asked) = mpsc::channel();
    struct OnceShort(Sender<RefreshDone>, bool);
    impl Refresh for OnceShort {
        fn refresh(&mut self, done: RefreshDone) -> Option<Duration> {
            self.0.send(done).unwrap();
            Some(if std::mem::take(&mut self.1) {
                Duration::ZERO
            } else {
                Duration::from_secs(3600)
            })
        }
    }
    let refresh = OnceShort(requests, true);
    let gauge = registry.gauge("fresh", "Set on request.").unwrap();
    let builder = Builder::new(&registry).listen("127.0.0.1:0");
    let endpoint = builder.refresh(refresh).spawn().unwrap();
    let mut client = Client::of(&endpoint);
    assert_eq!(sample(&client.get("/metrics").body, "fresh"), 0.0);
    let first = asked.recv_timeout(PATIENCE).unwrap();

    client.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    let second = asked.recv_timeout(PATIENCE).unwrap();
    first.notify();
    // The event loop has noticed it when it answers this.
    assert_eq!(Client::of(&endpoint).get("/nothing").code, 404);
    gauge.set(2);
    second.notify();
    assert_eq!(sample(&client.answer().body, "fresh"), 2.0);
}

#[test]
fn scrape_does_not_wait_for_values_that_are_fresh() {
    let registry = registry();
    let (endpoint, asked) = endpoint(&registry, None);
    let mut client = Client::of(&endpoint);
    for _ in 0..5 {
        assert_eq!(client.get("/metrics").code, 200);
        let _done = asked.recv_timeout(PATIENCE).unwrap();
    }
}

#[test]
fn shutdown_does_not_wait_for_a_refresh() {
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
fn shutdown_limits_the_time_of_a_client_that_waited() {
    let (endpoint, asked) = endpoint(&wide_registry(), FOREVER);
    let mut client = Client::of(&endpoint);
    client.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    let _never = asked.recv_timeout(PATIENCE).unwrap();
    endpoint.shutdown();
    let (sent, ended) = mpsc::channel();
    std::thread::spawn(move || sent.send(endpoint.join()));
    // Clients have 30 s otherwise.
    ended.recv_timeout(PATIENCE).unwrap().unwrap();
}
