//! Runs the examples, and reads the pages that they serve.

#![cfg_attr(
    not(feature = "http"),
    allow(dead_code, unused_imports, reason = "most examples serve")
)]

#[path = "support/protobuf.rs"]
mod protobuf;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The path of an example's program. Cargo puts it beside the folder of this test's own.
fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
    let path = profile.join("examples").join(name);
    assert!(
        path.exists(),
        "{} is missing: run `cargo test` for all targets, which builds the examples",
        path.display()
    );
    path
}

/// The output of an example that ends by itself.
fn output(name: &str) -> String {
    let output = Command::new(program(name)).output().expect("a program");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// An example that serves, until this is dropped.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    /// Starts an example on a free port, and reads its address from the line that it prints.
    fn start(name: &str) -> Self {
        let mut process = Command::new(program(name))
            .arg("127.0.0.1:0")
            .stdout(Stdio::piped())
            .spawn()
            .expect("a program");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("a pipe"))
            .read_line(&mut line)
            .expect("a line");
        let address = line
            .trim()
            .strip_prefix("http://")
            .and_then(|url| url.strip_suffix("/metrics"))
            .unwrap_or_else(|| panic!("expected the URL of the page, got {line:?}"));
        Self {
            address: address.to_owned(),
            process,
        }
    }

    /// The response to a GET: head and body.
    fn get(&self, path: &str) -> String {
        String::from_utf8(self.get_as(path, "text/plain")).expect("UTF-8")
    }

    /// Asserts that the second of two `Accept` headers is read.
    #[cfg(feature = "http")]
    fn assert_reads_every_accept_header(&self) {
        let accept = "text/plain;q=0.5\r\nAccept: application/openmetrics-text";
        let page = self.get_as("/metrics", accept);
        assert!(page.ends_with(b"# EOF\n"), "OpenMetrics is preferred");
    }

    /// The response to a GET with this `Accept` header.
    fn get_as(&self, path: &str, accept: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect(&self.address).expect("a connection");
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
        )
        .expect("a request");
        let mut response = Vec::new();
        stream.read_to_end(&mut response).expect("a response");
        response
    }

    /// Waits until a sample of the page is at least `least`, and returns the page.
    fn page_once(&self, sample: &str, least: u64) -> String {
        let start = Instant::now();
        loop {
            let page = self.get("/metrics");
            assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
            let value = page
                .lines()
                .find_map(|line| line.strip_prefix(sample)?.trim().parse::<u64>().ok());
            if value.is_some_and(|value| value >= least) {
                return page;
            }
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "expected {sample} of at least {least} in\n{page}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; the test says so where that matters.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[cfg(feature = "http")]
#[test]
fn native_histogram_is_served_as_protobuf_and_as_text() {
    use stethoscope::exposition::{ContentType, Format};

    let server = Server::start("native_histogram");
    let page = server.page_once("request_seconds_count ", 20);
    assert!(
        page.contains("request_seconds_bucket{le=\"0.001\"} "),
        "{page}"
    );
    let accept = ContentType::from(Format::Protobuf).header();
    let response = server.get_as("/metrics", accept);
    let head_len = { response.windows(4) }.position(|bytes| bytes == b"\r\n\r\n");
    let families = protobuf::decode(&response[head_len.expect("a head") + 4..]);
    let family = { families.iter() }.find(|family| family.name() == "request_seconds");
    let histogram = family.and_then(|family| family.metric[0].histogram.clone());
    let histogram = histogram.expect("a histogram");
    assert_eq!((histogram.schema, histogram.bucket.len()), (Some(4), 3));
    assert!(histogram.sample_count() >= 20 && histogram.positive_span.len() > 1);
}

#[test]
fn custom_collector_shows_values_from_elsewhere() {
    let pages = output("custom_collector");
    assert!(pages.contains("queue_length 3\n"), "{pages}");
    assert!(pages.contains("queue_length 0\n"), "{pages}");
    assert!(
        pages.contains("cache_hit_ratio{cache=\"pages\"} 0.75\n"),
        "{pages}"
    );
}

#[test]
fn statics_count_before_and_after_they_are_registered() {
    let page = output("statics");
    assert!(page.contains("pool_jobs_total 5\n"), "{page}");
    assert!(page.contains("pool_busy_threads 0\n"), "{page}");
}

#[cfg(feature = "push")]
#[test]
fn batch_writes_a_textfile() {
    let name = format!("batch-example-{}.prom", std::process::id());
    let path = std::env::temp_dir().join(name);
    let output = Command::new(program("batch")).arg(&path).output();
    let page = std::fs::read_to_string(&path);
    let _ = std::fs::remove_file(&path);
    let output = output.expect("a program");
    assert!(output.status.success(), "{output:?}");
    let page = page.expect("a file");
    assert!(page.contains("backup_files 3\n"), "{page}");
    assert!(
        page.contains("backup_finished_timestamp_seconds 1"),
        "{page}"
    );
}

#[cfg(feature = "push")]
#[test]
fn batch_pushes_to_a_gateway() {
    let gateway = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", gateway.local_addr().expect("an address"));
    let batch = Command::new(program("batch"))
        .arg(&url)
        .stdout(Stdio::piped())
        .spawn();
    let batch = batch.expect("a program");
    let (mut stream, _) = gateway.accept().expect("a connection");
    let mut request = String::new();
    let mut bytes = [0; 4096];
    // The page's last family.
    while !request.contains("\nbackup_finished_timestamp_seconds ") || !request.ends_with('\n') {
        let length = stream.read(&mut bytes).expect("a request");
        assert_ne!(length, 0, "the request ended early: {request}");
        request.push_str(std::str::from_utf8(&bytes[..length]).expect("ASCII"));
    }
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    stream.write_all(answer.as_bytes()).expect("a response");
    let output = batch.wait_with_output().expect("an exit");
    assert!(output.status.success(), "{output:?}");
    let start = "PUT /metrics/job/backup/instance@base64/ZXhhbXBsZS8x HTTP/1.1\r\n";
    assert!(request.starts_with(start), "{request}");
    assert!(request.contains("\nbackup_files 3\n"), "{request}");
}

#[cfg(feature = "metrics")]
#[test]
fn metrics_facade_shows_what_dependencies_count() {
    let page = output("metrics_facade");
    for line in [
        "# HELP rpc_calls_total Calls, by method.",
        "rpc_calls_total{method=\"read\"} 2",
        "rpc_calls_total{disk=\"sda\",failed=\"disk\"} 1",
        "rpc_request_bytes_bucket{le=\"1024\"} 1",
        "rpc_seconds_count 2",
        "# TYPE process_cpu_seconds_total counter",
        "tokio_workers_count 1",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} in\n{page}");
    }
}

#[cfg(all(feature = "process", target_os = "linux"))]
#[test]
fn process_shows_its_memory_and_build() {
    let page = output("process");
    assert!(
        page.contains("build_info{replica=\"1\",version=\""),
        "{page}"
    );
    let sample = "process_resident_memory_bytes{replica=\"1\"} ";
    let resident = page.lines().find_map(|line| line.strip_prefix(sample));
    let resident: u64 = resident.expect(&page).parse().expect("an integer");
    assert!(resident > 100_000, "{page}");
    assert!(page.contains("jobs_total{replica=\"1\"} 1\n"), "{page}");
}

#[cfg(all(feature = "segment", target_os = "linux"))]
#[test]
fn segment_shows_what_a_dead_process_had_counted() {
    let directory = format!("/dev/shm/stethoscope-example-{}", std::process::id());
    let output = Command::new(program("segment")).arg(&directory).output();
    let is_empty = std::fs::remove_dir(&directory).is_ok();
    let output = output.expect("a program");
    assert!(output.status.success(), "{output:?}");
    let page = String::from_utf8(output.stdout).expect("UTF-8");
    for line in [
        "jobs_total{queue=\"mail\"} 3",
        "stethoscope_process_alive 0",
        "stethoscope_process_state{stethoscope_process_state=\"dead\"} 1",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} in\n{page}");
    }
    assert!(is_empty, "the file was removed");
}

