//! The cost of a scrape: warm, by the share of values that changed since the
//! previous one; the first one; and the one after series came or went. Look-ups
//! are measured in `update`, and other crates in `rivals/`.

mod effort;
mod pages;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pages::series::Series;
use pages::workload::{Rate, Shape, Workload};
use std::time::{Duration, Instant};
use stethoscope::Registry;
use stethoscope::exposition::Format;

const SHAPES: [Shape; 3] = [
    Shape {
        counters: 12,
        gauges: 12,
        histograms: 1,
    },
    Shape::of_lines(3_500),
    Shape::of_lines(100_000),
];

/// A registry with the workload's series at their first values.
fn registered(workload: &Workload) -> (Registry, Series) {
    let registry = Registry::new();
    let series = Series::register(&registry, workload);
    series.apply(&workload.first_values());
    (registry, series)
}

fn warm(c: &mut Criterion) {
    let mut group = c.benchmark_group("scrape");
    for shape in SHAPES {
        let workload = Workload::new(shape);
        group.throughput(Throughput::Elements(shape.lines() as u64));
        for (name, rate) in [
            ("all changed", Rate::All),
            ("1 % changed", Rate::Percent),
            ("unchanged", Rate::Nothing),
        ] {
            let (registry, series) = registered(&workload);
            let mut scraper = registry.scraper();
            let before = scraper.scrape(Format::Text).to_vec();
            // A scrape shows the changes, or shows that there were none.
            series.apply(&workload.changes(rate, 0));
            let page = scraper.scrape(Format::Text);
            assert_eq!(page == before, rate == Rate::Nothing);
            assert_eq!(page, registry.scraper().scrape(Format::Text));
            // Made beforehand: making them would take longer than the scrape.
            let changes: Vec<_> = (1..9).map(|round| workload.changes(rate, round)).collect();
            group.bench_function(BenchmarkId::new(name, shape.lines()), |b| {
                b.iter_custom(|scrapes| {
                    let mut spent = Duration::ZERO;
                    for changes in changes.iter().cycle().take(scrapes as usize) {
                        series.apply(changes);
                        let start = Instant::now();
                        std::hint::black_box(scraper.scrape(Format::Text));
                        spent += start.elapsed();
                    }
                    spent
                });
            });
        }
    }
}

fn cold(c: &mut Criterion) {
    let mut group = c.benchmark_group("first scrape");
    for shape in SHAPES {
        let workload = Workload::new(shape);
        let (registry, _series) = registered(&workload);
        group.throughput(Throughput::Elements(shape.lines() as u64));
        group.bench_function(BenchmarkId::from_parameter(shape.lines()), |b| {
            b.iter_with_large_drop(|| {
                let mut scraper = registry.scraper();
                assert!(!scraper.scrape(Format::Text).is_empty());
                scraper
            });
        });
    }
}

/// The scrape after a change of the members of one family; with the first scrape
/// and the warm one it says what a change costs.
fn membership(c: &mut Criterion) {
    for shape in SHAPES {
        let workload = Workload::new(shape);
        let (registry, series) = registered(&workload);
        let mut scraper = registry.scraper();
        let length = scraper.scrape(Format::Text).len();
        let mut after = |name: &str, change: &dyn Fn(&str)| {
            c.bench_function(&format!("{name}/{}", shape.lines()), |b| {
                b.iter_custom(|scrapes| {
                    let mut spent = Duration::ZERO;
                    for _ in 0..scrapes {
                        // Gone and come, so that there are never more.
                        for member in ["/new/a", "/new/b"] {
                            series.requests.with(["GET", member, "200"]).expect("made");
                        }
                        scraper.scrape(Format::Text);
                        change("/new/a");
                        let start = Instant::now();
                        let page = scraper.scrape(Format::Text);
                        spent += start.elapsed();
                        assert_ne!(page.len(), length);
                        series.requests.remove(["GET", "/new/a", "200"]);
                        series.requests.remove(["GET", "/new/b", "200"]);
                        series.requests.remove(["GET", "/new/c", "200"]);
                        scraper.scrape(Format::Text);
                    }
                    spent
                });
            });
        };
        after("after one was added", &|_| {
            series
                .requests
                .with(["GET", "/new/c", "200"])
                .expect("made");
        });
        after("after one was removed", &|member| {
            assert!(series.requests.remove(["GET", member, "200"]));
        });
    }
}

criterion_group! {
    name = benches;
    config = effort::brief();
    targets = warm, cold, membership
}
criterion_main!(benches);
