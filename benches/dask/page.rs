//! The cost of a warm scrape of a Dask worker's page, `/proc` included, for the
//! thread that serves it.
//!
//! The page has every family of the catalogue. Between two scrapes either
//! nothing was sampled, or every value has changed; taking the sample is not in
//! the time.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::convert::Infallible;
use stethoscope::exposition::Format;
use stethoscope_python::dask::{
    Event, Options, Page, PythonVersion, Role, SampledFamily, Source, catalogue,
};

fn set(families: &mut [SampledFamily], value: f64) {
    for family in families {
        let Ok(()) = family.update(|set| {
            set("executing", value);
            Ok::<_, Infallible>(())
        });
    }
}

fn worker_page(c: &mut Criterion) {
    let python = PythonVersion::new("CPython", "3.12.1");
    let page = Page::new(Role::Worker, &python, &Options::default()).unwrap();
    let mut sampled: Vec<SampledFamily> = catalogue(Role::Worker)
        .filter(|entry| entry.source == Source::Sample)
        .map(|entry| page.sampled(entry.name).unwrap())
        .collect();
    for event in Event::ALL {
        let observed = page.events(event).unwrap();
        (1..1000).for_each(|i| observed.observe(f64::from(i) * 1e-3));
    }
    set(&mut sampled, 0.0);

    let mut scraper = page.registry().scraper();
    let text = String::from_utf8(scraper.scrape(Format::Text).to_vec()).unwrap();
    // Nobody serves this page.
    for entry in catalogue(Role::Worker).filter(|entry| entry.source != Source::Endpoint) {
        assert!(
            text.contains(&format!("\n{}", entry.name)),
            "{}",
            entry.name
        );
    }
    let mut value = 0.0;
    let mut group = c.benchmark_group("scrape/dask-worker");
    group.throughput(Throughput::Bytes(text.len() as u64));
    for format in [Format::Text, Format::OpenMetrics] {
        group.bench_function(format!("{format:?}/nothing sampled"), |b| {
            b.iter(|| scraper.scrape(format).len());
        });
        group.bench_function(format!("{format:?}/all sampled anew"), |b| {
            b.iter_batched(
                || {
                    value += 1.1;
                    set(&mut sampled, value);
                },
                |()| scraper.scrape(format).len(),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, worker_page);
criterion_main!(benches);
