//! Writes events back as text, in the canonical form that our writer uses.
//!
//! The content stays the same; the spelling becomes canonical: one blank between
//! tokens, no blank lines, one spelling for each number and escape, quotes around
//! names only where they are needed. So two pages of the same content become the
//! same bytes, and rewriting a rewritten page changes nothing.

use super::Format;
use super::escape::{Quotes, escape_help, quote};
use super::number;
use super::parser::{self, CompositeValue, Error, Event, Options, ParsedLabels, Sample, Timestamp};
use crate::name;
use std::borrow::Borrow;

/// Parses a page and writes it in canonical form, in its own format.
///
/// # Errors
///
/// Returns the first error of the page.
///
/// ```
/// use stethoscope::exposition::{Format, rewrite::rewrite};
///
/// let page = "#  TYPE jobs\tgauge\n\njobs { queue = \"a\" , } 1.50e1\n";
/// assert_eq!(
///     rewrite(page, Format::Text)?,
///     b"# TYPE jobs gauge\njobs{queue=\"a\"} 15\n"
/// );
/// # Ok::<_, stethoscope::exposition::parser::Error>(())
/// ```
pub fn rewrite<T: AsRef<[u8]> + ?Sized>(
    page: &T,
    options: impl Into<Options>,
) -> Result<Vec<u8>, Error> {
    let options = options.into();
    let mut parser = parser::parse(page, options);
    let mut rewritten = Vec::new();
    while let Some(next) = parser.next_ref() {
        let (_, event) = next?;
        write_event(&event, options.format, &mut rewritten);
    }
    Ok(rewritten)
}

/// Appends the line of an event in `format`, which must be able to express it.
pub fn write_event<'a, S: Borrow<Sample<'a>>>(
    event: &Event<'a, S>,
    format: Format,
    into: &mut Vec<u8>,
) {
    let openmetrics = format.is_openmetrics();
    match event {
        Event::Help { name, text } => {
            metadata("# HELP ", name, into);
            // OpenMetrics requires the blank even before an empty text.
            if openmetrics || !text.is_empty() {
                into.push(b' ');
            }
            let quotes = match openmetrics {
                true => Quotes::Escaped,
                false => Quotes::Literal,
            };
            escape_help(text, quotes, into);
        }
        Event::Type { name, metric_type } => {
            metadata("# TYPE ", name, into);
            into.push(b' ');
            into.extend_from_slice(metric_type.type_word(openmetrics).as_bytes());
        }
        Event::Unit { name, unit } => {
            metadata("# UNIT ", name, into);
            into.push(b' ');
            into.extend_from_slice(unit.as_bytes());
        }
        Event::Comment { text } => {
            into.push(b'#');
            into.extend_from_slice(text);
        }
        Event::Sample(sample) => write_sample(sample.borrow(), into),
        Event::Eof => into.extend_from_slice(b"# EOF"),
    }
    into.push(b'\n');
}

fn metadata(keyword: &str, metric: &str, into: &mut Vec<u8>) {
    into.extend_from_slice(keyword.as_bytes());
    if name::is_classic_metric_name(metric) {
        into.extend_from_slice(metric.as_bytes());
    } else {
        quote(metric, into);
    }
}

fn write_sample(sample: &Sample<'_>, into: &mut Vec<u8>) {
    let metric = sample.name();
    if name::is_classic_metric_name(&metric) {
        into.extend_from_slice(metric.as_bytes());
        if sample.labels().next().is_some() {
            into.push(b'{');
            labels(sample.labels(), into);
            into.push(b'}');
        }
    } else {
        into.push(b'{');
        quote(&metric, into);
        if sample.labels().next().is_some() {
            into.push(b',');
            labels(sample.labels(), into);
        }
        into.push(b'}');
    }
    into.push(b' ');
    match sample.composite() {
        Some(composite) => write_composite(composite, into),
        None => write_number(sample.value_text(), into),
    }
    if let Some(timestamp) = sample.timestamp() {
        into.push(b' ');
        match timestamp {
            Timestamp::Millis(millis) => print(number::format_i64(millis), into),
            Timestamp::Seconds(seconds) => print(number::format_f64(seconds), into),
        }
    }
    if let Some(seconds) = sample.start_time() {
        into.extend_from_slice(b" st@");
        print(number::format_f64(seconds), into);
    }
    for exemplar in sample.exemplars() {
        into.extend_from_slice(b" # {");
        labels(exemplar.labels(), into);
        into.extend_from_slice(b"} ");
        print(number::format_f64(exemplar.value()), into);
        if let Some(seconds) = exemplar.timestamp() {
            into.push(b' ');
            print(number::format_f64(seconds), into);
        }
    }
}

/// Writes a number, given as it was written.
fn write_number(text: &str, into: &mut Vec<u8>) {
    let float = || number::parse_f64(text.as_bytes()).unwrap_or(f64::NAN);
    // An integer beyond 2^53 is exact only as text.
    match text.parse::<i128>() {
        Ok(integer) if integer != 0 => match (u64::try_from(integer), i64::try_from(integer)) {
            (Ok(integer), _) => print(number::format_u64(integer), into),
            (_, Ok(integer)) => print(number::format_i64(integer), into),
            _ => print(number::format_f64(float()), into),
        },
        _ => print(number::format_f64(float()), into),
    }
}

/// Writes a composite value: bounds and quantiles as in the labels of OpenMetrics 1.0,
/// and all other numbers as values.
fn write_composite(value: CompositeValue<'_>, into: &mut Vec<u8>) {
    for (index, (name, value)) in value.fields().enumerate() {
        into.push(if index == 0 { b'{' } else { b',' });
        into.extend_from_slice(name.as_bytes());
        into.push(b':');
        let bounds = matches!(name, "bucket" | "quantile");
        let is_list = bounds || name.ends_with("_spans") || name.ends_with("_buckets");
        if !is_list {
            write_number(value, into);
            continue;
        }
        into.push(b'[');
        for (index, item) in value.split(',').enumerate() {
            if index > 0 {
                into.push(b',');
            }
            let (key, number) = match item.split_once(':') {
                Some((key, number)) => (Some(key), number),
                None => (None, item),
            };
            match key {
                Some(bound) if bounds => {
                    let bound = number::parse_f64(bound.as_bytes()).unwrap_or(f64::NAN);
                    print(number::format_bound(bound), into);
                    into.push(b':');
                }
                Some(offset) => {
                    write_number(offset, into);
                    into.push(b':');
                }
                None => {}
            }
            if !number.is_empty() {
                write_number(number, into);
            }
        }
        into.push(b']');
    }
    into.push(b'}');
}

fn labels(labels: ParsedLabels<'_, '_>, into: &mut Vec<u8>) {
    for (index, label) in labels.enumerate() {
        if index > 0 {
            into.push(b',');
        }
        if name::is_classic_label_name(&label.name) {
            into.extend_from_slice(label.name.as_bytes());
        } else {
            quote(&label.name, into);
        }
        into.push(b'=');
        quote(&label.value, into);
    }
}

fn print(number: number::FormattedNumber, into: &mut Vec<u8>) {
    into.extend_from_slice(number.as_bytes());
}
