//! Churn: series come and go, and the file of the segment stays small, while readers see
//! no torn page.
//!
//! `make churn` runs it with a million series.
#![cfg(target_os = "linux")]

#[path = "support/directory.rs"]
mod directory;
#[path = "support/segments.rs"]
mod segments;

use directory::Directory;
use segments::page;
use std::collections::HashMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use stethoscope::Registry;
use stethoscope::cell::Buckets;
use stethoscope::exposition::Format;
use stethoscope::segment::{Reader, Segment};

/// The series of each family that exist at the same time.
const LIVE: u64 = 1_000;

/// The bytes that the live series need: cells of one and of two cache lines, two records
/// of seven words, and the header.
const LIVE_BYTES: u64 = LIVE * (64 + 128 + 2 * 7 * 8) + 4096;

/// Checks that each series shows its own values, or none yet.
fn check(page: &str) {
    let mut counts = HashMap::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = line.split_once("{n=\"").unwrap();
        let (n, rest) = rest.split_once('"').unwrap();
        let (_, value) = rest.rsplit_once(' ').unwrap();
        let (n, value): (f64, f64) = (n.parse().unwrap(), value.parse().unwrap());
        match name {
            "seconds_count" => assert!(value == 0.0 || value == 1.0, "{line}"),
            "seconds_bucket" => {
                // The last one stands.
                counts.insert(n as u64, value);
            }
            // The sum is added before the count.
            "seconds_sum" => {
                let is_counted = counts[&(n as u64)] == 1.0;
                assert!(value == n || (value == 0.0 && !is_counted), "{line}");
            }
            _ => assert!(value == 0.0 || value == n + 1.0, "{line}"),
        }
    }
}

#[test]
fn series_that_come_and_go_leave_a_small_file_and_whole_pages() {
    let total: u64 = std::env::var("STETHOSCOPE_CHURN")
        .map_or(30_000, |number| number.parse().expect("a number of series"));
    let directory = Directory::to_create_in_memory("churn");
    let segment = Segment::in_dir(directory.path()).unwrap();
    let registry = Registry::in_segment(&segment);
    let counters = registry.counter_family("jobs_total", "", ["n"]).unwrap();
    let bounds = (0..12).map(|power| f64::from(1 << power));
    let buckets = Buckets::new(bounds).unwrap();
    let histograms = { registry.histogram_family("seconds", "", ["n"], buckets) }.unwrap();
    let is_done = AtomicBool::new(false);
    let path = segment.path();
    let (mut longest, mut pages) = (0, 0_u64);
    std::thread::scope(|threads| {
        let readers = [Reader::open_untrusted(&path), Reader::open_mapped(&path)].map(|reader| {
            let mut reader = reader.unwrap();
            let is_done = &is_done;
            threads.spawn(move || {
                let mut pages = 0_u64;
                // At least once, after all of it.
                loop {
                    let is_last = is_done.load(Ordering::Relaxed);
                    // Refused if the log was replaced again and again meanwhile.
                    if reader.refresh().is_ok() {
                        assert!(!reader.info().damaged);
                        check(&page(reader.registry(), Format::Text));
                        pages += 1;
                    }
                    if is_last {
                        break pages;
                    }
                }
            })
        });
        for n in 0..total / 2 {
            let label = n.to_string();
            counters.with([&label]).unwrap().inc_by(n + 1);
            histograms.with([&label]).unwrap().observe(n as f64);
            if let Some(old) = n.checked_sub(LIVE) {
                assert!(counters.remove([old.to_string()]));
                assert!(histograms.remove([old.to_string()]));
            }
            if n % 100 == 0 {
                longest = fs::metadata(&path).unwrap().len().max(longest);
            }
        }
        is_done.store(true, Ordering::Relaxed);
        pages = readers.map(|reader| reader.join().unwrap()).iter().sum();
    });
    println!("{total} series, {pages} pages, at most {longest} bytes, {LIVE_BYTES} of them live");
    assert_eq!(segment.unplaced(), 0);
    assert!(longest <= 2 * LIVE_BYTES, "{longest}");
    let mut reader = Reader::open(&path).unwrap();
    reader.refresh().unwrap();
    let shown = page(reader.registry(), Format::OpenMetrics);
    assert_eq!(shown, page(&registry, Format::OpenMetrics));
}
