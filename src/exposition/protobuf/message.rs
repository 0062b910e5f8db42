//! The messages of the format, by the numbers of their fields.

use super::super::format::Escaping;
use super::wire::*;
use crate::MetricType;
use crate::cell::{Exemplar, NativeReading};
use crate::family::{Source, ends_in_unit};
use crate::name::{written_label_name, written_metric_name};

/// Fields of a `MetricFamily`.
pub(super) mod family {
    pub(in super::super) const NAME: u8 = 1;
    pub(in super::super) const HELP: u8 = 2;
    pub(in super::super) const TYPE: u8 = 3;
    pub(in super::super) const METRIC: u8 = 4;
    pub(in super::super) const UNIT: u8 = 5;
}

/// Fields of a `Metric`.
pub(super) mod metric {
    pub(in super::super) const LABEL: u8 = 1;
    pub(in super::super) const GAUGE: u8 = 2;
    pub(in super::super) const COUNTER: u8 = 3;
    pub(in super::super) const SUMMARY: u8 = 4;
    pub(in super::super) const UNTYPED: u8 = 5;
    pub(in super::super) const HISTOGRAM: u8 = 7;
}

/// Fields of a `Counter`. `Gauge` and `Untyped` have the value only.
pub(super) mod counter {
    pub(in super::super) const VALUE: u8 = 1;
    pub(in super::super) const EXEMPLAR: u8 = 2;
    pub(in super::super) const CREATED: u8 = 3;
}

/// Fields of a `Summary`.
pub(super) mod summary {
    pub(in super::super) const COUNT: u8 = 1;
    pub(in super::super) const SUM: u8 = 2;
    pub(in super::super) const QUANTILE: u8 = 3;
    pub(in super::super) const CREATED: u8 = 4;
    pub(in super::super) mod quantile {
        pub(in super::super::super) const QUANTILE: u8 = 1;
        pub(in super::super::super) const VALUE: u8 = 2;
    }
}

/// Fields of a `Histogram`.
pub(super) mod histogram {
    pub(in super::super) const COUNT: u8 = 1;
    pub(in super::super) const SUM: u8 = 2;
    pub(in super::super) const BUCKET: u8 = 3;
    pub(in super::super) const CREATED: u8 = 15;
    pub(super) const SCHEMA: u8 = 5;
    pub(super) const ZERO_THRESHOLD: u8 = 6;
    pub(super) const ZERO_COUNT: u8 = 7;
    pub(super) const NEGATIVE_SPAN: u8 = 9;
    pub(super) const NEGATIVE_DELTA: u8 = 10;
    pub(super) const POSITIVE_SPAN: u8 = 12;
    pub(super) const POSITIVE_DELTA: u8 = 13;
    pub(in super::super) mod bucket {
        pub(in super::super::super) const CUMULATIVE_COUNT: u8 = 1;
        pub(in super::super::super) const UPPER_BOUND: u8 = 2;
        pub(in super::super::super) const EXEMPLAR: u8 = 3;
    }
}

/// The key of field 16 of a `Histogram`, its exemplars, which takes two bytes.
const NATIVE_EXEMPLAR: u64 = 16 << 3 | 2;

/// Appends name, help, type and unit of a family.
pub(super) fn push_head(source: &dyn Source, escaping: Escaping, into: &mut Vec<u8>) {
    let descriptor = source.descriptor();
    let metric_type = descriptor.metric_type();
    let base = written_metric_name(&descriptor.name, escaping);
    let suffix = metric_type.name_suffix();
    let name = format!("{base}{suffix}");
    push_field_bytes(family::NAME, name.as_bytes(), into);
    push_field_bytes(family::HELP, descriptor.help().as_bytes(), into);
    let number = match metric_type {
        MetricType::Counter => 0,
        MetricType::Gauge | MetricType::Info | MetricType::StateSet => 1,
        MetricType::Summary => 2,
        MetricType::Unknown => 3,
        MetricType::Histogram => 4,
        MetricType::GaugeHistogram => 5,
    };
    push_field_varint(family::TYPE, number, into);
    if let Some(unit) = descriptor.unit()
        && ends_in_unit(&name, unit)
    {
        push_field_bytes(family::UNIT, unit.as_bytes(), into);
    }
}

/// Appends a label, of a metric or an exemplar. Its name is written already.
pub(super) fn push_label(written_name: &str, value: &str, into: &mut Vec<u8>) {
    let mut pair = Vec::new();
    push_pair(written_name, value, &mut pair);
    push_field_bytes(metric::LABEL, &pair, into);
}

