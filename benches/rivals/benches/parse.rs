//! The cost of reading a page, of all parsers in one run. The result of each is
//! asserted before it is timed.

#[path = "../../pages/mod.rs"]
mod pages;

use prom_text_format_parser::Scrape;
use std::hint::black_box;
use stethoscope::exposition::Format;
use stethoscope::exposition::parser::{Event, Options, parse};
use stethoscope::exposition::validate::Validator;
use stethoscope_rivals::counting::{self, Counting};
use stethoscope_rivals::figures::record;
use stethoscope_rivals::round_robin::{Effort, Turn, median, ratio, readable, round_robin};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const UNFAIR: &str = "\
What is unfair, and to whom:
- The rivals build a model that outlives the page, with a String for each label;
  stethoscope gives events that borrow from the page. Who needs a model pays for it.
- prometheus-parse gives no error: what it cannot read it skips. It splits labels at
  commas and equals signs, quoted or not.
- prometheus-exposition-format-rs and prom_text_format_parser do not unescape, and none
  but openmetrics-parser asks what the lines are together.
- prom_text_format_parser keeps values as text, and validates them; they are parsed here,
  for a reader wants numbers.
- `validated` makes a new validator for each page, and so allocates its tables again.
";

/// A summary of a parsed page: the count and sum of its numbers, and the number
/// of bytes in label values.
#[derive(Clone, Copy, Debug, Default)]
struct Read {
    numbers: usize,
    sum: f64,
    label_bytes: usize,
}

impl Read {
    fn number(&mut self, value: f64) {
        self.numbers += 1;
        self.sum += value;
    }
}

