//! Metrics that outlive the process: a program that is stopped or killed leaves its last values.
//!
//! ```sh
//! cargo run --example segment --features segment -- /dev/shm/metrics
//! ```
//!
//! A worker keeps its metrics in a file in memory, and dies without cleaning up. This program, which has started it,
//! then reads the file. `stethoscope read` and `stethoscope serve` do the same from outside, at any time.

use std::io::Write;
use std::process::Command;
use stethoscope::Registry;
use stethoscope::exposition::Format;
use stethoscope::segment::{self, Reader, Segment};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let directory = arguments
        .next()
        .unwrap_or_else(|| segment::default_directory().into());
    if arguments.next().is_some() {
        return work(Segment::in_dir(&directory)?);
    }
    let status = Command::new(std::env::current_exe()?)
        .arg(&directory)
        .arg("worker")
        .status()?;
    eprintln!("the worker has ended: {status}");
    for path in segment::list(&directory)? {
        let mut reader = Reader::open(&path)?;
        reader.refresh()?;
        let mut scraper = reader.page().scraper();
        std::io::stdout().write_all(scraper.scrape(Format::Text))?;
        // The file stays until somebody removes it.
        std::fs::remove_file(path)?;
    }
    Ok(())
}

/// Counts in the segment, and dies by a signal.
fn work(segment: Segment) -> Result<(), Box<dyn std::error::Error>> {
    let registry = Registry::in_segment(&segment);
    let jobs = registry.counter_family("jobs_total", "Jobs finished.", ["queue"])?;
    let mail = jobs.with(["mail"])?;
    for _ in 0..3 {
        mail.inc();
        // Readers see that the loop does not hang.
        segment.beat();
    }
    std::process::abort()
}
