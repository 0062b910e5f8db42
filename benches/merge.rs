//! One page for 64 processes of 3,500 lines each, by `segment::Group`.
//!
//! ```sh
//! cargo bench --features segment --bench merge
//! ```
//!
//! `benches/merge_python.py` runs it beside prometheus_client's multiprocess mode.

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::{Duration, Instant};
use stethoscope::cell::{Buckets, Counter, Gauge, Histogram};
use stethoscope::exposition::Format;
use stethoscope::segment::{GaugeRule, Group, GroupOptions, Segment};
use stethoscope::{Handle, Registry};

/// One process: 1,000 counters, 1,000 gauges, 100 histograms of 15 lines.
struct Process {
    counters: Vec<Handle<Counter>>,
    gauges: Vec<Handle<Gauge>>,
    histograms: Vec<Handle<Histogram>>,
    _segment: Segment,
}

impl Process {
    fn new(directory: &str) -> Self {
        let segment = Segment::in_dir(directory).unwrap();
        let registry = Registry::in_segment(&segment);
        let counters = registry.counter_family("jobs_total", "Jobs.", ["n"]);
        let gauges = registry.gauge_family("open", "Open.", ["n"]);
        let buckets = Buckets::new((1..=12).map(f64::from)).unwrap();
        let histograms = registry.histogram_family("size", "Sizes.", ["n"], buckets);
        let (counters, gauges) = (counters.unwrap(), gauges.unwrap());
        let histograms = histograms.unwrap();
        let number = |n: usize| [n.to_string()];
        Self {
            counters: (0..1_000)
                .map(|n| counters.with(number(n)).unwrap())
                .collect(),
            gauges: (0..1_000)
                .map(|n| gauges.with(number(n)).unwrap())
                .collect(),
            histograms: (0..100)
                .map(|n| histograms.with(number(n)).unwrap())
                .collect(),
            _segment: segment,
        }
    }

    /// Changes all values.
    fn work(&self) {
        self.counters.iter().for_each(|counter| counter.inc());
        self.gauges.iter().for_each(|gauge| gauge.add(1));
        for (n, histogram) in self.histograms.iter().enumerate() {
            histogram.observe((n % 14) as f64);
        }
    }
}

fn open(directory: &str) -> Group {
    let options = GroupOptions::default().gauges(GaugeRule::Sum);
    Group::with_options(directory, options).unwrap()
}

fn benches(c: &mut Criterion) {
    let directory = format!("/dev/shm/stethoscope-merge-{}", std::process::id());
    for count in [1_u64, 16, 64] {
        let processes: Vec<Process> = (0..count).map(|_| Process::new(&directory)).collect();
        let mut group = open(&directory);
        let mut scraper = group.registry().scraper();
        let mut scrapes_so_far = 0;
        c.bench_function(&format!("merge/{count}_processes"), |b| {
            b.iter_custom(|scrapes| {
                let mut total = Duration::ZERO;
                for _ in 0..scrapes {
                    processes.iter().for_each(Process::work);
                    scrapes_so_far += 1;
                    let start = Instant::now();
                    group.refresh().unwrap();
                    black_box(scraper.scrape(Format::Text).len());
                    total += start.elapsed();
                }
                total
            });
        });
        let page = String::from_utf8(scraper.scrape(Format::Text).to_vec()).unwrap();
        let line = format!("\njobs_total{{n=\"999\"}} {}\n", count * scrapes_so_far);
        assert!(page.contains(&line), "nothing was lost");
        assert_eq!(
            page.lines().filter(|line| !line.starts_with('#')).count(),
            3_500
        );
        drop((scraper, group));
        // The first page of a program that is started.
        c.bench_function(&format!("merge/{count}_processes_at_first"), |b| {
            b.iter(|| {
                let mut group = open(&directory);
                group.refresh().unwrap();
                group.registry().scraper().scrape(Format::Text).len()
            });
        });
        drop(processes);
        std::fs::remove_dir_all(&directory).unwrap();
    }
}

criterion_group! {
    name = group;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(2));
    targets = benches
}
criterion_main!(group);
