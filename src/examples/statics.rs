//! Metrics in statics: nothing to pass around, and nothing to initialise before the first update.
//!
//! ```sh
//! cargo run --example statics
//! ```
//!
//! A library can count from its first line on. The program decides later which registry shows the counts, if any.

use std::io::Write;
use stethoscope::Registry;
use stethoscope::cell::{Counter, Gauge};
use stethoscope::exposition::Format;

/// The metrics of a module, beside the code that they count.
mod pool {
    use super::{Counter, Gauge};

    pub(super) static JOBS: Counter = Counter::new();
    pub(super) static BUSY: Gauge = Gauge::new();

    pub(super) fn run(job: impl FnOnce()) {
        BUSY.inc();
        job();
        BUSY.dec();
        JOBS.inc();
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Counted before there is a registry.
    pool::run(|| ());

    let registry = Registry::new();
    let pools = registry.with_namespace("pool");
    pools.register("jobs_total", "Jobs finished.", &pool::JOBS)?;
    pools.register("busy_threads", "Threads at work.", &pool::BUSY)?;

    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| pool::run(|| ()));
        }
    });
    let mut scraper = registry.scraper();
    std::io::stdout().write_all(scraper.scrape(Format::Text))?;
    Ok(())
}
