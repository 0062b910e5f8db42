//! JSON: strings, and a sample as a line.
//!
//! Written by hand, because strings must be safe to print: beyond what JSON
//! requires, characters that a terminal obeys or hides are escaped.

use super::protobuf::{
    DecodedExemplar, DecodedFamily, DecodedHistogram, DecodedMetric, MetricValue, Native,
};
use std::fmt::Display;
use std::io::{self, Write};
use stethoscope::MetricType;
use stethoscope::exposition::number::{format_bound, format_f64, format_go};
use stethoscope::exposition::parser::{
    CompositeValue, ParsedLabels, Sample, Timestamp, is_unprintable,
};

/// Writes `{"name":…,"labels":[[…,…]],"value":"…"}`, with `timestamp_ms`,
/// `start_timestamp_ms` and `exemplar` if the sample has them. Values are strings, as JSON
/// has no NaN, in the shortest form that reads back as the same float. A composite value is
/// `histogram` or `summary` in place of `value`, and more than one exemplar are
/// `exemplars`.
pub(super) fn write_sample(sample: &Sample<'_>, into: &mut impl Write) -> io::Result<()> {
    write!(into, "{{\"name\":")?;
    write_string(&sample.name(), into)?;
    write_labels(sample.labels(), into)?;
    match sample.composite() {
        Some(composite) => write_composite(composite, into)?,
        None => {
            let value = format_go(sample.value());
            write!(into, ",\"value\":\"{}\"", value.as_str())?;
        }
    }
    if let Some(timestamp) = sample.timestamp() {
        write!(into, ",\"timestamp_ms\":{}", timestamp.millis())?;
    }
    if let Some(seconds) = sample.start_time() {
        let millis = Timestamp::Seconds(seconds).millis();
        write!(into, ",\"start_timestamp_ms\":{millis}")?;
    }
    match sample.exemplars().count() {
        0 => {}
        1 => write!(into, ",\"exemplar\":")?,
        _ => write!(into, ",\"exemplars\":[")?,
    }
    let mut separator = "";
    for exemplar in sample.exemplars() {
        write!(into, "{separator}{{\"value\":\"")?;
        write!(into, "{}\"", format_go(exemplar.value()).as_str())?;
        write_labels(exemplar.labels(), into)?;
        if let Some(seconds) = exemplar.timestamp() {
            let millis = Timestamp::Seconds(seconds).millis();
            write!(into, ",\"timestamp_ms\":{millis}")?;
        }
        write!(into, "}}")?;
        separator = ",";
    }
    writeln!(
        into,
        "{}}}",
        if sample.exemplars().count() > 1 {
            "]"
        } else {
            ""
        }
    )
}

/// Writes a composite value: the fields of a native histogram as those of protobuf, and
/// `buckets` or `quantiles`, which are pairs.
fn write_composite(value: CompositeValue<'_>, into: &mut impl Write) -> io::Result<()> {
    let is_summary = value.metric_type() == MetricType::Summary;
    let name = if is_summary { "summary" } else { "histogram" };
    write!(
        into,
        ",\"{name}\":{{\"count\":\"{}\",\"sum\":\"{}\"",
        value.count_text(),
        format_go(value.sum()).as_str()
    )?;
    if let Some(native) = value.native() {
        write!(
            into,
            ",\"schema\":{},\"zero_threshold\":\"{}\",\"zero_count\":\"{}\",\"negative\":[",
            native.schema(),
            format_go(native.zero_threshold()).as_str(),
            format_f64(native.zero_count()).as_str()
        )?;
        write_buckets(native.negative(), into)?;
        write!(into, "],\"positive\":[")?;
        write_buckets(native.positive(), into)?;
        write!(into, "]")?;
    }
    let is_bound = |(bound, value): (f64, f64)| {
        let (bound, value) = (format_bound(bound), format_f64(value));
        format!("[\"{}\",\"{}\"]", bound.as_str(), value.as_str())
    };
    let quantiles = value.quantiles().map(is_bound);
    let buckets: Vec<_> = value.classic_buckets().map(is_bound).collect();
    if is_summary {
        let quantiles: Vec<_> = quantiles.collect();
        write!(into, ",\"quantiles\":[{}]", quantiles.join(","))?;
    } else if !buckets.is_empty() {
        write!(into, ",\"buckets\":[{}]", buckets.join(","))?;
    }
    write!(into, "}}")
}

