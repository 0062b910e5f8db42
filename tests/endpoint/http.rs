//! HTTP as a careful server speaks it.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use stethoscope::endpoint::{Builder, ConnectionHandler, Endpoint, Limits};

use crate::client::{Client, PAGE, registry, serve, wide_registry};
use crate::directory::Directory;

#[test]
fn scrape_gets_the_page_and_its_headers() {
    let endpoint = serve(&registry());
    let mut client = Client::of(&endpoint);
    let answer = client.get("/metrics");
    assert_eq!((answer.code, answer.body.as_str()), (200, PAGE));
    assert_eq!(
        answer.header("Content-Type"),
        Some("text/plain; version=0.0.4; charset=utf-8; escaping=underscores")
    );
    assert_eq!(
        answer.header("Connection"),
        None,
        "HTTP/1.1 stays open unless it is said"
    );
    let date = answer.header("Date").unwrap();
    assert!(date.ends_with(" GMT") && date.len() == 29, "{date}");
}

#[test]
fn metrics_path_may_have_a_slash_a_query_or_an_origin() {
    let endpoint = serve(&registry());
    let mut client = Client::of(&endpoint);
    for target in [
        "/metrics",
        "/metrics/",
        "/metrics?",
        "/metrics?x=1&y",
        "/metrics/?x",
        "http://test/metrics",
        "HTTPS://test:80/metrics?x",
    ] {
        let answer = client.get(target);
        assert_eq!((answer.code, answer.body.as_str()), (200, PAGE), "{target}");
    }
}

#[test]
fn scraper_gets_the_format_that_it_accepts() {
    let endpoint = serve(&registry());
    let mut client = Client::of(&endpoint);
    let answer = client.ask(
        "/metrics",
        "Accept: application/openmetrics-text;version=1.0.0;escaping=values;q=0.5,*/*;q=0.1",
    );
    assert_eq!(
        answer.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=values")
    );
    assert!(answer.body.ends_with("# EOF\n"));
    let answer = client.ask(
        "/metrics",
        "Accept: image/png\r\naccept: text/plain;version=1.0.0",
    );
    assert_eq!(
        answer.header("Content-Type"),
        Some("text/plain; version=1.0.0; charset=utf-8; escaping=underscores"),
        "two headers are one"
    );
}

#[test]
fn openmetrics2_is_served_where_it_is_switched_on() {
    const ACCEPT: &str = "Accept: application/openmetrics-text;version=2.0.0;q=0.9,\
         application/openmetrics-text;version=1.0.0;q=0.5";
    for (on, version) in [(false, "1.0.0"), (true, "2.0.0")] {
        let builder = Builder::new(&registry()).listen("127.0.0.1:0");
        let endpoint = builder.openmetrics2(on).spawn().unwrap();
        let answer = Client::of(&endpoint).ask("/metrics", ACCEPT);
        let expected = format!(
            "application/openmetrics-text; version={version}; charset=utf-8; escaping=underscores"
        );
        assert_eq!(answer.header("Content-Type"), Some(&*expected));
    }
}

#[test]
fn head_has_the_headers_of_the_page_and_makes_no_page() {
    let registry = registry();
    let hooks = Arc::new(AtomicUsize::new(0));
    let in_hook = Arc::clone(&hooks);
    registry.on_scrape(move || {
        in_hook.fetch_add(1, Ordering::Relaxed);
    });
    let endpoint = serve(&registry);
    let mut client = Client::of(&endpoint);
    for (target, code, pages) in [("/metrics", 200, 1), ("/nothing", 404, 1)] {
        client.send(format!("HEAD {target} HTTP/1.1\r\nHost: test\r\n\r\n"));
        let head = client.head();
        let whole = client.get(target);
        assert_eq!((head.code, whole.code), (code, code));
        assert_eq!(head.header("Content-Type"), whole.header("Content-Type"));
        assert_eq!(head.header("Vary"), whole.header("Vary"));
        assert_eq!(hooks.load(Ordering::Relaxed), pages, "pages after {target}");
    }
}

