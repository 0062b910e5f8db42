//! The cost of counting in a segment, beside the same cells on the heap.
//!
//! ```sh
//! cargo bench --features segment --bench segment
//! ```

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::{Duration, Instant};
use stethoscope::cell::{Buckets, Counter, Gauge, Histogram};
use stethoscope::exposition::Format;
use stethoscope::segment::{Reader, Segment};
use stethoscope::{Handle, Registry};

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

/// How a page of a registry is read.
#[derive(Clone, Copy)]
enum By<'a> {
    /// A scrape in the process itself.
    Itself,
    /// A reader that maps the segment, as one in another process would.
    Mapping(&'a Segment),
    /// A reader that trusts nobody, and has the kernel copy the segment.
    Copying(&'a Segment),
}

/// The cells of a page, and one more update for each.
struct Cells {
    counters: Vec<Handle<Counter>>,
    gauges: Vec<Handle<Gauge>>,
    histograms: Vec<Handle<Histogram>>,
}

impl Cells {
    /// 3,500 lines, of counters only or of all three.
    fn new(registry: &Registry, is_mixed: bool) -> Self {
        let [counters, gauges, histograms] = match is_mixed {
            true => [1_000, 1_000, 100],
            false => [3_500, 0, 0],
        };
        let label = |n: usize| [n.to_string()];
        let of_counters = registry.counter_family("page_total", "", ["n"]).unwrap();
        let of_gauges = registry.gauge_family("page_open", "", ["n"]).unwrap();
        let of_histograms = registry
            .histogram_family("page_seconds", "", ["n"], Buckets::default())
            .unwrap();
        Self {
            counters: (0..counters)
                .map(|n| of_counters.with(label(n)).unwrap())
                .collect(),
            gauges: (0..gauges)
                .map(|n| of_gauges.with(label(n)).unwrap())
                .collect(),
            histograms: (0..histograms)
                .map(|n| of_histograms.with(label(n)).unwrap())
                .collect(),
        }
    }

    /// Updates one cell out of so many.
    fn update(&self, every: usize) {
        self.counters
            .iter()
            .step_by(every)
            .for_each(|counter| counter.inc());
        self.gauges
            .iter()
            .step_by(every)
            .for_each(|gauge| gauge.add(3));
        self.histograms
            .iter()
            .step_by(every)
            .for_each(|histogram| histogram.observe(0.25));
    }
}

fn scrapes(c: &mut Criterion, name: &str, registry: &Registry, is_mixed: bool, by: By<'_>) {
    let cells = Cells::new(registry, is_mixed);
    let mut reader = match by {
        By::Itself => None,
        By::Mapping(segment) => Some(Reader::open_mapped(segment.path()).unwrap()),
        By::Copying(segment) => Some(Reader::open_untrusted(segment.path()).unwrap()),
    };
    let shown = reader.as_ref().map_or(registry, Reader::registry);
    let mut scraper = shown.scraper();
    let page = match is_mixed {
        true => "mixed",
        false => "counters",
    };
    for (changed, every) in [("all", 1), ("1_percent", 100)] {
        c.bench_function(&format!("scrape_{page}_{changed}/{name}"), |b| {
            b.iter_custom(|scrapes| {
                let mut total = Duration::ZERO;
                for _ in 0..scrapes {
                    cells.update(every);
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
    for is_mixed in [true, false] {
        scrapes(c, "heap", &Registry::new(), is_mixed, By::Itself);
        for (name, is_mapped) in [("mapped", true), ("copied", false)] {
            let segment = Segment::in_dir(&directory).unwrap();
            let by = match is_mapped {
                true => By::Mapping(&segment),
                false => By::Copying(&segment),
            };
            scrapes(c, name, &Registry::in_segment(&segment), is_mixed, by);
        }
    }
    std::fs::remove_dir_all(directory).unwrap();
}

criterion_group!(group, benches);
criterion_main!(group);
