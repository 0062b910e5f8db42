//! Reads protobuf pages: delimited `io.prometheus.client.MetricFamily` messages, and
//! what Prometheus servers refuse in them, or do not survive.
//!
//! ```text
//! page          *( length MetricFamily )
//! MetricFamily  1 name, 2 help, 3 type, 4 metric*, 5 unit
//! Metric        1 label*, 2 gauge, 3 counter, 4 summary, 5 untyped, 7 histogram
//! ```

use std::collections::HashSet;
use std::fmt::Display;
use std::ops::RangeInclusive;

/// The contents of a page.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Contents {
    pub(super) families: usize,
    /// As many as the page would have in text.
    pub(super) samples: usize,
    /// The value of `process_cpu_seconds_total`.
    pub(super) cpu: Option<f64>,
}

/// The schemas that servers accept.
const SCHEMAS: RangeInclusive<i64> = -4..=8;

/// Reads a page to its end.
///
/// # Errors
///
/// Returns the first fault as a message that names its byte and its family.
pub(super) fn read(page: &[u8]) -> Result<Contents, String> {
    let mut contents = Contents::default();
    let mut names = HashSet::new();
    let mut rest = page;
    while !rest.is_empty() {
        let start = page.len() - rest.len();
        let at = |name: &str, fault: String| match name {
            "" => format!("message at byte {start}: {fault}"),
            _ => format!("family {name:?} at byte {start}: {fault}"),
        };
        let message = delimited(&mut rest).map_err(|fault| at("", fault))?;
        // For the message of a fault that comes before the name.
        let name = string(message, 1).unwrap_or_default();
        let family = Family::read(message).map_err(|fault| at(&name, fault))?;
        if !names.insert(family.name.clone()) {
            return Err(at(&name, "the family is on the page twice".to_owned()));
        }
        contents.families += 1;
        contents.samples += family.samples;
        if family.name == "process_cpu_seconds_total" {
            contents.cpu = family.first_value;
        }
    }
    Ok(contents)
}

/// Returns true if the bytes begin like a page: with the length of a message that
/// begins with a name, which fits into it. A text page whose first line has one
/// character begins alike, but its second line would have to be such a name.
pub(super) fn is_page(mut bytes: &[u8]) -> bool {
    let mut name_in_message = || {
        let message = varint(&mut bytes).ok()?;
        bytes = bytes.strip_prefix(b"\n")?;
        let len = varint(&mut bytes).ok()?;
        let name = take(&mut bytes, len).ok()?;
        (len > 0 && len + 2 <= message).then_some(name)
    };
    name_in_message().is_some_and(|name| name.iter().all(|byte| *byte >= b' '))
}

/// A family that was read.
struct Family {
    name: String,
    samples: usize,
    /// The value of the first counter or gauge.
    first_value: Option<f64>,
}

const TYPES: [&str; 6] = [
    "counter",
    "gauge",
    "summary",
    "untyped",
    "histogram",
    "gauge histogram",
];
/// The field of a metric's value, by the number of the type.
const VALUE_FIELDS: [u32; 6] = [3, 2, 4, 5, 7, 7];

impl Family {
    fn read(message: &[u8]) -> Result<Self, String> {
        let name = string(message, 1)?;
        if name.is_empty() {
            return Err("the family has no name: servers refuse the page".to_owned());
        }
        string(message, 2)?;
        let family_type = number(message, 3)?.unwrap_or(0);
        let index = usize::try_from(family_type).unwrap_or(usize::MAX);
        let (Some(type_name), Some(value_field)) = (TYPES.get(index), VALUE_FIELDS.get(index))
        else {
            return Err(format!("type {family_type} is not one of 0 to 5"));
        };
        let unit = string(message, 5)?;
        if !unit.is_empty() && !name.ends_with(&format!("_{unit}")) {
            return Err(format!(
                "the name does not end in the unit {unit:?}: Prometheus 2.50 to 3.8 refuses the page"
            ));
        }
        let mut family = Self {
            name,
            samples: 0,
            first_value: None,
        };
        let mut series = HashSet::new();
        let mut native = None;
        for metric in messages(message, 4)? {
            let labels = labels(metric)?;
            let shown = || format!("{{{}}}", labels.join(","));
            if !series.insert(labels.clone()) {
                return Err(format!("the series {} is there twice", shown()));
            }
            let in_series = |fault: String| format!("series {}: {fault}", shown());
            let Some(value) = messages(metric, *value_field)?.pop() else {
                return Err(in_series(format!("expected a {type_name}, found none")));
            };
            let samples = match index {
                0 | 1 | 3 => {
                    let value = double(value, 1)?;
                    if index == 3 && value.is_none() {
                        let fault =
                            "the value is left out: Prometheus 3 takes that of the series before";
                        return Err(in_series(fault.to_owned()));
                    }
                    family.first_value = family.first_value.or(value);
                    1
                }
                2 => 2 + messages(value, 3)?.len(),
                _ => {
                    let histogram = Histogram::read(value).map_err(in_series)?;
                    if *native.get_or_insert(histogram.is_native) != histogram.is_native {
                        let fault = "classic and native histograms are mixed in the family";
                        return Err(in_series(fault.to_owned()));
                    }
                    if !histogram.is_native && labels.iter().any(|label| label.starts_with("le=")) {
                        let fault = "a classic histogram has a label le: servers refuse the page";
                        return Err(in_series(fault.to_owned()));
                    }
                    histogram.samples
                }
            };
            family.samples += samples;
        }
        Ok(family)
    }
}