type Parser = (&'static str, fn(&str) -> Read);

const PARSERS: [Parser; 7] = [
    ("stethoscope, strict", strict),
    ("stethoscope, lenient", lenient),
    ("stethoscope, validated", validated),
    ("prom_text_format_parser 0.1", prom_text_format_parser),
    ("prometheus-exposition-format-rs 0.1", exposition_format),
    ("prometheus-parse 0.2", prometheus_parse),
    ("openmetrics-parser 0.5", openmetrics_parser),
];

fn main() {
    println!("{UNFAIR}");
    let page = pages::of_3500_lines(Format::Text);
    let page = String::from_utf8(page).expect("a page is UTF-8");
    compare(
        "3,500 samples",
        &page,
        3_500,
        Effort {
            rounds: 60,
            runs: 4,
        },
    );
    for (name, page) in [
        ("a Dask scheduler", pages::DASK_SCHEDULER),
        ("a Dask worker", pages::DASK_WORKER),
    ] {
        let samples = page.lines().filter(|line| !line.starts_with('#')).count();
        // Enough runs for the branches to be known again, of everyone.
        let effort = Effort {
            rounds: 100,
            runs: 20,
        };
        compare(name, page, samples, effort);
    }
}

fn compare(name: &str, page: &str, samples: usize, effort: Effort) {
    let expected = strict(page);
    assert_eq!(expected.numbers, samples);
    let mut allocations = Vec::new();
    for (parser, read) in PARSERS {
        let (found, asked) = counting::count(|| read(page));
        assert_eq!(found.numbers, expected.numbers, "{parser}");
        let error = (found.sum - expected.sum).abs();
        assert!(error <= expected.sum.abs() * 1e-9, "{parser}: {found:?}");
        assert!(found.label_bytes > 0, "{parser}");
        allocations.push(asked);
    }
    let mut turns: Vec<Turn> = PARSERS
        .iter()
        .map(|(_, read)| Turn {
            prepare: Box::new(|_| ()),
            run: Box::new(move || {
                black_box(read(black_box(page)));
            }),
        })
        .collect();
    let times: Vec<Vec<f64>> = round_robin(&mut turns, effort)
        .into_iter()
        .map(|times| times.warm)
        .collect();
    // The fastest rival is what the ratios are of.
    let rivals = times.iter().enumerate().skip(3);
    let (fastest, _) = rivals
        .min_by(|(_, a), (_, b)| median(a).total_cmp(&median(b)))
        .expect("there are rivals");
    println!("{name}: {} bytes, {samples} samples", page.len());
    println!(
        "{:38}{:>12}{:>10}{:>12}{:>14}{:>14}",
        "", "time", "MB/s", "of fastest", "allocations", "bytes"
    );
    for (index, (parser, _)) in PARSERS.iter().enumerate() {
        let time = median(&times[index]);
        record(&format!("parsing {name}"), parser, "time", time, "ns");
        println!(
            "{parser:38}{:>12}{:>10.0}{:>11.3}x{:>14}{:>14}",
            readable(time),
            page.len() as f64 / time * 1e3,
            ratio(&times[index], &times[fastest]),
            allocations[index].calls,
            allocations[index].bytes,
        );
    }
    println!();
}

fn strict(page: &str) -> Read {
    lend(page, Options::strict(Format::Text))
}

fn lenient(page: &str) -> Read {
    lend(page, Options::lenient(Format::Text))
}

fn lend(page: &str, options: Options) -> Read {
    let mut read = Read::default();
    let mut parser = parse(page, options);
    while let Some(lent) = parser.next_ref() {
        if let (_, Event::Sample(sample)) = lent.expect("a good page") {
            for label in sample.labels() {
                read.label_bytes += label.name.len() + label.value.len();
            }
            read.number(sample.value());
        }
    }
    read
}

fn validated(page: &str) -> Read {
    let options = Options::strict(Format::Text);
    let mut read = Read::default();
    let mut validator = Validator::new(options);
    let mut parser = parse(page, options);
    while let Some(lent) = parser.next_ref() {
        let (line, event) = lent.expect("a good page");
        validator.visit(line, &event).expect("a valid page");
        if let Event::Sample(sample) = event {
            for label in sample.labels() {
                read.label_bytes += label.name.len() + label.value.len();
            }
            read.number(sample.value());
        }
    }
    validator.end().expect("a valid page");
    read
}

fn prom_text_format_parser(page: &str) -> Read {
    let mut read = Read::default();
    for metric in Scrape::parse(page).expect("a good page").metrics {
        for sample in &metric.samples {
            for label in sample.labels.iter() {
                read.label_bytes += label.key.len() + label.value.len();
            }
            read.number(sample.value.value.as_f64());
        }
    }
    read
}

fn exposition_format(page: &str) -> Read {
    let mut read = Read::default();
    for metric in prometheus_exposition_format_rs::parse_complete(page).expect("a good page") {
        for sample in &metric.samples {
            for (name, value) in &sample.labels {
                read.label_bytes += name.len() + value.len();
            }
            read.number(sample.value);
        }
    }
    read
}

fn prometheus_parse(page: &str) -> Read {
    use prometheus_parse::Value;

    let mut read = Read::default();
    let lines = page.lines().map(|line| Ok(line.to_owned()));
    for sample in prometheus_parse::Scrape::parse(lines)
        .expect("a good page")
        .samples
    {
        for (name, value) in sample.labels.iter() {
            read.label_bytes += name.len() + value.len();
        }
        match sample.value {
            Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => {
                read.number(value);
            }
            Value::Histogram(buckets) => {
                buckets.iter().for_each(|bucket| read.number(bucket.count));
            }
            Value::Summary(quantiles) => {
                quantiles
                    .iter()
                    .for_each(|quantile| read.number(quantile.count));
            }
        }
    }
    read
}

fn openmetrics_parser(page: &str) -> Read {
    use openmetrics_parser::PrometheusValue;

    let mut read = Read::default();
    let exposition = openmetrics_parser::prometheus::parse_prometheus(page).expect("a good page");
    for family in exposition.families.values() {
        for sample in family.iter_samples() {
            for (name, value) in sample.get_labelset().expect("labels").iter() {
                read.label_bytes += name.len() + value.len();
            }
            match &sample.value {
                PrometheusValue::Unknown(value) | PrometheusValue::Gauge(value) => {
                    read.number(value.as_f64());
                }
                PrometheusValue::Counter(counter) => read.number(counter.value.as_f64()),
                PrometheusValue::Histogram(histogram) => {
                    for bucket in &histogram.buckets {
                        read.number(bucket.count.as_f64());
                    }
                    read.number(histogram.sum.map_or(0.0, |sum| sum.as_f64()));
                    read.number(histogram.count.unwrap_or(0) as f64);
                }
                PrometheusValue::Summary(summary) => {
                    for quantile in &summary.quantiles {
                        read.number(quantile.value.as_f64());
                    }
                    read.number(summary.sum.map_or(0.0, |sum| sum.as_f64()));
                    read.number(summary.count.unwrap_or(0) as f64);
                }
            }
        }
    }
    read
}
