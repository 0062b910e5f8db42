//! Servers of metrics over HTTP, each set up as its documentation shows, and
//! each in a process of its own: the calling program, started again with an
//! environment variable that names the server.

use crate::contestants::{self, STETHOSCOPE};
use crate::series::Series;
use crate::workload::*;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper::{Response, header};
use hyper_util::rt::TokioIo;
use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Every server, by name. stethoscope caches unchanged lines, so it is measured
/// with each rate of change; the others do the same work at any rate.
pub const ALL: [&str; 6] = [
    "stethoscope, all changed",
    "stethoscope, 1 % changed",
    "stethoscope, nothing changed",
    "prometheus-client 0.25, hyper",
    "metrics-exporter-prometheus 0.18",
    PYTHON,
];
const PYTHON: &str = "prometheus_client (Python)";

const ROLE: &str = "STETHOSCOPE_RIVALS_SERVER";
/// The interpreter that has `prometheus_client`.
const INTERPRETER: &str = "PYTHON";

/// 3,500 lines.
pub fn workload() -> Workload {
    Workload::new(Shape::of_lines(3_500))
}

/// A server that is running.
pub struct Server {
    process: Child,
    pub address: SocketAddr,
}

impl Server {
    /// Starts a server. Returns `None` if this machine lacks what it needs.
    pub fn start(name: &str) -> Option<Self> {
        let mut command = if name == PYTHON {
            let interpreter = std::env::var(INTERPRETER).unwrap_or_else(|_| "python3".to_owned());
            let mut probe = Command::new(&interpreter);
            let probe = probe
                .args(["-c", "import prometheus_client"])
                .stderr(Stdio::null());
            if !probe.status().is_ok_and(|status| status.success()) {
                return None;
            }
            let mut command = Command::new(interpreter);
            command.args(["-c", SCRIPT]);
            command
        } else {
            Command::new(std::env::current_exe().expect("a path"))
        };
        command
            .env(ROLE, name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = command.spawn().expect("a process");
        if name == PYTHON {
            let input = process.stdin.as_mut().expect("it is piped");
            input
                .write_all(script_input().as_bytes())
                .expect("it reads");
        }
        let mut line = String::new();
        let output = process.stdout.take().expect("it is piped");
        BufReader::new(output).read_line(&mut line).expect("a line");
        let address = line
            .trim()
            .parse()
            .unwrap_or_else(|_| panic!("{name} said {line:?}"));
        Some(Self { process, address })
    }

    /// Seconds of processor time so far.
    pub fn cpu(&self) -> f64 {
        let stat = format!("/proc/{}/stat", self.process.id());
        let stat = std::fs::read_to_string(stat).expect("Linux");
        let fields = stat.rsplit_once(") ").expect("a name in brackets").1;
        // utime and stime, in hundredths: the kernel's USER_HZ.
        let ticks = fields.split(' ').skip(11).take(2);
        ticks
            .map(|ticks| ticks.parse::<f64>().expect("a number") / 100.0)
            .sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Serves, if this is a process that was started to, and does not return then.
pub fn serve_if_told() {
    let Ok(name) = std::env::var(ROLE) else {
        return;
    };
    let workload = workload();
    match &*name {
        "prometheus-client 0.25, hyper" => hyper_around("prometheus-client 0.25", &workload),
        "metrics-exporter-prometheus 0.18" => metrics_exporter(&workload),
        _ => {
            assert!(name.starts_with(STETHOSCOPE), "{name}");
            stethoscope(&name, workload);
        }
    }
}

fn until_told_to_end() -> ! {
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    std::process::exit(0);
}

fn stethoscope(name: &str, workload: Workload) -> ! {
    let registry = stethoscope::Registry::new();
    let series = Series::register(&registry, &workload);
    series.apply(&workload.first_values());
    let rate = match name {
        "stethoscope, all changed" => Rate::All,
        "stethoscope, 1 % changed" => Rate::Percent,
        _ => Rate::Nothing,
    };
    // Made beforehand: making them is not part of a scrape, applying them is.
    let rounds: Vec<Changes> = (1..=100)
        .map(|round| workload.changes(rate, round))
        .collect();
    let round = AtomicUsize::new(0);
    registry.on_scrape(move || {
        let round = round.fetch_add(1, Ordering::Relaxed);
        series.apply(&rounds[round % rounds.len()]);
    });
    let endpoint = stethoscope::endpoint::serve(&registry, "127.0.0.1:0").expect("an address");
    println!("{}", endpoint.local_addr().expect("TCP"));
    until_told_to_end();
}

/// One thread, as ours has.
fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime")
}

/// A crate that brings no server, behind hyper's.
fn hyper_around(contestant: &str, workload: &Workload) -> ! {
    let mut contestant = contestants::build(contestant, workload);
    contestant.apply(&workload.first_values());
    let contestant = Rc::new(RefCell::new(contestant));
    tokio::task::LocalSet::new().block_on(&runtime(), async move {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("an address");
        println!("{}", listener.local_addr().expect("TCP"));
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let contestant = Rc::clone(&contestant);
            let answer = service_fn(move |_| {
                let contestant = Rc::clone(&contestant);
                async move {
                    let mut contestant = contestant.borrow_mut();
                    contestant.encode();
                    let page = Bytes::copy_from_slice(contestant.page());
                    let response = Response::builder().header(
                        header::CONTENT_TYPE,
                        "application/openmetrics-text; version=1.0.0; charset=utf-8",
                    );
                    response.body(Full::new(page))
                }
            });
            tokio::task::spawn_local(async move {
                let connection = hyper::server::conn::http1::Builder::new();
                let _ = connection
                    .serve_connection(TokioIo::new(stream), answer)
                    .await;
            });
        }
    })
}

fn metrics_exporter(workload: &Workload) -> ! {
    // It does not say which port it found, so it is given one.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("an address");
    let address = free.local_addr().expect("TCP");
    drop(free);
    let runtime = runtime();
    let builder = contestants::metrics::builder().with_http_listener(address);
    let (recorder, exporter) = runtime
        .block_on(async { builder.build() })
        .expect("a listener");
    let series = contestants::metrics::Series::register(&recorder, workload);
    series.apply(&workload.first_values());
    println!("{address}");
    runtime.block_on(exporter).expect("it serves");
    unreachable!("it serves for ever");
}

/// The workload, a line for each thing that the script does.
fn script_input() -> String {
    let workload = workload();
    let Changes {
        counters,
        gauges,
        histograms,
    } = workload.first_values();
    let mut lines = format!(
        "{COUNTER}\t{COUNTER_HELP}\n{GAUGE}\t{GAUGE_HELP}\n{HISTOGRAM}\t{HISTOGRAM_HELP}\n"
    );
    let bounds = BOUNDS.map(|bound| bound.to_string());
    writeln!(lines, "{}", bounds.join("\t")).expect("a String takes all");
    for (index, step) in counters {
        writeln!(lines, "c\t{}\t{step}", workload.counters[index].join("\t")).expect("as above");
    }
    for (index, value) in gauges {
        writeln!(lines, "g\t{}\t{value}", workload.gauges[index].join("\t")).expect("as above");
    }
    for (index, value) in histograms {
        writeln!(
            lines,
            "h\t{}\t{value}",
            workload.histograms[index].join("\t")
        )
        .expect("as above");
    }
    lines + "end\n"
}

const SCRIPT: &str = r#"
import sys
from prometheus_client import (
    CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, start_http_server,
)

disable_created_metrics()
registry = CollectorRegistry()
line = lambda: sys.stdin.readline().rstrip("\n").split("\t")
counters = Counter(*line(), ["method", "route", "status"], registry=registry)
gauges = Gauge(*line(), ["worker", "state"], registry=registry)
name, text = line()
bounds = [float(bound) for bound in line()]
histograms = Histogram(name, text, ["method", "route"], registry=registry, buckets=bounds)
while True:
    kind, *labels = line()
    if kind == "c":
        counters.labels(*labels[:-1]).inc(int(labels[-1]))
    elif kind == "g":
        gauges.labels(*labels[:-1]).set(float(labels[-1]))
    elif kind == "h":
        histograms.labels(*labels[:-1]).observe(float(labels[-1]))
    else:
        break
server, _ = start_http_server(0, "127.0.0.1", registry=registry)
print("127.0.0.1:%d" % server.server_port, flush=True)
sys.stdin.read()
"#;
