//! The cost of reading a page, and of reading and printing its numbers.
//!
//! `strict` and `lenient` read every name, label and value; `iterator` does so
//! through the iterator, which copies each sample out of the parser; `validated`
//! is strict and asks besides what the lines are together; `pieces` gets the
//! page in pieces of 64 KiB.

mod effort;
mod pages;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use stethoscope::exposition::Format;
use stethoscope::exposition::number::{format_f64, parse_f64};
use stethoscope::exposition::parser::{Chunks, Event, EventRef, Line, Options, Sample, parse};
use stethoscope::exposition::validate::Validator;

/// A thousand values of one kind each: the way through the printer is chosen
/// by the kind, and a single repeated value would flatter its branches.
fn kinds() -> [(&'static str, Vec<f64>); 4] {
    let spread =
        |at: u64| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11) as f64 / (1u64 << 53) as f64;
    let values =
        |value: &dyn Fn(f64) -> f64| (0..1000).map(|at| value(spread(at))).collect::<Vec<_>>();
    [
        ("small integers", values(&|x| (x * 1000.0).floor())),
        ("large integers", values(&|x| (x * 1e12).floor())),
        ("three decimals", values(&|x| (x * 1e7).floor() / 1000.0)),
        ("many digits", values(&|x| x * 1000.0)),
    ]
}

fn numbers(c: &mut Criterion) {
    for (kind, values) in kinds() {
        let texts: Vec<_> = values.iter().map(|&value| format_f64(value)).collect();
        for (text, value) in texts.iter().zip(&values) {
            assert_eq!(parse_f64(text.as_bytes()), Some(*value));
        }
        let mut group = c.benchmark_group(format!("number/{kind}"));
        group.throughput(Throughput::Elements(values.len() as u64));
        group.bench_function("format", |b| {
            b.iter(|| {
                values
                    .iter()
                    .map(|&value| format_f64(black_box(value)).as_bytes().len())
                    .sum::<usize>()
            });
        });
        group.bench_function("parse", |b| {
            b.iter(|| {
                texts
                    .iter()
                    .map(|text| parse_f64(black_box(text.as_bytes())).unwrap())
                    .sum::<f64>()
            });
        });
        group.bench_function("ryu", |b| {
            let mut into = ryu::Buffer::new();
            b.iter(|| {
                values
                    .iter()
                    .map(|&value| into.format_finite(black_box(value)).len())
                    .sum::<usize>()
            });
        });
    }
}

/// Everything that a reader can want of a page, counted so that nothing can be
/// skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Seen {
    samples: usize,
    labels: usize,
    bytes: usize,
    values: f64,
}

impl Seen {
    #[inline]
    fn see(&mut self, sample: &Sample<'_>) {
        self.samples += 1;
        self.bytes += sample.name().len();
        for label in sample.labels() {
            self.labels += 1;
            self.bytes += label.name.len() + label.value.len();
        }
        self.values += sample.value();
    }
}

fn lent(page: &[u8], options: Options) -> Seen {
    let mut seen = Seen::default();
    let mut parser = parse(page, options);
    while let Some(lent) = parser.next_ref() {
        if let (_, Event::Sample(sample)) = lent.expect("a good page") {
            seen.see(sample);
        }
    }
    seen
}

fn iterated(page: &[u8], options: Options) -> Seen {
    let mut seen = Seen::default();
    for event in parse(page, options) {
        if let Event::Sample(sample) = event.expect("a good page") {
            seen.see(&sample);
        }
    }
    seen
}

fn validated(page: &[u8], options: Options, validator: &mut Validator) -> Seen {
    let mut seen = Seen::default();
    let mut parser = parse(page, options);
    while let Some(lent) = parser.next_ref() {
        let (line, event) = lent.expect("a good page");
        validator.visit(line, &event).expect("a valid page");
        if let Event::Sample(sample) = event {
            seen.see(sample);
        }
    }
    validator.end().expect("a valid page");
    seen
}

fn in_pieces(page: &[u8], options: Options) -> Seen {
    let mut seen = Seen::default();
    let mut each = |_: Line<'_>, event: EventRef<'_, '_>| {
        if let Event::Sample(sample) = event {
            seen.see(sample);
        }
        Ok(())
    };
    let mut chunks = Chunks::new(options);
    for piece in page.chunks(64 << 10) {
        chunks.push(piece, &mut each).expect("a good page");
    }
    chunks.finish(&mut each).expect("a good page");
    seen
}

fn parsing(c: &mut Criterion) {
    let of_3500 =
        [Format::Text, Format::OpenMetrics].map(|format| (format, pages::of_3500_lines(format)));
    for (format, page) in &of_3500 {
        let group = c.benchmark_group(format!("parse/3500/{format:?}"));
        measure(group, page, *format, 3500);
    }
    let samples = |page: &str| page.lines().filter(|line| !line.starts_with('#')).count();
    for (name, page) in [
        ("dask scheduler", pages::DASK_SCHEDULER),
        ("dask worker", pages::DASK_WORKER),
    ] {
        let group = c.benchmark_group(format!("parse/{name}"));
        measure(group, page.as_bytes(), Format::Text, samples(page));
    }
}

fn measure(mut group: BenchmarkGroup<'_, WallTime>, page: &[u8], format: Format, samples: usize) {
    let strict = Options::strict(format);
    let lenient = Options::lenient(format);
    let seen = lent(page, strict);
    assert_eq!(seen.samples, samples);
    assert_eq!(lent(page, lenient), seen);
    assert_eq!(iterated(page, strict), seen);
    assert_eq!(in_pieces(page, strict), seen);
    assert_eq!(validated(page, strict, &mut Validator::new(strict)), seen);
    group.throughput(Throughput::Bytes(page.len() as u64));
    group.bench_function("strict", |b| b.iter(|| lent(black_box(page), strict)));
    group.bench_function("lenient", |b| b.iter(|| lent(black_box(page), lenient)));
    group.bench_function("iterator", |b| b.iter(|| iterated(black_box(page), strict)));
    group.bench_function("pieces", |b| b.iter(|| in_pieces(black_box(page), strict)));
    group.bench_function("validated", |b| {
        b.iter(|| validated(black_box(page), strict, &mut Validator::new(strict)));
    });
}

criterion_group! {
    name = benches;
    config = effort::brief();
    targets = numbers, parsing
}
criterion_main!(benches);
