//! Metrics of the process and of its build, beside the program's own.
//!
//! ```sh
//! cargo run --example process --features process
//! ```
//!
//! The names are those that Prometheus recommends, so that dashboards for processes in other languages work. Values are
//! read from `/proc` when somebody asks for them.

use std::io::Write;
use stethoscope::Registry;
use stethoscope::exposition::Format;
use stethoscope::process;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let registry = Registry::new();
    process::register(&registry)?;
    process::register_build_info(
        &registry,
        [
            ("version", env!("CARGO_PKG_VERSION")),
            ("target", std::env::consts::ARCH),
        ],
    )?;
    let jobs = registry.counter("jobs_total", "Jobs finished.")?;
    jobs.inc();

    // A page of another process that includes this registry has them, too.
    let page = Registry::new();
    page.with_const_labels([("replica", "1")])
        .include(&registry);
    let mut scraper = page.scraper();
    std::io::stdout().write_all(scraper.scrape(Format::Text))?;
    Ok(())
}