#[cfg(feature = "derive")]
#[test]
fn typed_labels_count_by_their_fields() {
    let page = output("typed_labels");
    for line in [
        "# HELP store_lookups_total Look-ups in the cache.",
        "store_lookups_total{method=\"GET\",outcome=\"hit\",compressed=\"false\"} 1",
        "store_lookups_total{method=\"PUT\",outcome=\"error\",compressed=\"true\"} 2",
        "store_sent_bytes_total{bucket=\"bucket-0\",code=\"200\"} 2048",
        "store_disk_queue_length 4",
        "store_disk_read_seconds_count 1",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} in\n{page}");
    }
}

#[cfg(feature = "http")]
#[test]
fn worker_counts_the_jobs_of_its_threads() {
    let worker = Server::start("worker");
    let page = worker.page_once("worker_jobs_total{outcome=\"failed\"}", 3);
    assert!(page.contains("worker_job_seconds_count "), "{page}");
    assert!(page.contains("worker_waiting_jobs "), "{page}");
}

#[cfg(all(feature = "http", feature = "tower"))]
#[test]
fn axum_counts_requests_by_route() {
    let server = Server::start("axum");
    for name in ["a", "b"] {
        assert!(
            server
                .get(&format!("/hello/{name}"))
                .ends_with(&format!("hello {name}\n"))
        );
    }
    server.page_once(
        "http_requests_total{method=\"GET\",route=\"/hello/{name}\",status=\"200\"}",
        2,
    );
    server.assert_reads_every_accept_header();
}

#[cfg(feature = "http")]
#[test]
fn hyper_answers_scrapes_and_other_paths() {
    let server = Server::start("hyper");
    assert!(
        server
            .get("/other")
            .starts_with("HTTP/1.1 404 Not Found\r\n")
    );
    server.page_once("requests_total", 2);
    server.assert_reads_every_accept_header();
}
