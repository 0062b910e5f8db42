//! Protobuf pages as an independent decoder, `prost`, reads them.

// Each test uses a part.
#![allow(dead_code)]

use std::collections::HashSet;

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct LabelPair {
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub value: Option<String>,
}

/// A gauge or an untyped value.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Single {
    #[prost(double, optional, tag = "1")]
    pub value: Option<f64>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Counter {
    #[prost(double, optional, tag = "1")]
    pub value: Option<f64>,
    #[prost(message, optional, tag = "2")]
    pub exemplar: Option<Exemplar>,
    #[prost(message, optional, tag = "3")]
    pub created_timestamp: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Quantile {
    #[prost(double, optional, tag = "1")]
    pub quantile: Option<f64>,
    #[prost(double, optional, tag = "2")]
    pub value: Option<f64>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Summary {
    #[prost(uint64, optional, tag = "1")]
    pub sample_count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    pub sample_sum: Option<f64>,
    #[prost(message, repeated, tag = "3")]
    pub quantile: Vec<Quantile>,
    #[prost(message, optional, tag = "4")]
    pub created_timestamp: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Bucket {
    #[prost(uint64, optional, tag = "1")]
    pub cumulative_count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    pub upper_bound: Option<f64>,
    #[prost(message, optional, tag = "3")]
    pub exemplar: Option<Exemplar>,
    #[prost(double, optional, tag = "4")]
    pub cumulative_count_float: Option<f64>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct BucketSpan {
    #[prost(sint32, optional, tag = "1")]
    pub offset: Option<i32>,
    #[prost(uint32, optional, tag = "2")]
    pub length: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Histogram {
    #[prost(uint64, optional, tag = "1")]
    pub sample_count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    pub sample_sum: Option<f64>,
    #[prost(message, repeated, tag = "3")]
    pub bucket: Vec<Bucket>,
    #[prost(double, optional, tag = "4")]
    pub sample_count_float: Option<f64>,
    #[prost(sint32, optional, tag = "5")]
    pub schema: Option<i32>,
    #[prost(double, optional, tag = "6")]
    pub zero_threshold: Option<f64>,
    #[prost(uint64, optional, tag = "7")]
    pub zero_count: Option<u64>,
    #[prost(double, optional, tag = "8")]
    pub zero_count_float: Option<f64>,
    #[prost(message, repeated, tag = "9")]
    pub negative_span: Vec<BucketSpan>,
    #[prost(sint64, repeated, tag = "10")]
    pub negative_delta: Vec<i64>,
    #[prost(double, repeated, tag = "11")]
    pub negative_count: Vec<f64>,
    #[prost(message, repeated, tag = "12")]
    pub positive_span: Vec<BucketSpan>,
    #[prost(sint64, repeated, tag = "13")]
    pub positive_delta: Vec<i64>,
    #[prost(double, repeated, tag = "14")]
    pub positive_count: Vec<f64>,
    #[prost(message, optional, tag = "15")]
    pub created_timestamp: Option<Timestamp>,
    #[prost(message, repeated, tag = "16")]
    pub exemplars: Vec<Exemplar>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct Timestamp {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Exemplar {
    #[prost(message, repeated, tag = "1")]
    pub label: Vec<LabelPair>,
    #[prost(double, optional, tag = "2")]
    pub value: Option<f64>,
    #[prost(message, optional, tag = "3")]
    pub timestamp: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Metric {
    #[prost(message, repeated, tag = "1")]
    pub label: Vec<LabelPair>,
    #[prost(message, optional, tag = "2")]
    pub gauge: Option<Single>,
    #[prost(message, optional, tag = "3")]
    pub counter: Option<Counter>,
    #[prost(message, optional, tag = "4")]
    pub summary: Option<Summary>,
    #[prost(message, optional, tag = "5")]
    pub untyped: Option<Single>,
    #[prost(int64, optional, tag = "6")]
    pub timestamp_ms: Option<i64>,
    #[prost(message, optional, tag = "7")]
    pub histogram: Option<Histogram>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum MetricType {
    Counter = 0,
    Gauge = 1,
    Summary = 2,
    Untyped = 3,
    Histogram = 4,
    GaugeHistogram = 5,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct MetricFamily {
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub help: Option<String>,
    #[prost(enumeration = "MetricType", optional, tag = "3")]
    pub r#type: Option<i32>,
    #[prost(message, repeated, tag = "4")]
    pub metric: Vec<Metric>,
    #[prost(string, optional, tag = "5")]
    pub unit: Option<String>,
}

/// Decodes a page, and asserts that no server refuses or survives badly what it says.
#[track_caller]
pub(crate) fn decode(mut page: &[u8]) -> Vec<MetricFamily> {
    let mut families = Vec::new();
    while !page.is_empty() {
        families.push(MetricFamily::decode_length_delimited(&mut page).expect("a whole message"));
    }
    families.iter().for_each(assert_servable);
    let mut names = HashSet::new();
    assert!(families.iter().all(|family| names.insert(family.name())));
    families
}

#[track_caller]
fn assert_servable(family: &MetricFamily) {
    assert!(!family.name().is_empty());
    assert!(family.help.is_some() && family.r#type.is_some());
    assert!(
        !family.metric.is_empty(),
        "a family without metrics is left out"
    );
    if let Some(unit) = &family.unit {
        assert!(
            family.name().ends_with(&format!("_{unit}")),
            "{} {unit}",
            family.name()
        );
    }
    let mut series = HashSet::new();
    let mut natives = HashSet::new();
    for metric in &family.metric {
        let mut labels: Vec<&str> = metric.label.iter().map(LabelPair::name).collect();
        labels.sort_unstable();
        assert!(
            labels
                .iter()
                .all(|name| !name.is_empty() && *name != "__name__")
        );
        assert!(labels.is_sorted_by(|a, b| a < b), "{labels:?}");
        let key: Vec<_> = metric.label.iter().map(|l| (l.name(), l.value())).collect();
        assert!(
            series.insert(key.clone()),
            "{} {key:?} is there twice",
            family.name()
        );
        let values = [
            metric
                .counter
                .as_ref()
                .map(|c| (MetricType::Counter, c.value.is_some())),
            metric
                .gauge
                .as_ref()
                .map(|g| (MetricType::Gauge, g.value.is_some())),
            metric
                .untyped
                .as_ref()
                .map(|u| (MetricType::Untyped, u.value.is_some())),
            metric.summary.as_ref().map(|s| {
                let is_whole = s.quantile.iter().all(|q| q.quantile.and(q.value).is_some());
                (
                    MetricType::Summary,
                    s.sample_count.is_some() && s.sample_sum.is_some() && is_whole,
                )
            }),
            metric.histogram.as_ref().map(|h| {
                (
                    MetricType::Histogram,
                    h.sample_count.is_some() && h.sample_sum.is_some(),
                )
            }),
        ];
        let values: Vec<_> = values.into_iter().flatten().collect();
        assert_eq!(values, [(family.r#type(), true)], "{}", family.name());
        assert!(metric.timestamp_ms.is_none());
        if let Some(histogram) = &metric.histogram {
            assert!(!labels.contains(&"le"));
            natives.insert(histogram.schema.is_some());
            assert_histogram(histogram);
        }
        for exemplar in exemplars(metric) {
            assert!(exemplar.value.is_some() && exemplar.timestamp.is_some());
            assert!(
                exemplar
                    .label
                    .iter()
                    .all(|l| !l.name().is_empty() && l.value.is_some())
            );
        }
    }
    assert!(
        natives.len() <= 1,
        "classic and native histograms are mixed"
    );
}

pub(crate) fn exemplars(metric: &Metric) -> impl Iterator<Item = &Exemplar> {
    let of_counter = metric.counter.iter().filter_map(|c| c.exemplar.as_ref());
    let of_histogram = metric.histogram.iter().flat_map(|h| {
        let of_buckets = h
            .bucket
            .iter()
            .filter_map(|bucket| bucket.exemplar.as_ref());
        of_buckets.chain(&h.exemplars)
    });
    of_counter.chain(of_histogram)
}

#[track_caller]
fn assert_histogram(histogram: &Histogram) {
    assert!(histogram.sample_count_float.is_none() && histogram.zero_count_float.is_none());
    assert!(histogram.positive_count.is_empty() && histogram.negative_count.is_empty());
    let cumulative: Vec<u64> = histogram
        .bucket
        .iter()
        .map(Bucket::cumulative_count)
        .collect();
    assert!(cumulative.is_sorted());
    assert!(
        cumulative
            .last()
            .is_none_or(|last| *last <= histogram.sample_count())
    );
    let bounds: Vec<f64> = histogram.bucket.iter().map(Bucket::upper_bound).collect();
    assert!(bounds.is_sorted_by(|a, b| a < b));
    let Some(schema) = histogram.schema else {
        assert_eq!(bounds.last(), Some(&f64::INFINITY));
        assert_eq!(cumulative.last(), Some(&histogram.sample_count()));
        assert!(histogram.zero_threshold.is_none());
        return;
    };
    assert!((-4..=8).contains(&schema), "schema {schema}");
    assert_eq!(histogram.zero_threshold, Some(2f64.powi(-128)));
    let all = buckets(&histogram.positive_span, &histogram.positive_delta)
        .into_iter()
        .chain(buckets(&histogram.negative_span, &histogram.negative_delta));
    let in_buckets: u64 = all.map(|(_, count)| count).sum();
    assert_eq!(
        histogram.sample_count(),
        histogram.zero_count.unwrap() + in_buckets
    );
}

/// The indices and counts of native buckets.
#[track_caller]
pub(crate) fn buckets(spans: &[BucketSpan], deltas: &[i64]) -> Vec<(i32, u64)> {
    let mut index = 0;
    let mut count = 0i64;
    let mut deltas = deltas.iter();
    let mut buckets = Vec::new();
    for (number, span) in spans.iter().enumerate() {
        assert!(number == 0 || span.offset() >= 0);
        index += span.offset();
        for _ in 0..span.length() {
            count += deltas.next().expect("spans are as long as deltas");
            assert!(count >= 0);
            buckets.push((index, count as u64));
            index += 1;
        }
    }
    assert_eq!(deltas.next(), None, "spans are as long as deltas");
    buckets
}

/// A sample as a server stores it: name, labels and value. Bounds and quantiles are
/// spelled by `Debug`.
pub(crate) type Sample = (String, Vec<(String, String)>, u64);

/// The samples of a page, sorted, as a server without native histograms would store
/// them.
pub(crate) fn samples(families: &[MetricFamily]) -> Vec<Sample> {
    let mut samples = Vec::new();
    for family in families {
        for metric in &family.metric {
            let pair = |label: &LabelPair| (label.name().to_owned(), label.value().to_owned());
            let labels: Vec<_> = metric.label.iter().map(pair).collect();
            let mut push = |suffix: &str, extra: Option<(&str, f64)>, value: f64| {
                let mut labels = labels.clone();
                labels.extend(extra.map(|(name, of)| (name.to_owned(), format!("{of:?}"))));
                labels.sort();
                samples.push((
                    format!("{}{suffix}", family.name()),
                    labels,
                    value.to_bits(),
                ));
            };
            if let Some(counter) = &metric.counter {
                push("", None, counter.value());
            }
            if let Some(single) = metric.gauge.as_ref().or(metric.untyped.as_ref()) {
                push("", None, single.value());
            }
            if let Some(summary) = &metric.summary {
                for quantile in &summary.quantile {
                    push(
                        "",
                        Some(("quantile", quantile.quantile())),
                        quantile.value(),
                    );
                }
                push("_sum", None, summary.sample_sum());
                push("_count", None, summary.sample_count() as f64);
            }
            if let Some(histogram) = &metric.histogram {
                let count = histogram.sample_count() as f64;
                for bucket in &histogram.bucket {
                    let le = ("le", bucket.upper_bound());
                    push("_bucket", Some(le), bucket.cumulative_count() as f64);
                }
                if histogram.schema.is_some() {
                    push("_bucket", Some(("le", f64::INFINITY)), count);
                }
                push("_sum", None, histogram.sample_sum());
                push("_count", None, count);
            }
        }
    }
    samples.sort();
    samples
}
