//! A page of everything that a dependency tree counts with the macros of the crate `metrics`: here those of
//! `metrics-process` and `tokio-metrics`, beside the program's own.
//!
//! ```sh
//! cargo run --example metrics_facade --features metrics
//! ```

use std::io::Write;
use std::time::{Duration, Instant};
use stethoscope::Registry;
use stethoscope::bridge::{Matcher, Recorder};
use stethoscope::cell::{Buckets, QuantileOptions};
use stethoscope::exposition::Format;
use tokio_metrics::RuntimeMetricsReporterBuilder;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let registry = Registry::new();
    // One line, `Recorder::new(&registry).install()?`, if the default buckets suit every histogram.
    Recorder::builder(&registry)
        .histograms(
            Matcher::Suffix("_bytes".into()),
            Buckets::exponential(256.0, 4.0, 6)?,
        )
        .histograms(
            Matcher::Full("rpc.seconds".into()),
            QuantileOptions::new([0.5, 0.99])?,
        )
        .install()?;

    let process = metrics_process::Collector::default();
    process.describe();
    // Its values are read when somebody asks.
    registry.on_scrape(move || process.collect());
    let runtime = RuntimeMetricsReporterBuilder::default().with_interval(Duration::from_millis(10));
    tokio::spawn(runtime.describe_and_run());

    for size in [300.0, 5_000.0] {
        library::call("read", size);
    }
    library::fail("disk", "sda");
    tokio::time::sleep(Duration::from_millis(50)).await;

    let mut scraper = registry.scraper();
    std::io::stdout().write_all(scraper.scrape(Format::Text))?;
    Ok(())
}

/// A dependency that knows the facade only.
mod library {
    use super::Instant;

    pub(super) fn call(method: &'static str, bytes: f64) {
        let start = Instant::now();
        metrics::counter!("rpc.calls", "method" => method).increment(1);
        metrics::histogram!("rpc.request_bytes").record(bytes);
        metrics::histogram!("rpc.seconds").record(start.elapsed());
        // After the first use; the page has it all the same.
        metrics::describe_counter!("rpc.calls", "Calls, by method.");
    }

    /// Counts a failure by a label of its own: the label sets of a name may differ.
    pub(super) fn fail(kind: &'static str, name: &str) {
        metrics::counter!("rpc.calls", "failed" => kind, kind => name.to_owned()).increment(1);
    }
}
