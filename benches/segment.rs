//! The cost of counting in a segment, beside the same cells on the heap.
//!
//! ```sh
//! cargo bench --features segment --bench segment
//! ```

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::{Duration, Instant};
use stethoscope::cell::Buckets;
use stethoscope::exposition::Format;
use stethoscope::registry::Registry;
use stethoscope::segment::{Reader, Segment};

/// The series of the page that is scraped.
const SERIES: usize = 3_500;

/// Runs `updates` updates on each of so many threads, and returns the time.
fn time(threads: usize, updates: u64, update: impl Fn(usize) + Sync) -> Duration {
    let start = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let update = &update;
            scope.spawn(move || (0..updates).for_each(|_| update(thread)));
        }
    });
    start.elapsed()
}

fn updates(c: &mut Criterion, name: &str, registry: &Registry) {
    let counters = registry.counter_family("jobs_total", "", ["n"]).unwrap();
    let histograms = registry
        .histogram_family("latency", "", ["n"], Buckets::default())
        .unwrap();
    let counters = ["0", "1"].map(|n| counters.with([n]).unwrap());
    let histograms = ["0", "1"].map(|n| histograms.with([n]).unwrap());
    for threads in [1, 2] {
        c.bench_function(&format!("{name}/counter/{threads}"), |b| {
            b.iter_custom(|updates| time(threads, updates, |thread| counters[thread].inc()));
        });
        c.bench_function(&format!("{name}/histogram/{threads}"), |b| {
            b.iter_custom(|updates| {
                time(threads, updates, |thread| {
                    histograms[thread].observe(black_box(0.3));
                })
            });
        });
    }
    let churned = registry.counter_family("churned_total", "", ["n"]).unwrap();
    c.bench_function(&format!("{name}/register_and_remove"), |b| {
        b.iter(|| {
            churned.with(["a"]).unwrap().inc();
            churned.remove(["a"])
        });
    });
}

fn scrapes(c: &mut Criterion, name: &str, registry: &Registry, segment: Option<&Segment>) {
    let family = registry.counter_family("page_total", "", ["n"]).unwrap();
    let counters: Vec<_> = (0..SERIES)
        .map(|n| family.with([n.to_string()]).unwrap())
        .collect();
    let mut reader = segment.map(|segment| Reader::open(segment.path()).unwrap());
    let shown = reader.as_ref().map_or(registry, Reader::registry);
    let mut scraper = shown.scraper();
    for (changed, every) in [("all", 1), ("1_percent", 100)] {
        c.bench_function(&format!("{name}/scrape_{changed}"), |b| {
            b.iter_custom(|scrapes| {
                let mut total = Duration::ZERO;
                for _ in 0..scrapes {
                    for counter in counters.iter().step_by(every) {
                        counter.inc();
                    }
                    let start = Instant::now();
                    if let Some(reader) = &mut reader {
                        reader.refresh().unwrap();
                    }
                    black_box(scraper.scrape(Format::Text).len());
                    total += start.elapsed();
                }
                total
            });
        });
    }
}

fn benches(c: &mut Criterion) {
    let directory = format!("/dev/shm/stethoscope-bench-{}", std::process::id());
    let segment = Segment::in_dir(&directory).unwrap();
    updates(c, "heap", &Registry::new());
    updates(c, "segment", &Registry::in_segment(&segment));
    scrapes(c, "heap", &Registry::new(), None);
    scrapes(
        c,
        "segment",
        &Registry::in_segment(&segment),
        Some(&segment),
    );
    std::fs::remove_dir_all(directory).unwrap();
}

criterion_group!(group, benches);
criterion_main!(group);
