//! Compares a page with the values that it must show.
//!
//! Plain code reads the page, rather than stethoscope's own parser, which would
//! be biased. The workload has no character that needs escaping.

use crate::workload::*;
use std::fmt::Write;

/// Panics unless `page` shows exactly the model's samples: as many lines, the
/// same names and labels, the same values. How a number is written, the order
/// of lines and labels, and metadata are each crate's own.
pub fn assert_shows(page: &[u8], model: &Model, whose: &str) {
    let page = std::str::from_utf8(page).expect("a page is UTF-8");
    let mut samples: Vec<(String, f64)> = page
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(sample)
        .collect();
    samples.sort_by(|a, b| a.0.cmp(&b.0));
    let expected = model.samples();
    assert_eq!(samples.len(), expected.len(), "{whose}: lines");
    for (found, expected) in samples.iter().zip(&expected) {
        assert_eq!(found.0, expected.0, "{whose}");
        // Sums are added up in another order by those who shard them.
        let near = (found.1 - expected.1).abs() <= expected.1.abs() * 1e-12;
        assert!(near, "{whose}: {found:?} is not {}", expected.1);
    }
}

fn sample(line: &str) -> (String, f64) {
    assert!(!line.contains('\\'), "{line}");
    let (series, value) = line.rsplit_once(' ').expect("a value");
    let value = value.parse().expect("a number");
    let Some((name, labels)) = series.split_once('{') else {
        return (series.to_owned(), value);
    };
    let mut labels: Vec<String> = labels
        .strip_suffix('}')
        .expect("labels end")
        .split_terminator(',')
        .map(|label| {
            let (name, value) = label.split_once("=\"").expect("a label");
            let value = value.strip_suffix('"').expect("a label's value ends");
            match (name, value) {
                // Each crate writes bounds in its own way.
                ("le", "+Inf") => "le=inf".to_owned(),
                ("le", bound) => format!("le={}", bound.parse::<f64>().expect("a bound")),
                _ => format!("{name}={value}"),
            }
        })
        .collect();
    labels.sort_unstable();
    (format!("{name},{}", labels.join(",")), value)
}

/// The values that a page must show, kept in the plainest way.
pub struct Model<'w> {
    workload: &'w Workload,
    counters: Vec<u64>,
    gauges: Vec<f64>,
    /// Cumulative counts by bound, then of all; and the sum.
    histograms: Vec<([u64; BOUNDS.len() + 1], f64)>,
}

impl<'w> Model<'w> {
    pub fn new(workload: &'w Workload) -> Self {
        Self {
            workload,
            counters: vec![0; workload.counters.len()],
            gauges: vec![0.0; workload.gauges.len()],
            histograms: vec![([0; BOUNDS.len() + 1], 0.0); workload.histograms.len()],
        }
    }

    pub fn apply(&mut self, changes: &Changes) {
        for &(index, step) in &changes.counters {
            self.counters[index] += step;
        }
        for &(index, value) in &changes.gauges {
            self.gauges[index] = value;
        }
        for &(index, value) in &changes.histograms {
            let (counts, sum) = &mut self.histograms[index];
            let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
            for (count, bound) in counts.iter_mut().zip(bounds) {
                *count += u64::from(value <= bound);
            }
            *sum += value;
        }
    }

    /// Name, labels sorted by name, and value of each line, sorted.
    pub fn samples(&self) -> Vec<(String, f64)> {
        let mut samples = Vec::new();
        let mut put = |name: &str, suffix: &str, labels: &[(&str, &str)], value: f64| {
            let mut labels: Vec<_> = labels.to_vec();
            labels.sort_unstable();
            let mut key = format!("{name}{suffix}");
            for (label, value) in labels {
                write!(key, ",{label}={value}").expect("a String takes all");
            }
            samples.push((key, value));
        };
        for ([method, route, status], value) in self.workload.counters.iter().zip(&self.counters) {
            let labels = [("method", &**method), ("route", route), ("status", status)];
            put(COUNTER, "_total", &labels, *value as f64);
        }
        for ([worker, state], value) in self.workload.gauges.iter().zip(&self.gauges) {
            put(GAUGE, "", &[("worker", worker), ("state", state)], *value);
        }
        for ([method, route], (counts, sum)) in
            self.workload.histograms.iter().zip(&self.histograms)
        {
            let labels = [("method", &**method), ("route", &**route)];
            let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
            for (bound, &count) in bounds.zip(counts) {
                let bound = bound.to_string();
                let labels = [labels[0], labels[1], ("le", &bound)];
                put(HISTOGRAM, "_bucket", &labels, count as f64);
            }
            put(HISTOGRAM, "_sum", &labels, *sum);
            put(HISTOGRAM, "_count", &labels, counts[BOUNDS.len()] as f64);
        }
        samples.sort_by(|a, b| a.0.cmp(&b.0));
        samples
    }
}
