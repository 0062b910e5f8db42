//! Limits: the endpoint holds no more than they allow, and answers well-behaved
//! scrapers.

use std::io::{Read, Write};
use std::time::Duration;

use crate::client::{Client, eventually, registry, sample, wide_registry};
use stethoscope::Registry;
use stethoscope::endpoint::{Builder, Endpoint, Limits, Refresh, RefreshDone};
use stethoscope::exposition::Format;

fn bounded(registry: &Registry, limits: Limits) -> Endpoint {
    let builder = Builder::new(registry).listen("127.0.0.1:0");
    builder.limits(limits).self_metrics(true).spawn().unwrap()
}

fn dropped(endpoint: &Endpoint, reason: &str) -> f64 {
    let family = "stethoscope_http_connections_dropped_total";
    let page = Client::of(endpoint)
        .get(&format!("/metrics?name[]={family}"))
        .body;
    sample(&page, &format!("{family}{{reason=\"{reason}\"}}"))
}

/// The number of dropped connections, read without the endpoint.
fn dropped_in(registry: &Registry, reason: &str) -> f64 {
    let page = registry.scraper().scrape(Format::Text).to_vec();
    let series = format!("stethoscope_http_connections_dropped_total{{reason=\"{reason}\"}}");
    sample(&String::from_utf8(page).unwrap(), &series)
}