#[test]
fn connection_is_kept_alive_as_its_client_asks() {
    let endpoint = serve(&registry());

    let mut client = Client::of(&endpoint);
    for _ in 0..3 {
        assert_eq!(client.get("/metrics").code, 200);
    }
    let answer = client.ask("/metrics", "Connection: x, Close");
    assert_eq!(answer.header("Connection"), Some("close"));
    client.expect_end();

    let mut old = Client::of(&endpoint);
    old.send("GET /metrics HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(old.answer().header("Connection"), Some("keep-alive"));
    old.send("GET /metrics HTTP/1.0\r\n\r\n");
    let answer = old.answer();
    assert_eq!(
        (answer.header("Connection"), answer.body.as_str()),
        (Some("close"), PAGE)
    );
    old.expect_end();
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let registry = registry();
    let endpoint = serve(&registry);
    let mut client = Client::of(&endpoint);
    let mut requests = String::from("\r\n");
    for n in 0..100 {
        let target = if n % 3 == 0 { "/nothing" } else { "/metrics" };
        requests += &format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n");
    }
    client.send(requests + "GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    for n in 0..100 {
        assert_eq!(
            client.answer().code,
            if n % 3 == 0 { 404 } else { 200 },
            "answer {n}"
        );
    }
    assert_eq!(client.answer().code, 200);
    client.expect_end();
}

/// More than fits in the kernel's buffers, so that the client has to be let go on.
const MANY: usize = 20_000;

fn answer_many_pipelined_requests(endpoint: &Endpoint) {
    let mut client = Client::of(endpoint);
    let mut sending = client.stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        // Of many lengths, so that they are cut in every place.
        let requests: String = (0..MANY)
            .map(|n| {
                let query = "x".repeat(n % 17);
                format!("GET /metrics?{query} HTTP/1.1\r\nHost: a\r\n\r\n")
            })
            .collect();
        sending.write_all(requests.as_bytes()).unwrap();
    });
    for n in 0..MANY {
        assert_eq!(client.answer().code, 200, "response {n}");
    }
    sender.join().unwrap();
}

#[test]
fn twenty_thousand_pipelined_requests_are_answered() {
    answer_many_pipelined_requests(&serve(&registry()));
}

#[test]
fn twenty_thousand_pipelined_requests_are_answered_beside_a_handler() {
    let builder = Builder::new(&registry()).listen("127.0.0.1:0");
    let endpoint = builder.connection_handler(NoHandler).spawn().unwrap();
    answer_many_pipelined_requests(&endpoint);
}

/// Takes no connection.
struct NoHandler;

impl ConnectionHandler for NoHandler {
    fn handle(&mut self, connection: OwnedFd) -> Result<(), OwnedFd> {
        Err(connection)
    }
}

#[test]
fn later_minor_version_of_http_1_is_answered() {
    let endpoint = serve(&registry());
    let mut client = Client::of(&endpoint);
    for version in ["HTTP/1.2", "HTTP/1.9"] {
        client.send(format!("GET /metrics {version}\r\nHost: a\r\n\r\n"));
        let answer = client.answer();
        assert_eq!((answer.code, answer.body.as_str()), (200, PAGE));
        assert_eq!(answer.header("Connection"), None, "{version} is kept alive");
    }
    client.send("GET /metrics HTTP/1.2\r\n\r\n");
    assert_eq!(client.answer().code, 400, "it needs a Host as 1.1 does");
}

#[test]
fn request_after_one_of_the_maximum_length_is_answered() {
    let limits = Limits::default().header_bytes(128);
    let builder = Builder::new(&registry()).listen("127.0.0.1:0");
    let endpoint = builder.limits(limits).spawn().unwrap();
    for length in 120..=128 {
        let head = "GET /metrics HTTP/1.1\r\nHost: a\r\nX: ";
        let filler = "x".repeat(length - head.len() - 4);
        let mut client = Client::of(&endpoint);
        client.send(format!(
            "{head}{filler}\r\n\r\nGET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
        ));
        assert_eq!(client.answer().code, 200, "{length}");
        assert_eq!(client.answer().code, 200, "{length}");
    }
}

