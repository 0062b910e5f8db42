//! What reading a page costs, and the numbers on it in both directions.

mod pages;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use stethoscope::exposition::Format;
use stethoscope::exposition::number::{SCRATCH, parse_f64, print_f64, print_f64_into};
use stethoscope::exposition::parser::{Event, Options, parse};

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
        let texts: Vec<_> = values.iter().map(|&value| print_f64(value)).collect();
        for (text, value) in texts.iter().zip(&values) {
            assert_eq!(parse_f64(text.as_bytes()), Some(*value));
        }
        let mut group = c.benchmark_group(format!("number/{kind}"));
        group.throughput(Throughput::Elements(values.len() as u64));
        group.bench_function("print", |b| {
            let mut into = [0; SCRATCH];
            b.iter(|| {
                values
                    .iter()
                    .map(|&value| print_f64_into(black_box(value), black_box(&mut into)))
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

/// What a reader does who wants everything: every name, label and value. What
/// it found is counted, so that nothing can be skipped.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    samples: usize,
    labels: usize,
    bytes: usize,
    values: f64,
}

fn read(page: &[u8], options: Options) -> Seen {
    let mut seen = Seen::default();
    let mut parser = parse(page, options);
    while let Some(lent) = parser.lend() {
        if let (_, Event::Sample(sample)) = lent.expect("a good page") {
            seen.samples += 1;
            seen.bytes += sample.name().len();
            for label in sample.labels() {
                seen.labels += 1;
                seen.bytes += label.name.len() + label.value.len();
            }
            seen.values += sample.value();
        }
    }
    seen
}

fn pages(c: &mut Criterion) {
    for format in [Format::Text, Format::OpenMetrics] {
        let page = pages::of_3500_lines(format);
        let strict = read(&page, Options::strict(format));
        assert_eq!((strict.samples, strict.labels), (3500, 7800));
        let mut group = c.benchmark_group(format!("parse/3500/{format:?}"));
        group.throughput(Throughput::Bytes(page.len() as u64));
        for (mode, options) in [
            ("strict", Options::strict(format)),
            ("lenient", Options::lenient(format)),
        ] {
            assert_eq!(read(&page, options), strict);
            group.bench_function(mode, |b| b.iter(|| read(black_box(&page), options)));
        }
    }
}

criterion_group!(benches, numbers, pages);
criterion_main!(benches);