/// Writes the native buckets that count something.
fn write_buckets(
    buckets: impl Iterator<Item = (i64, f64)>,
    into: &mut impl Write,
) -> io::Result<()> {
    let counted = buckets.filter(|(_, count)| *count != 0.0);
    for (position, (index, count)) in counted.enumerate() {
        let comma = if position == 0 { "" } else { "," };
        write!(into, "{comma}[{index},\"{}\"]", format_f64(count).as_str())?;
    }
    Ok(())
}

/// Writes the samples of a protobuf family, each as a line, by the names that servers
/// store them under. A native histogram has `histogram` in place of `value`.
pub(super) fn write_family(family: &DecodedFamily, into: &mut impl Write) -> io::Result<()> {
    for metric in &family.metrics {
        let lines = Lines {
            name: &family.name,
            metric,
        };
        match &metric.value {
            MetricValue::Single(value, exemplar) => {
                lines.write(
                    "",
                    None,
                    &format_go(*value).as_str(),
                    exemplar.as_ref(),
                    into,
                )?;
            }
            MetricValue::Summary(summary) => {
                for (quantile, value) in &summary.quantiles {
                    let label = Some(("quantile", *quantile));
                    lines.write("", label, &format_go(*value).as_str(), None, into)?;
                }
                lines.write("_sum", None, &format_go(summary.sum).as_str(), None, into)?;
                lines.write("_count", None, &summary.count, None, into)?;
            }
            MetricValue::Histogram(histogram) => {
                if let Some(native) = &histogram.native {
                    lines.write_native(histogram, native, into)?;
                }
                for bucket in &histogram.buckets {
                    let label = Some(("le", bucket.bound));
                    let exemplar = bucket.exemplar.as_ref();
                    lines.write("_bucket", label, &bucket.count, exemplar, into)?;
                }
                if histogram.native.is_none() || !histogram.buckets.is_empty() {
                    lines.write("_sum", None, &format_go(histogram.sum).as_str(), None, into)?;
                    lines.write("_count", None, &histogram.count, None, into)?;
                }
            }
        }
    }
    Ok(())
}

/// The lines of a series.
struct Lines<'a> {
    name: &'a str,
    metric: &'a DecodedMetric,
}

impl Lines<'_> {
    /// Writes a line with a value, with the label of a bucket or a quantile.
    fn write(
        &self,
        suffix: &str,
        added: Option<(&str, f64)>,
        value: &dyn Display,
        exemplar: Option<&DecodedExemplar>,
        into: &mut impl Write,
    ) -> io::Result<()> {
        self.write_head(suffix, added, into)?;
        write!(into, ",\"value\":\"{value}\"")?;
        self.write_timestamp(into)?;
        if let Some(exemplar) = exemplar {
            write!(into, ",\"exemplar\":")?;
            write_exemplar(exemplar, into)?;
        }
        writeln!(into, "}}")
    }

    fn write_native(
        &self,
        histogram: &DecodedHistogram,
        native: &Native,
        into: &mut impl Write,
    ) -> io::Result<()> {
        self.write_head("", None, into)?;
        write!(
            into,
            ",\"histogram\":{{\"count\":\"{}\",\"sum\":\"{}\",\"schema\":{},\
             \"zero_threshold\":\"{}\",\"zero_count\":\"{}\"",
            histogram.count,
            format_go(histogram.sum).as_str(),
            native.schema,
            format_go(native.zero_threshold).as_str(),
            native.zero_count
        )?;
        for (name, side) in [
            ("negative", &native.negative),
            ("positive", &native.positive),
        ] {
            write!(into, ",\"{name}\":[")?;
            for (position, (index, count)) in side.iter().enumerate() {
                let comma = if position == 0 { "" } else { "," };
                write!(into, "{comma}[{index},\"{count}\"]")?;
            }
            write!(into, "]")?;
        }
        write!(into, "}}")?;
        self.write_timestamp(into)?;
        if !native.exemplars.is_empty() {
            write!(into, ",\"exemplars\":[")?;
            for (position, exemplar) in native.exemplars.iter().enumerate() {
                write!(into, "{}", if position == 0 { "" } else { "," })?;
                write_exemplar(exemplar, into)?;
            }
            write!(into, "]")?;
        }
        writeln!(into, "}}")
    }

    /// Writes the name and the labels.
    fn write_head(
        &self,
        suffix: &str,
        added: Option<(&str, f64)>,
        into: &mut impl Write,
    ) -> io::Result<()> {
        write!(into, "{{\"name\":")?;
        write_string(&format!("{}{suffix}", self.name), into)?;
        let added = added.map(|(name, value)| (name, format_bound(value)));
        let added = added.as_ref().map(|(name, value)| (*name, value.as_str()));
        write_pairs(self.metric.labels.iter().map(as_str).chain(added), into)
    }

    fn write_timestamp(&self, into: &mut impl Write) -> io::Result<()> {
        match self.metric.timestamp_ms {
            Some(timestamp) => write!(into, ",\"timestamp_ms\":{timestamp}"),
            None => Ok(()),
        }
    }
}