#[test]
fn request_may_arrive_in_pieces() {
    let endpoint = serve(&registry());
    let mut client = Client::of(&endpoint);
    let request = "\r\nGET /metrics HTTP/1.1\r\nHost: test\r\nAccept: */*\r\n\r\n";
    for byte in request.bytes() {
        client.send([byte]);
        // Each byte a readiness of its own.
        std::thread::yield_now();
    }
    assert_eq!(client.answer().body, PAGE);
    assert_eq!(client.get("/metrics").code, 200);
}

#[test]
fn request_may_arrive_in_pieces_over_a_unix_socket() {
    let directory = Directory::new("pieces");
    let path = directory.join("metrics.sock");
    let endpoint = Builder::new(&registry())
        .listen_unix(&path)
        .spawn()
        .unwrap();
    let mut client = Client::over(std::os::unix::net::UnixStream::connect(&path).unwrap());
    for byte in "GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n"
        .repeat(2)
        .bytes()
    {
        client.send([byte]);
        std::thread::yield_now();
    }
    assert_eq!(client.answer().body, PAGE);
    assert_eq!(client.answer().body, PAGE);
    drop(endpoint);
}

#[test]
fn half_closed_client_gets_its_response() {
    let endpoint = serve(&registry());
    let mut client = Client::of(&endpoint);
    client.send("GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n".repeat(2));
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client.answer().body, PAGE);
    assert_eq!(client.answer().body, PAGE);
    client.expect_end();
}

#[test]
fn page_has_the_values_of_the_time_of_its_request() {
    let registry = registry();
    let counter = registry.counter("turns_total", "Turns.").unwrap();
    let endpoint = serve(&registry);
    let mut clients = [Client::of(&endpoint), Client::of(&endpoint)];
    for turn in 1..=200u64 {
        counter.inc();
        for client in &mut clients {
            let page = client.get("/metrics").body;
            assert_eq!(crate::client::sample(&page, "turns_total"), turn as f64);
        }
    }
}

#[test]
fn expectation_of_100_continue_is_met_by_the_response() {
    let endpoint = serve(&registry());
    let mut client = Client::of(&endpoint);
    let answer = client.ask("/metrics", "Expect: 100-Continue\r\nContent-Length: 0");
    assert_eq!((answer.code, answer.body.as_str()), (200, PAGE));
    assert_eq!(client.get("/metrics").code, 200);
}

#[test]
fn page_larger_than_any_buffer_arrives_whole() {
    let registry = wide_registry();
    let whole = registry
        .scraper()
        .scrape(stethoscope::exposition::Format::Text)
        .to_vec();
    let endpoint = serve(&registry);
    let mut client = Client::of(&endpoint);
    for _ in 0..2 {
        assert!(
            client.get("/metrics").body.as_bytes() == whole,
            "the page is not the registry's"
        );
    }
}

#[test]
fn scrape_may_select_families() {
    let registry = registry();
    registry
        .counter("requests_total", "Requests.")
        .unwrap()
        .inc();
    registry.gauge("other", "Not asked for.").unwrap();
    let endpoint = serve(&registry);
    let mut client = Client::of(&endpoint);
    assert_eq!(client.get("/metrics?name[]=answer").body, PAGE);
    let both = client
        .get("/metrics?name%5B%5D=requests&name[]=answer&x=other")
        .body;
    assert!(
        both.starts_with(PAGE) && both.contains("requests_total 1\n"),
        "{both}"
    );
    assert!(!both.contains("other"), "{both}");
    let answer = client.get("/metrics?name[]=unheard_of");
    assert_eq!((answer.code, answer.body.as_str()), (200, ""));
    let all = client.get("/metrics?name=answer").body;
    assert!(all.contains("other"), "{all}");
}
