//! A Prometheus server scrapes the endpoint, in every format, plain and compressed,
//! and stores the same samples each time. One that stores native histograms gets
//! them.
//!
//! Needs `prometheus` in the path (Debian's package of that name). Its Accept
//! header asks for OpenMetrics and gzip always, so a relay stands between that
//! asks for something else in its name.

#[path = "support/directory.rs"]
mod directory;

use directory::Directory;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use stethoscope::Registry;
use stethoscope::cell::{
    Buckets, Cell, Counter, FloatGauge, Histogram, NativeHistogram, NativeHistogramOptions,
    NativeReading,
};
use stethoscope::endpoint::Builder;

const PATIENCE: Duration = Duration::from_secs(60);

/// The headers that the relay sends in place of Prometheus'.
const WAYS: [(&str, &str, &str); 6] = [
    (
        "openmetrics_gzip",
        "application/openmetrics-text;version=1.0.0",
        "gzip",
    ),
    (
        "openmetrics_plain",
        "application/openmetrics-text;version=1.0.0",
        "identity",
    ),
    ("protobuf_gzip", PROTOBUF, "gzip"),
    ("protobuf_plain", PROTOBUF, "identity"),
    ("text_gzip", "text/plain;version=0.0.4", "gzip"),
    ("text_plain", "text/plain;version=0.0.4", "identity"),
];

const PROTOBUF: &str =
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";

#[test]
fn prometheus_stores_the_same_samples_in_every_format() {
    if !has_prometheus() {
        return;
    }
    let endpoint = Builder::new(&registry())
        .listen("127.0.0.1:0")
        .spawn()
        .unwrap();
    let target = endpoint.local_addr().unwrap();

    let mut jobs = format!("  - job_name: itself\n    static_configs: [targets: ['{target}']]\n");
    let relays = WAYS.map(|(job, accept, encoding)| {
        let relay = Relay::new(target, accept, encoding);
        let address = relay.address;
        writeln!(
            jobs,
            "  - job_name: {job}\n    static_configs: [targets: ['{address}']]"
        )
        .unwrap();
        relay
    });
    let server = Server::start(&jobs, &[]);

    let samples = |job: &str| {
        let mut lines = server.samples(job);
        lines.sort();
        lines
    };
    let begun = Instant::now();
    while WAYS.iter().any(|(job, ..)| samples(job).is_empty()) || samples("itself").is_empty() {
        assert!(
            begun.elapsed() < PATIENCE,
            "no sample was stored:\n{}",
            server.targets()
        );
        std::thread::sleep(Duration::from_millis(100));
    }

    let mut expected: Vec<String> = EXPECTED.lines().map(str::to_owned).collect();
    expected.sort();
    assert_eq!(samples("itself"), expected);
    for (relay, (job, accept, encoding)) in relays.iter().zip(WAYS) {
        let mut expected = expected.clone();
        if accept.starts_with("text/plain") {
            // 2.42 keeps bounds of text pages as they are written there.
            let one = |line: &String| line.replace("le=\"1.0\"", "le=\"1\"");
            expected = expected.iter().map(one).collect();
            expected.sort();
        }
        assert_eq!(samples(job), expected, "{job}");
        let head = relay.last_head.lock().unwrap().clone();
        let (format, _) = accept.split_once(';').unwrap();
        assert!(
            head.contains(&format!("Content-Type: {format};")),
            "{job}: {head}"
        );
        assert_eq!(
            head.contains("Content-Encoding: gzip"),
            encoding == "gzip",
            "{job}: {head}"
        );
    }
}