#[test]
fn scraper_gets_in_beside_idle_silent_and_slow_clients() {
    let endpoint = bounded(&registry(), Limits::default().connections(20));
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

/// Has every scrape wait.
struct Never;

impl Refresh for Never {
    fn refresh(&mut self, _: RefreshDone) -> Option<Duration> {
        Some(Duration::from_secs(3600))
    }
}

#[test]
fn refused_client_makes_no_room_for_the_next() {
    let registry = registry();
    let limits = Limits::default().connections(2);
    let builder = Builder::new(&registry).listen("127.0.0.1:0");
    let builder = builder.limits(limits).self_metrics(true);
    let endpoint = builder.refresh(Never).spawn().unwrap();
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
    eventually("accepting or refusing all", || {
        sample(&page(), "stethoscope_http_connections_accepted_total") == 20.0
    });
    // Two wait, and one has yet to read that it was refused.
    let open = sample(&page(), "stethoscope_http_connections");
    assert!(open <= 3.0, "{open} are open");
    drop(scrapes);
}

#[test]
fn idle_connection_is_evicted_before_a_new_one() {
    let endpoint = bounded(&registry(), Limits::default().connections(2));
    let mut idle = Client::of(&endpoint);
    assert_eq!(idle.get("/metrics").code, 200);
    let mut fresh = Client::of(&endpoint);
    assert_eq!(Client::of(&endpoint).get("/metrics").code, 200);
    idle.expect_end();
    assert_eq!(fresh.get("/metrics").code, 200);
}

#[test]
fn idle_connection_ends_after_its_time() {
    let endpoint = bounded(
        &registry(),
        Limits::default().idle_time(Duration::from_millis(30)),
    );
    let mut client = Client::of(&endpoint);
    assert_eq!(client.get("/metrics").code, 200);
    client.expect_end();
    assert_eq!(dropped(&endpoint, "idle_time"), 1.0);
}

#[test]
fn client_that_does_not_read_is_reset_and_delays_no_other() {
    let registry = wide_registry();
    let limits = Limits::default().write_time(Duration::from_millis(200));
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
fn readers_of_the_slowest_page_are_reset_when_pages_run_out() {
    let registry = wide_registry();
    let endpoint = bounded(&registry, Limits::default().pages(2));
    let mut stuck: Vec<Client> = (0..4)
        .map(|_| {
            let mut client = Client::of(&endpoint);
            client.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(client.head().code, 200);
            client
        })
        .collect();
    assert_eq!(dropped_in(&registry, "pages"), 2.0);
    // The last two may go on; the earlier ones were reset.
    let whole = 16_000_000;
    for (n, client) in stuck.iter_mut().enumerate() {
        let rest = client.read_up_to(whole);
        assert_eq!(rest >= whole, n >= 2, "client {n} got {rest} bytes");
    }
}

#[test]
fn readers_of_more_pages_than_may_be_held_all_get_theirs() {
    let registry = wide_registry();
    let targets: Vec<String> = (0..6)
        .map(|n| {
            let name = format!("other{n}");
            registry.gauge(&name, "Makes another page.").unwrap();
            format!("/metrics?name[]=wide&name[]={name}")
        })
        .collect();
    let endpoint = bounded(&registry, Limits::default().pages(2));
    std::thread::scope(|scope| {
        for (n, target) in targets.iter().enumerate() {
            let mut client = Client::of(&endpoint);
            scope.spawn(move || {
                let page = client.get(target).body;
                assert_eq!(sample(&page, &format!("other{n}")), 0.0);
            });
        }
    });
    assert_eq!(dropped_in(&registry, "pages"), 0.0);
}

/// The pages that were made so far.
fn pages_made(registry: &Registry) -> f64 {
    let page = registry.scraper().scrape(Format::Text).to_vec();
    let page = String::from_utf8(page).unwrap();
    sample(&page, "stethoscope_http_page_seconds_count")
}

#[test]
fn head_requests_make_no_page() {
    let registry = registry();
    let endpoint = bounded(&registry, Limits::default());
    let mut clients: Vec<Client> = (0..60).map(|_| Client::of(&endpoint)).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.send(format!(
            "HEAD /metrics?name[]=unknown{n} HTTP/1.1\r\nHost: a\r\n\r\n"
        ));
    }
    for client in &mut clients {
        assert_eq!(client.head().code, 200);
    }
    assert_eq!(pages_made(&registry), 0.0);
}

/// Lets the test say when scrapes go on.
struct Hold(std::sync::mpsc::Sender<RefreshDone>);

impl Refresh for Hold {
    fn refresh(&mut self, done: RefreshDone) -> Option<Duration> {
        self.0.send(done).ok().map(|()| Duration::from_secs(3600))
    }
}

/// The number of responses with a status code, read without the endpoint.
fn responses_in(registry: &Registry, code: u16) -> u64 {
    let page = registry.scraper().scrape(Format::Text).to_vec();
    let page = String::from_utf8(page).unwrap();
    let series = format!("stethoscope_http_responses_total{{code=\"{code}\"}} ");
    let value = page.lines().find_map(|line| line.strip_prefix(&series));
    value.map_or(0, |value| value.parse().unwrap())
}

#[test]
fn refused_client_that_stays_keeps_no_other_out() {
    let registry = registry();
    let (sender, held) = std::sync::mpsc::channel();
    let builder = Builder::new(&registry).listen("127.0.0.1:0");
    let builder = builder.limits(Limits::default().connections(4));
    let builder = builder.refresh(Hold(sender)).self_metrics(true);
    let endpoint = builder.spawn().unwrap();
    let mut crowd = Vec::new();
    eventually("four scrapes that wait, and a refusal", || {
        let mut client = Client::of(&endpoint);
        // One that is evicted or refused may not get that far.
        let _ = client
            .stream
            .write_all(b"GET /metrics HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        crowd.push(client);
        responses_in(&registry, 503) > 0
    });
    held.recv().unwrap().notify();
    eventually("their responses", || responses_in(&registry, 200) >= 4);
    // The four are idle now, and the one that was refused has not gone.
    for _ in 0..20 {
        assert_eq!(Client::of(&endpoint).get("/nothing").code, 404);
    }
    drop(crowd);
}

#[test]
fn unknown_names_share_one_page() {
    let registry = registry();
    let (sender, held) = std::sync::mpsc::channel();
    let builder = Builder::new(&registry).listen("127.0.0.1:0");
    let builder = builder.refresh(Hold(sender)).self_metrics(true);
    let endpoint = builder.spawn().unwrap();
    let mut clients: Vec<Client> = (0..60).map(|_| Client::of(&endpoint)).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.send(format!(
            "GET /metrics?name[]=unknown{n} HTTP/1.1\r\nHost: a\r\n\r\n"
        ));
    }
    let done = held.recv().unwrap();
    // All of them have come when this is answered.
    assert_eq!(Client::of(&endpoint).get("/nothing").code, 404);
    done.notify();
    for client in &mut clients {
        assert_eq!(client.answer().body, "");
    }
    assert!(
        pages_made(&registry) <= 2.0,
        "{} pages",
        pages_made(&registry)
    );
}