fn push_pair(name: &str, value: &str, into: &mut Vec<u8>) {
    push_field_bytes(1, name.as_bytes(), into);
    push_field_bytes(2, value.as_bytes(), into);
}

/// Appends the label that the samples of a state have.
pub(super) fn push_state_label(
    source: &dyn Source,
    escaping: Escaping,
    state: &str,
    into: &mut Vec<u8>,
) {
    let name = written_label_name(&source.descriptor().name, escaping);
    push_label(&name, state, into);
}

/// Bytes of a time with its field.
pub(super) const TIMESTAMP_LEN: usize = 1 + PADDED + 2 * (1 + COUNT_LEN);

/// Appends a time, in seconds since 1970 (UTC), to the nanosecond.
pub(super) fn push_timestamp(field: u8, seconds: f64, into: &mut Vec<u8>) {
    push_message(field, into, |into| {
        let nanos = (seconds - seconds.floor()) * 1e9;
        // In the fixed width, so that the times of all series are equally long.
        Key::varint(1).push(into);
        into.extend_from_slice(&count_bytes((seconds.floor() as i64).cast_unsigned()));
        Key::varint(2).push(into);
        into.extend_from_slice(&count_bytes(nanos.min(999_999_999.0) as u64));
    });
}

/// Appends the content of an exemplar.
pub(super) fn push_exemplar(exemplar: &Exemplar, into: &mut Vec<u8>) {
    for (name, value) in exemplar.labels.iter() {
        push_message(1, into, |into| push_pair(name, value, into));
    }
    push_field_double(2, exemplar.value, into);
    push_timestamp(3, exemplar.timestamp, into);
}

/// Appends an exemplar of a native histogram.
pub(super) fn push_native_exemplar(exemplar: &Exemplar, into: &mut Vec<u8>) {
    push_varint(NATIVE_EXEMPLAR, into);
    push_delimited(into, |into| push_exemplar(exemplar, into));
}

/// Appends the fields of a native histogram: its count and its sum as well, which
/// are those of the buckets.
pub(super) fn push_native(reading: &NativeReading, into: &mut Vec<u8>) {
    push_field_varint(histogram::COUNT, reading.count(), into);
    push_field_double(histogram::SUM, reading.sum(), into);
    push_field_varint(histogram::SCHEMA, zigzag(i64::from(reading.schema())), into);
    push_field_double(
        histogram::ZERO_THRESHOLD,
        NativeReading::ZERO_THRESHOLD,
        into,
    );
    push_field_varint(histogram::ZERO_COUNT, reading.zero_count(), into);
    push_side(
        reading.negative(),
        [histogram::NEGATIVE_SPAN, histogram::NEGATIVE_DELTA],
        into,
    );
    push_side(
        reading.positive(),
        [histogram::POSITIVE_SPAN, histogram::POSITIVE_DELTA],
        into,
    );
}

/// Empty buckets that are written rather than skipped by a new span, which takes
/// more bytes.
const MAX_GAP: i32 = 2;

/// Appends the buckets of a side: spans of indices, and for each index in a span the
/// difference between its count and the one before.
///
/// Each span follows its own part of the packed list of differences. So its length
/// is their number, whatever the buckets are.
fn push_side(
    buckets: impl Iterator<Item = (i32, u64)>,
    [span, delta]: [u8; 2],
    into: &mut Vec<u8>,
) {
    let mut buckets = buckets.peekable();
    // The index after the last one written, and the count of that one.
    let (mut end, mut before) = (0, 0);
    while let Some((first, _)) = buckets.peek().copied() {
        let offset = i64::from(first) - i64::from(end);
        end = first;
        let mut length = 0;
        push_message(delta, into, |into| {
            let mut push = |count: u64| {
                // Counts are below 2^63: at one observation a nanosecond, for 292
                // years.
                let difference = count.wrapping_sub(before).cast_signed();
                push_varint(zigzag(difference), into);
                before = count;
                length += 1;
            };
            while let Some((index, count)) = buckets.next_if(|(index, _)| *index - end <= MAX_GAP) {
                (end..index).for_each(|_| push(0));
                push(count);
                end = index + 1;
            }
        });
        push_message(span, into, |into| {
            push_field_varint(1, zigzag(offset), into);
            push_field_varint(2, length, into);
        });
    }
}