#[test]
fn prometheus_stores_native_histograms() {
    if !has_prometheus() {
        return;
    }
    let registry = registry();
    let plain = NativeHistogramOptions::default();
    let plain = registry
        .native_histogram("plain_seconds", "", plain)
        .unwrap();
    let options = NativeHistogramOptions::builder()
        .schema(5)
        .negative_values()
        .classic(Buckets::new([0.5, 1.0]).unwrap())
        .build()
        .unwrap();
    let signed = registry
        .native_histogram("signed_seconds", "", options)
        .unwrap();
    let endpoint = Builder::new(&registry)
        .listen("127.0.0.1:0")
        .spawn()
        .unwrap();
    let target = endpoint.local_addr().unwrap();
    let jobs = format!("  - job_name: itself\n    static_configs: [targets: ['{target}']]\n");
    let server = Server::start(&jobs, &["--enable-feature=native-histograms"]);

    // An empty histogram is native as well, or later scrapes would be lost.
    await_query(&server, "histogram_count(plain_seconds)", 0.0);
    let mut observed: Vec<f64> = Vec::new();
    let mut observe = |values: &mut dyn Iterator<Item = f64>| {
        for value in values {
            plain.observe(value);
            signed.observe(-value);
            observed.push(value);
        }
        let count = observed.len() as f64;
        await_query(&server, "histogram_count(plain_seconds)", count);
        await_query(&server, "histogram_count(signed_seconds)", count);
        let query = |query: &str| server.query(query).expect("it is stored");
        assert_eq!(query("histogram_sum(plain_seconds)"), plain.sum());
        assert_eq!(query("histogram_sum(signed_seconds)"), signed.sum());
        observed.sort_by(f64::total_cmp);
        for (name, cell, sign) in [("plain", &plain, 1.0), ("signed", &signed, -1.0)] {
            let mut reading = NativeReading::default();
            cell.read_native(&mut reading);
            let width = 2f64.powf(2f64.powi(-reading.schema()));
            for phi in [0.05, 0.25, 0.5, 0.75, 0.9, 0.99] {
                let found = sign * query(&format!("histogram_quantile({phi},{name}_seconds)"));
                let phi = if sign > 0.0 { phi } else { 1.0 - phi };
                // The rank may fall between two observations.
                let rank = phi * count;
                let low = observed[(rank.ceil() as usize).saturating_sub(2)];
                let high = observed[(rank.floor() as usize + 1).min(observed.len() - 1)];
                assert!(
                    (low / width..=high * width).contains(&found),
                    "{phi} of {name}: {found} is not from {low} to {high}"
                );
            }
        }
        plain_schema(&plain)
    };
    let spread = |n: u32| (f64::from(n * 7919 % 1000) / 250.0 - 3.0).exp();
    assert_eq!(observe(&mut (0..1000).map(spread)), 3);
    // More than 160 buckets: the schema is lowered between two scrapes.
    let wide = |n: u32| spread(n) * if n.is_multiple_of(10) { 1e9 } else { 1.0 };
    assert_eq!(observe(&mut (0..500).map(wide)), 2);

    // The other families are what they are without native histograms.
    let mut expected: Vec<String> = EXPECTED.lines().map(str::to_owned).collect();
    expected.sort();
    let mut stored = server.samples("itself");
    stored.sort();
    assert_eq!(stored, expected);
}

fn plain_schema(histogram: &NativeHistogram) -> i32 {
    let mut reading = NativeReading::default();
    histogram.read_native(&mut reading);
    reading.schema()
}

