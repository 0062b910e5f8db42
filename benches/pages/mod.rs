//! The pages that the benchmarks of reading read.

use stethoscope::Registry;
use stethoscope::cell::{Buckets, Histogram};
use stethoscope::exposition::Format;

/// The page of 3,500 samples that every comparison here is about: 1,000
/// counters with three labels, 1,000 float gauges with two, 100 histograms of
/// 12 buckets; values small and large, integral and of many digits.
pub(crate) fn of_3500_lines(format: Format) -> Vec<u8> {
    let registry = Registry::new();
    let counters = registry
        .counter_family(
            "http_server_requests_total",
            "Requests that were answered, by method, handler and status.",
            ["method", "handler", "status"],
        )
        .expect("a good family");
    let gauges = registry
        .float_gauge_family(
            "worker_memory_bytes_ratio",
            "Memory in use, as a part of its limit.",
            ["worker", "kind"],
        )
        .expect("a good family");
    let latencies = registry
        .family::<Histogram>("http_request_duration_seconds", "Time to answer.")
        .labels(["handler"])
        .options(
            Buckets::new([
                0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
            ])
            .expect("ascending bounds"),
        )
        .register()
        .expect("a good family");

    let methods = ["GET", "POST", "PUT", "DELETE"];
    let statuses = ["200", "204", "404", "500"];
    for at in 0..1000u64 {
        let handler = format!("/api/v1/resource-{}", at / 16);
        let method = methods[at as usize % 4];
        let status = statuses[at as usize / 4 % 4];
        counters
            .with([method, &handler, status])
            .expect("a good series")
            .inc_by(if at % 3 == 0 { at } else { at * 7_919_317 });
    }
    for at in 0..1000u64 {
        let worker = format!("tcp://10.0.{}.{}:40331", at / 250, at % 250);
        gauges
            .with([worker.as_str(), "managed"])
            .expect("a good series")
            .set(match at % 4 {
                0 => at as f64,
                1 => at as f64 / 8.0,
                _ => 1.0 / (at as f64 + 1.0),
            });
    }
    for at in 0..100u64 {
        let handler = format!("/api/v1/resource-{at}");
        let latency = latencies.with([handler.as_str()]).expect("a good series");
        for observation in 0..at * 13 {
            latency.observe((observation * 37 % 1000) as f64 / 300.0);
        }
    }
    let mut page = Vec::new();
    registry.scraper().scrape_into(format, &mut page);
    page
}