/// Returns the labels of a metric, sorted, as `name="value"`.
fn labels(metric: &[u8]) -> Result<Vec<String>, String> {
    let mut names = HashSet::new();
    let mut labels = Vec::new();
    for label in messages(metric, 1)? {
        let (name, value) = (string(label, 1)?, string(label, 2)?);
        if name.is_empty() || name == "__name__" {
            return Err(format!("the label name {name:?} is not allowed"));
        }
        labels.push(format!("{name}={value:?}"));
        if !names.insert(name.clone()) {
            return Err(format!("the label {name:?} is there twice"));
        }
    }
    labels.sort();
    Ok(labels)
}

struct Histogram {
    is_native: bool,
    samples: usize,
}

impl Histogram {
    fn read(message: &[u8]) -> Result<Self, String> {
        let count = number(message, 1)?.unwrap_or(0);
        let sum = double(message, 2)?.unwrap_or(0.0);
        let is_float = double(message, 4)?.is_some_and(|count| count > 0.0);
        let zero = number(message, 7)?.unwrap_or(0);
        let threshold = double(message, 6)?.unwrap_or(0.0);
        let mut in_buckets = u128::from(zero);
        let mut has_spans = false;
        for (side, spans, deltas, counts) in [("negative", 9, 10, 11), ("positive", 12, 13, 14)] {
            let spans = messages(message, spans)?;
            has_spans |= !spans.is_empty();
            let listed = Side::read(
                &spans,
                &numbers(message, deltas)?,
                doubles(message, counts)?,
            );
            in_buckets += listed.map_err(|fault| format!("{side} buckets: {fault}"))?;
        }
        let is_native = has_spans || zero > 0 || threshold > 0.0;
        let buckets = messages(message, 3)?;
        if !is_native {
            return Ok(Self {
                is_native,
                samples: 2 + buckets.len(),
            });
        }
        let schema = number(message, 5)?.map_or(0, zigzag);
        if !SCHEMAS.contains(&schema) {
            return Err(format!(
                "schema {schema} is not between -4 and 8: queries of it kill Prometheus 2.42, and \
                 servers from 3.7 on refuse the page"
            ));
        }
        let count_fits =
            u128::from(count) == in_buckets || sum.is_nan() && u128::from(count) > in_buckets;
        if !is_float && !count_fits {
            return Err(format!(
                "the count is {count}, and its buckets have {in_buckets}: servers refuse the page"
            ));
        }
        Ok(Self {
            is_native,
            samples: 1,
        })
    }
}

/// The buckets of one side of a native histogram.
struct Side;

impl Side {
    /// Returns the number of observations in the buckets.
    fn read(spans: &[&[u8]], deltas: &[u64], counts: usize) -> Result<u128, String> {
        let mut length = 0;
        for (index, span) in spans.iter().enumerate() {
            let offset = number(span, 1)?.map_or(0, zigzag);
            if index > 0 && offset < 0 {
                return Err(format!("span {} goes back by {offset}", index + 1));
            }
            length += number(span, 2)?.unwrap_or(0);
        }
        let listed = deltas.len().max(counts) as u64;
        if length != listed {
            return Err(format!(
                "the spans have {length} buckets, and {listed} are listed: this kills Prometheus \
                 2.42 if the spans are shorter, and other servers refuse the page"
            ));
        }
        let (mut count, mut total) = (0i128, 0u128);
        for delta in deltas {
            count += i128::from(zigzag(*delta));
            let count = u128::try_from(count).map_err(|_| "a bucket has a negative count")?;
            total += count;
        }
        Ok(total)
    }
}

/// The value of a field.
enum Value<'a> {
    Varint(u64),
    Double(f64),
    Bytes(&'a [u8]),
    Other,
}