fn as_str((name, value): &(String, String)) -> (&str, &str) {
    (name, value)
}

fn write_exemplar(exemplar: &DecodedExemplar, into: &mut impl Write) -> io::Result<()> {
    write!(
        into,
        "{{\"value\":\"{}\"",
        format_go(exemplar.value).as_str()
    )?;
    write_pairs(exemplar.labels.iter().map(as_str), into)?;
    if let Some(timestamp) = exemplar.timestamp_ms {
        write!(into, ",\"timestamp_ms\":{timestamp}")?;
    }
    write!(into, "}}")
}

fn write_labels(labels: ParsedLabels<'_, '_>, into: &mut impl Write) -> io::Result<()> {
    write_pairs(labels.map(|label| (label.name, label.value)), into)
}

fn write_pairs<S: AsRef<str>>(
    pairs: impl Iterator<Item = (S, S)>,
    into: &mut impl Write,
) -> io::Result<()> {
    write!(into, ",\"labels\":[")?;
    for (index, (name, value)) in pairs.enumerate() {
        write!(into, "{}", if index == 0 { "[" } else { ",[" })?;
        write_string(name.as_ref(), into)?;
        write!(into, ",")?;
        write_string(value.as_ref(), into)?;
        write!(into, "]")?;
    }
    write!(into, "]")
}

/// Writes a JSON string.
fn write_string(text: &str, into: &mut impl Write) -> io::Result<()> {
    write!(into, "\"")?;
    let mut plain = 0;
    for (at, character) in text.char_indices() {
        if !matches!(character, '"' | '\\') && !is_unprintable(character) {
            continue;
        }
        into.write_all(&text.as_bytes()[plain..at])?;
        match character {
            '"' | '\\' => write!(into, "\\{character}")?,
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(into, "\\u{unit:04x}")?;
                }
            }
        }
        plain = at + character.len_utf8();
    }
    into.write_all(&text.as_bytes()[plain..])?;
    write!(into, "\"")
}

/// Returns a text as a JSON string.
pub(super) fn string(text: &str) -> String {
    let mut quoted = Vec::new();
    write_string(text, &mut quoted).expect("a Vec takes all writes");
    String::from_utf8(quoted).expect("the text was UTF-8")
}

/// Returns a number as JSON, which has neither NaN nor infinities.
pub(super) fn number(value: f64) -> String {
    if value.is_finite() {
        value.to_string()
    } else {
        "null".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_without_json_form_is_null() {
        assert_eq!(number(0.5), "0.5");
        assert_eq!(number(f64::NAN), "null");
        assert_eq!(number(f64::INFINITY), "null");
    }

    #[test]
    fn unprintable_characters_are_escaped() {
        assert_eq!(string("a\"b\\é"), "\"a\\\"b\\\\é\"");
        assert_eq!(
            string("\u{1b}\u{7f}\u{9b}\u{202e}\u{200b}\u{e0001}"),
            "\"\\u001b\\u007f\\u009b\\u202e\\u200b\\udb40\\udc01\""
        );
    }
}