/// Waits until the server answers a query with this value.
#[track_caller]
fn await_query(server: &Server, query: &str, expected: f64) {
    let begun = Instant::now();
    while server.query(query) != Some(expected) {
        assert!(
            begun.elapsed() < PATIENCE,
            "{query} is {:?}, expected {expected}:\n{}",
            server.query(query),
            server.targets()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn has_prometheus() -> bool {
    let found = Command::new("prometheus").arg("--version").output().is_ok();
    if !found {
        eprintln!("NOT TESTED: there is no prometheus in the path. Debian's package has it.");
    }
    found
}

fn registry() -> Registry {
    let registry = Registry::new();
    let requests = registry.family::<Counter>("requests", "Requests, \"quoted\" and \\ all.");
    let requests = requests.labels(["path", "code"]).register().unwrap();
    requests
        .with(["/", "200"])
        .unwrap()
        .inc_by(9_007_199_254_740_993);
    requests.with(["C:\\temp\n\"x\"", "500"]).unwrap().inc_by(7);
    requests.with(["größe", ""]).unwrap();
    let floats = registry.family::<FloatGauge>("floats", "Floats of all kinds.");
    let floats = floats.labels(["kind"]).register().unwrap();
    for (kind, value) in [
        ("tenth", 0.1),
        ("small", 1.5e-7),
        ("large", -2.5e300),
        ("nan", f64::NAN),
        ("inf", f64::NEG_INFINITY),
    ] {
        floats.with([kind]).unwrap().set(value);
    }
    let latency = registry
        .family::<Histogram>("latency_seconds", "Latency.")
        .unit("seconds");
    let latency = latency
        .options(Buckets::new([0.001, 0.5, 1.0]).unwrap())
        .register_single()
        .unwrap();
    for value in [0.25, 0.25, 0.75, 100.0] {
        latency.observe(value);
    }
    registry
        .info("build", "What is running.", [("version", "1.2")])
        .unwrap();
    // A page that is worth compressing.
    let filler = registry
        .gauge_family("unlike", "Not stored: dropped by the server.", ["n"])
        .unwrap();
    for n in 0..200 {
        filler.with([n.to_string().as_str()]).unwrap().set(n);
    }
    registry
}

/// As the server writes them, without the labels that it adds.
const EXPECTED: &str = r#"build_info{version="1.2"} 1
floats{kind="inf"} -Inf
floats{kind="large"} -2.5e+300
floats{kind="nan"} NaN
floats{kind="small"} 1.5e-07
floats{kind="tenth"} 0.1
latency_seconds_bucket{le="+Inf"} 4
latency_seconds_bucket{le="0.001"} 0
latency_seconds_bucket{le="0.5"} 2
latency_seconds_bucket{le="1.0"} 3
latency_seconds_count 4
latency_seconds_sum 101.25
requests_total{code="200",path="/"} 9.007199254740992e+15
requests_total{code="500",path="C:\\temp\n\"x\""} 7
requests_total{path="größe"} 0"#;

/// A server of its own in a directory of its own, gone at the end.
struct Server {
    process: Child,
    address: SocketAddr,
    _directory: Directory,
}

impl Server {
    fn start(jobs: &str, arguments: &[&str]) -> Self {
        // A port that is free now.
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let directory = Directory::new(&format!("server-{}", address.port()));
        let config = directory.join("prometheus.yml");
        let drop_filler = "    metric_relabel_configs: [{source_labels: [__name__], regex: unlike, action: drop}]\n";
        let jobs = jobs.replace(
            "    static_configs",
            &format!("{drop_filler}    static_configs"),
        );
        let text = format!(
            "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\nscrape_configs:\n{jobs}"
        );
        std::fs::write(&config, text).unwrap();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                directory.join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=error")
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        Self {
            process,
            address,
            _directory: directory,
        }
    }

    /// The body of what the server answers, empty while it does not.
    fn get(&self, target: &str) -> String {
        let Ok(mut stream) = TcpStream::connect(self.address) else {
            return String::new();
        };
        let request = format!("GET {target} HTTP/1.0\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        // While it is starting it says so, with 503.
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        if head.starts_with("HTTP/1.0 200 ") {
            body.to_owned()
        } else {
            String::new()
        }
    }

    /// The latest samples of a job, without the labels that the server adds.
    fn samples(&self, job: &str) -> Vec<String> {
        let page = self.get(&format!(
            "/federate?match[]={{job=%22{job}%22,__name__!~%22up|scrape_.*|plain_seconds|signed_seconds%22}}"
        ));
        page.lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| {
                let (series, timestamp) = line.rsplit_once(' ').unwrap();
                assert!(timestamp.parse::<i64>().is_ok(), "{line}");
                without_label(&without_label(series, "instance"), "job")
            })
            .collect()
    }

    /// The value of a query that has one, `None` while it has none.
    fn query(&self, query: &str) -> Option<f64> {
        let answer = self.get(&format!("/api/v1/query?query={query}"));
        let (_, value) = answer.split_once("\"value\":[")?;
        value.split('"').nth(1)?.parse().ok()
    }

    fn targets(&self) -> String {
        self.get("/api/v1/targets")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A line without one of its labels, whose value has no quote in it.
fn without_label(line: &str, label: &str) -> String {
    let start = line.find(&format!("{label}=\"")).expect(line);
    let value = start + label.len() + 2;
    let end = value + line[value..].find('"').unwrap() + 1;
    let (before, after) = (&line[..start], &line[end..]);
    match (before.strip_suffix(','), after.strip_prefix(',')) {
        (_, Some(after)) => format!("{before}{after}"),
        (Some(before), None) => format!("{before}{after}"),
        (None, None) => format!("{}{}", &before[..before.len() - 1], &after[1..]),
    }
}

/// Asks the endpoint for what it is told to, whatever it is asked for itself.
struct Relay {
    address: SocketAddr,
    /// The content type of the endpoint's last response.
    last_head: Arc<Mutex<String>>,
}

impl Relay {
    fn new(target: SocketAddr, accept: &'static str, encoding: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let last_head = Arc::new(Mutex::new(String::new()));
        let to_tell = Arc::clone(&last_head);
        // It goes with the test's process.
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let mut client = client.unwrap();
                let mut request = [0; 4096];
                let read = client.read(&mut request).unwrap_or(0);
                assert!(request[..read].starts_with(b"GET /metrics ") || read == 0);
                let mut upstream = TcpStream::connect(target).unwrap();
                write!(upstream, "GET /metrics HTTP/1.0\r\nAccept: {accept}\r\nAccept-Encoding: {encoding}\r\n\r\n").unwrap();
                let mut answer = Vec::new();
                upstream.read_to_end(&mut answer).unwrap();
                let head = String::from_utf8_lossy(&answer);
                *to_tell.lock().unwrap() = head.split("\r\n\r\n").next().unwrap().to_owned();
                let _ = client.write_all(&answer);
            }
        });
        Self { address, last_head }
    }
}