fn varint(bytes: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            *bytes = &bytes[index + 1..];
            return Ok(value);
        }
    }
    Err(match bytes.len() {
        0..10 => "the page ends within a number".to_owned(),
        _ => "a number has more than 10 bytes".to_owned(),
    })
}

fn zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

fn take<'a>(bytes: &mut &'a [u8], len: u64) -> Result<&'a [u8], String> {
    let split = usize::try_from(len)
        .ok()
        .and_then(|len| bytes.split_at_checked(len));
    let (taken, rest) = split.ok_or_else(|| {
        format!(
            "expected {len} more bytes, found {}: the page is cut off",
            bytes.len()
        )
    })?;
    *bytes = rest;
    Ok(taken)
}

fn delimited<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let before = bytes.len();
    let len = varint(bytes)?;
    if before - bytes.len() > 5 {
        return Err("the length of a message has more than 5 bytes".to_owned());
    }
    take(bytes, len)
}

/// Calls `each` with the number and the value of each field of a message.
fn fields<'a>(
    mut message: &'a [u8],
    mut each: impl FnMut(u32, Value<'a>) -> Result<(), String>,
) -> Result<(), String> {
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let field = u32::try_from(key >> 3).map_err(|_| "a field number is too great")?;
        let value = match key & 7 {
            0 => Value::Varint(varint(&mut message)?),
            1 => {
                let bytes = take(&mut message, 8)?.try_into().expect("8 bytes");
                Value::Double(f64::from_le_bytes(bytes))
            }
            2 => {
                let len = varint(&mut message)?;
                Value::Bytes(take(&mut message, len)?)
            }
            5 => {
                take(&mut message, 4)?;
                Value::Other
            }
            other => return Err(format!("field {field} has the wire type {other}")),
        };
        each(field, value)?;
    }
    Ok(())
}

/// The error of a field whose value is of another type.
fn mistyped(field: u32, expected: impl Display) -> String {
    format!("field {field} is not a {expected}")
}

/// Returns the messages in a repeated field.
fn messages(message: &[u8], wanted: u32) -> Result<Vec<&[u8]>, String> {
    let mut found = Vec::new();
    fields(message, |field, value| match value {
        Value::Bytes(bytes) if field == wanted => {
            found.push(bytes);
            Ok(())
        }
        _ if field == wanted => Err(mistyped(field, "message")),
        _ => Ok(()),
    })?;
    Ok(found)
}

/// Returns a text, empty if it is left out.
fn string(message: &[u8], wanted: u32) -> Result<String, String> {
    match messages(message, wanted)?.pop() {
        None => Ok(String::new()),
        Some(bytes) => String::from_utf8(bytes.to_vec())
            .map_err(|_| format!("field {wanted} is not UTF-8: servers refuse the page")),
    }
}

/// Returns the last value of a numeric field.
fn number(message: &[u8], wanted: u32) -> Result<Option<u64>, String> {
    let mut found = None;
    fields(message, |field, value| match value {
        Value::Varint(number) if field == wanted => {
            found = Some(number);
            Ok(())
        }
        _ if field == wanted => Err(mistyped(field, "integer")),
        _ => Ok(()),
    })?;
    Ok(found)
}

/// Returns the last value of a field of doubles.
fn double(message: &[u8], wanted: u32) -> Result<Option<f64>, String> {
    let mut found = None;
    fields(message, |field, value| match value {
        Value::Double(number) if field == wanted => {
            found = Some(number);
            Ok(())
        }
        _ if field == wanted => Err(mistyped(field, "double")),
        _ => Ok(()),
    })?;
    Ok(found)
}

/// Returns the numbers of a repeated field, packed or not.
fn numbers(message: &[u8], wanted: u32) -> Result<Vec<u64>, String> {
    let mut found = Vec::new();
    fields(message, |field, value| match value {
        Value::Varint(number) if field == wanted => {
            found.push(number);
            Ok(())
        }
        Value::Bytes(mut packed) if field == wanted => {
            while !packed.is_empty() {
                found.push(varint(&mut packed)?);
            }
            Ok(())
        }
        _ if field == wanted => Err(mistyped(field, "list of integers")),
        _ => Ok(()),
    })?;
    Ok(found)
}

/// Returns the length of a repeated field of doubles, packed or not.
fn doubles(message: &[u8], wanted: u32) -> Result<usize, String> {
    let mut found = 0;
    fields(message, |field, value| match value {
        Value::Double(_) if field == wanted => {
            found += 1;
            Ok(())
        }
        Value::Bytes(packed) if field == wanted => {
            found += packed.len() / 8;
            Ok(())
        }
        _ if field == wanted => Err(mistyped(field, "list of doubles")),
        _ => Ok(()),
    })?;
    Ok(found)
}
