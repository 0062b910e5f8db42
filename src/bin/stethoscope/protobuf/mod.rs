//! Reads protobuf pages: delimited `io.prometheus.client.MetricFamily` messages, and
//! what Prometheus servers refuse in them, or do not survive.
//!
//! ```text
//! page          *( length MetricFamily )
//! MetricFamily  1 name, 2 help, 3 type, 4 metric*, 5 unit
//! Metric        1 label*, 2 gauge, 3 counter, 4 summary, 5 untyped, 7 histogram
//! ```

mod lint;
mod wire;

pub(super) use lint::{ProtobufLinter, message};

use crate::output::one_line;
use std::collections::HashSet;
use std::fmt::{self, Display};
use std::ops::RangeInclusive;
use stethoscope::MetricType;
use stethoscope::exposition::number::format_go;
use wire::{
    delimited, double, doubles, is_family, messages, number, numbers, string, take, varint, zigzag,
};

/// The size of a page, and a value of it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct PageTotals {
    pub(super) families: usize,
    /// As many as the page would have in text.
    pub(super) samples: usize,
    /// The value of `process_cpu_seconds_total`.
    pub(super) cpu: Option<f64>,
}

/// The schemas that servers accept.
const SCHEMAS: RangeInclusive<i64> = -4..=8;

/// Reads a page to its end, and calls `each` with its families.
///
/// # Errors
///
/// Returns the first fault as a message that names its byte and its family.
pub(super) fn read(
    page: &[u8],
    mut each: impl FnMut(&DecodedFamily),
) -> Result<PageTotals, String> {
    let mut totals = PageTotals::default();
    let mut names = HashSet::new();
    let mut rest = page;
    while !rest.is_empty() {
        let start = page.len() - rest.len();
        // Names of labels may have newlines.
        let at = |name: &str, fault: String| match (name, one_line(&fault)) {
            ("", fault) => format!("message at byte {start}: {fault}"),
            (_, fault) => format!("family {name:?} at byte {start}: {fault}"),
        };
        let message = delimited(&mut rest).map_err(|fault| at("", fault))?;
        // For the message of a fault that comes before the name.
        let name = string(message, 1).unwrap_or_default();
        let family = DecodedFamily::read(message).map_err(|fault| at(&name, fault))?;
        if !names.insert(family.name.clone()) {
            return Err(at(&name, "the family is on the page twice".to_owned()));
        }
        totals.families += 1;
        totals.samples += family.samples();
        if family.name == "process_cpu_seconds_total"
            && let Some(MetricValue::Single(value, _)) = family.metrics.first().map(|m| &m.value)
        {
            totals.cpu = Some(*value);
        }
        each(&family);
    }
    Ok(totals)
}

/// Returns true if the bytes begin like a page: with the length of a message that begins
/// with a name or is a whole family. The first line of a text page may have such a
/// length, but its bytes are not those of a message.
pub(super) fn is_page(bytes: &[u8]) -> bool {
    begins_with_name(bytes) || begins_with_family(bytes)
}

/// Returns true if the bytes begin with the length of a message that begins with a name,
/// which fits into it. The message may be cut off. A text page whose first line has one
/// character begins alike, but its second line would have to be such a name.
fn begins_with_name(mut bytes: &[u8]) -> bool {
    let mut name_in_message = || {
        let message = varint(&mut bytes).ok()?;
        bytes = bytes.strip_prefix(b"\n")?;
        let len = varint(&mut bytes).ok()?;
        let name = take(&mut bytes, len).ok()?;
        (len > 0 && len + 2 <= message).then_some(name)
    };
    name_in_message().is_some_and(|name| name.iter().all(|byte| *byte >= b' '))
}

/// Returns true if the bytes begin with a whole message that has the fields of a family, in
/// any order, and bytes that text does not have.
fn begins_with_family(mut bytes: &[u8]) -> bool {
    delimited(&mut bytes).is_ok_and(|message| looks_binary(message) && is_family(message))
}

/// Returns true if bytes are hardly text: there are control characters among them that
/// end no line and are no tab, or they are not UTF-8.
pub(super) fn looks_binary(bytes: &[u8]) -> bool {
    let is_control = |byte: &u8| *byte < b' ' && !b"\t\n\r".contains(byte);
    // A character may be cut off.
    let is_utf8 =
        std::str::from_utf8(bytes).map_or_else(|error| error.error_len().is_none(), |_| true);
    bytes.iter().any(is_control) || !is_utf8
}

/// A family that was read.
pub(super) struct DecodedFamily {
    pub(super) name: String,
    pub(super) help: String,
    pub(super) metric_type: MetricType,
    pub(super) metrics: Vec<DecodedMetric>,
}

/// A series of a family.
pub(super) struct DecodedMetric {
    /// Names and values, in the order of the page.
    pub(super) labels: Vec<(String, String)>,
    pub(super) timestamp_ms: Option<i64>,
    pub(super) value: MetricValue,
}

pub(super) enum MetricValue {
    Single(f64, Option<DecodedExemplar>),
    Summary(DecodedSummary),
    Histogram(DecodedHistogram),
}

pub(super) struct DecodedSummary {
    pub(super) count: u64,
    pub(super) sum: f64,
    /// Quantiles, from 0 to 1, with their values.
    pub(super) quantiles: Vec<(f64, f64)>,
}

pub(super) struct DecodedExemplar {
    pub(super) labels: Vec<(String, String)>,
    pub(super) value: f64,
    pub(super) timestamp_ms: Option<i64>,
}

pub(super) struct DecodedHistogram {
    pub(super) count: ObservationCount,
    pub(super) sum: f64,
    /// The classic buckets, without that of +Inf if it is left out.
    pub(super) buckets: Vec<Bucket>,
    pub(super) native: Option<Native>,
}

pub(super) struct Bucket {
    pub(super) bound: f64,
    /// The observations up to the bound.
    pub(super) count: ObservationCount,
    pub(super) exemplar: Option<DecodedExemplar>,
}

/// The native buckets of a histogram.
pub(super) struct Native {
    pub(super) schema: i64,
    pub(super) zero_threshold: f64,
    pub(super) zero_count: ObservationCount,
    /// Indices and counts.
    pub(super) positive: Vec<(i64, ObservationCount)>,
    pub(super) negative: Vec<(i64, ObservationCount)>,
    pub(super) exemplars: Vec<DecodedExemplar>,
}

/// A number of observations. Histograms of floats come from recording rules.
#[derive(Clone, Copy)]
pub(super) enum ObservationCount {
    Integer(u64),
    Float(f64),
}

impl Display for ObservationCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(count) => write!(f, "{count}"),
            Self::Float(count) => f.write_str(format_go(*count).as_str()),
        }
    }
}

/// The types by their numbers, each with the field of a metric's value.
const TYPES: [(MetricType, u32); 6] = [
    (MetricType::Counter, 3),
    (MetricType::Gauge, 2),
    (MetricType::Summary, 4),
    (MetricType::Unknown, 5),
    (MetricType::Histogram, 7),
    (MetricType::GaugeHistogram, 7),
];

impl DecodedFamily {
    fn read(message: &[u8]) -> Result<Self, String> {
        let name = string(message, 1)?;
        if name.is_empty() {
            return Err("the family has no name: servers refuse the page".to_owned());
        }
        let help = string(message, 2)?;
        let number = number(message, 3)?.unwrap_or(0);
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        let Some((metric_type, value_field)) = TYPES.get(index).copied() else {
            return Err(format!("type {number} is not one of 0 to 5"));
        };
        let unit = string(message, 5)?;
        if !unit.is_empty() && !name.ends_with(&format!("_{unit}")) {
            return Err(format!(
                "the name does not end in the unit {unit:?}: Prometheus 2.50 to 3.8 refuses the page"
            ));
        }
        let mut metrics = Vec::new();
        let mut series = HashSet::new();
        let mut native = None;
        for message in messages(message, 4)? {
            let labels = labels(message)?;
            let mut sorted: Vec<_> = labels.iter().map(|(n, v)| format!("{n}={v:?}")).collect();
            sorted.sort();
            let sorted = sorted.join(",");
            let in_series = |fault: String| format!("series {{{sorted}}}: {fault}");
            let metric = DecodedMetric::read(message, labels, metric_type, value_field);
            let metric = metric.map_err(in_series)?;
            if let MetricValue::Histogram(histogram) = &metric.value {
                let is_native = histogram.native.is_some();
                if *native.get_or_insert(is_native) != is_native {
                    let fault = "classic and native histograms are mixed in the family";
                    return Err(in_series(fault.to_owned()));
                }
                if !is_native && metric.labels.iter().any(|(label, _)| label == "le") {
                    let fault = "a classic histogram has a label le: servers refuse the page";
                    return Err(in_series(fault.to_owned()));
                }
            }
            if series.contains(&sorted) {
                return Err(format!("the series {{{sorted}}} is there twice"));
            }
            series.insert(sorted);
            metrics.push(metric);
        }
        Ok(Self {
            name,
            help,
            metric_type,
            metrics,
        })
    }

    /// Returns the number of samples, as servers count them.
    fn samples(&self) -> usize {
        self.metrics.iter().map(DecodedMetric::samples).sum()
    }
}

impl DecodedMetric {
    fn read(
        message: &[u8],
        labels: Vec<(String, String)>,
        metric_type: MetricType,
        value_field: u32,
    ) -> Result<Self, String> {
        let Some(value) = messages(message, value_field)?.pop() else {
            let word = metric_type.type_word(false);
            return Err(format!("expected a {word}, found none"));
        };
        let value = match metric_type {
            MetricType::Summary => MetricValue::Summary(DecodedSummary::read(value)?),
            MetricType::Histogram | MetricType::GaugeHistogram => {
                MetricValue::Histogram(DecodedHistogram::read(value)?)
            }
            _ => {
                let number = double(value, 1)?;
                if metric_type == MetricType::Unknown && number.is_none() {
                    let fault =
                        "the value is left out: Prometheus 3 takes that of the series before";
                    return Err(fault.to_owned());
                }
                let exemplar = match metric_type {
                    MetricType::Counter => messages(value, 2)?.pop(),
                    _ => None,
                };
                let exemplar = exemplar.map(DecodedExemplar::read).transpose()?;
                MetricValue::Single(number.unwrap_or(0.0), exemplar)
            }
        };
        Ok(Self {
            labels,
            timestamp_ms: number(message, 6)?
                .map(u64::cast_signed)
                .filter(|time| *time != 0),
            value,
        })
    }

    fn samples(&self) -> usize {
        match &self.value {
            MetricValue::Single(..) => 1,
            MetricValue::Summary(summary) => 2 + summary.quantiles.len(),
            MetricValue::Histogram(DecodedHistogram {
                native: Some(_), ..
            }) => 1,
            MetricValue::Histogram(histogram) => 2 + histogram.buckets.len(),
        }
    }
}

/// Returns the labels of a metric.
fn labels(metric: &[u8]) -> Result<Vec<(String, String)>, String> {
    let labels = pairs(metric)?;
    let mut names = HashSet::new();
    for (name, _) in &labels {
        if name.is_empty() || name == "__name__" {
            return Err(format!("the label name {name:?} is not allowed"));
        }
        if !names.insert(name) {
            return Err(format!("the label {name:?} is there twice"));
        }
    }
    Ok(labels)
}

/// Returns names and values in field 1.
fn pairs(message: &[u8]) -> Result<Vec<(String, String)>, String> {
    let pairs = messages(message, 1)?.into_iter();
    pairs
        .map(|pair| Ok((string(pair, 1)?, string(pair, 2)?)))
        .collect()
}

impl DecodedExemplar {
    fn read(message: &[u8]) -> Result<Self, String> {
        let timestamp = messages(message, 3)?.pop().map(|timestamp| {
            let seconds = number(timestamp, 1)?.unwrap_or(0).cast_signed();
            let nanos = number(timestamp, 2)?.unwrap_or(0).cast_signed();
            Ok::<_, String>(
                seconds
                    .saturating_mul(1000)
                    .saturating_add(nanos / 1_000_000),
            )
        });
        Ok(Self {
            labels: pairs(message)?,
            value: double(message, 2)?.unwrap_or(0.0),
            timestamp_ms: timestamp.transpose()?,
        })
    }
}

impl DecodedSummary {
    fn read(message: &[u8]) -> Result<Self, String> {
        let quantiles = messages(message, 3)?.into_iter().map(|quantile| {
            let (of, value) = (double(quantile, 1)?, double(quantile, 2)?);
            Ok::<_, String>((of.unwrap_or(0.0), value.unwrap_or(0.0)))
        });
        Ok(Self {
            count: number(message, 1)?.unwrap_or(0),
            sum: double(message, 2)?.unwrap_or(0.0),
            quantiles: quantiles.collect::<Result<_, _>>()?,
        })
    }
}

impl DecodedHistogram {
    fn read(message: &[u8]) -> Result<Self, String> {
        let integer = number(message, 1)?.unwrap_or(0);
        let float = double(message, 4)?.filter(|count| *count > 0.0);
        let sum = double(message, 2)?.unwrap_or(0.0);
        let native = Native::read(message)?;
        if let Some(native) = &native {
            let in_buckets = native.in_buckets();
            let fits = u128::from(integer) == in_buckets
                || sum.is_nan() && u128::from(integer) > in_buckets;
            if float.is_none() && !fits {
                return Err(format!(
                    "the count is {integer}, and its buckets have {in_buckets}: servers refuse the \
                     page"
                ));
            }
        }
        let buckets = messages(message, 3)?.into_iter().map(Bucket::read);
        Ok(Self {
            count: float.map_or(ObservationCount::Integer(integer), ObservationCount::Float),
            sum,
            buckets: buckets.collect::<Result<_, _>>()?,
            native,
        })
    }
}

impl Bucket {
    fn read(message: &[u8]) -> Result<Self, String> {
        let integer = number(message, 1)?.unwrap_or(0);
        let float = double(message, 4)?.filter(|count| *count > 0.0);
        let exemplar = messages(message, 3)?.pop();
        Ok(Self {
            bound: double(message, 2)?.unwrap_or(0.0),
            count: float.map_or(ObservationCount::Integer(integer), ObservationCount::Float),
            exemplar: exemplar.map(DecodedExemplar::read).transpose()?,
        })
    }
}

impl Native {
    /// Reads the native buckets. `None` if the histogram has none, as servers see it.
    fn read(message: &[u8]) -> Result<Option<Self>, String> {
        let zero = number(message, 7)?.unwrap_or(0);
        let zero_float = double(message, 8)?.filter(|count| *count > 0.0);
        let zero_threshold = double(message, 6)?.unwrap_or(0.0);
        let mut has_spans = false;
        let mut side = |name: &str, fields: [u32; 3]| {
            let spans = messages(message, fields[0])?;
            has_spans |= !spans.is_empty();
            let deltas = numbers(message, fields[1])?;
            let counts = doubles(message, fields[2])?;
            side(&spans, &deltas, &counts).map_err(|fault| format!("{name} buckets: {fault}"))
        };
        let negative = side("negative", [9, 10, 11])?;
        let positive = side("positive", [12, 13, 14])?;
        if !(has_spans || zero > 0 || zero_threshold > 0.0) {
            return Ok(None);
        }
        let schema = number(message, 5)?.map_or(0, zigzag);
        if !SCHEMAS.contains(&schema) {
            return Err(format!(
                "schema {schema} is not between -4 and 8: queries of it kill Prometheus 2.42, and \
                 servers from 3.7 on refuse the page"
            ));
        }
        let exemplars = messages(message, 16)?
            .into_iter()
            .map(DecodedExemplar::read);
        Ok(Some(Self {
            schema,
            zero_threshold,
            zero_count: zero_float.map_or(ObservationCount::Integer(zero), ObservationCount::Float),
            positive,
            negative,
            exemplars: exemplars.collect::<Result<_, _>>()?,
        }))
    }

    /// Returns the number of observations in buckets that count in integers.
    fn in_buckets(&self) -> u128 {
        let sides = self.positive.iter().chain(&self.negative);
        let counts = sides.map(|(_, count)| *count).chain([self.zero_count]);
        counts
            .map(|count| match count {
                ObservationCount::Integer(count) => u128::from(count),
                ObservationCount::Float(_) => 0,
            })
            .sum()
    }
}

/// Returns the indices and counts of the buckets of one side of a native histogram.
fn side(
    spans: &[&[u8]],
    deltas: &[u64],
    counts: &[f64],
) -> Result<Vec<(i64, ObservationCount)>, String> {
    let mut length = 0u64;
    let mut ranges = Vec::new();
    let mut next = 0i64;
    for (number_of_span, span) in spans.iter().enumerate() {
        let offset = number(span, 1)?.map_or(0, zigzag);
        if number_of_span > 0 && offset < 0 {
            return Err(format!("span {} goes back by {offset}", number_of_span + 1));
        }
        let len = number(span, 2)?.unwrap_or(0);
        length = length.saturating_add(len);
        let first = next.saturating_add(offset);
        next = first.saturating_add_unsigned(len);
        ranges.push(first..next);
    }
    let listed = deltas.len().max(counts.len()) as u64;
    if length != listed {
        return Err(format!(
            "the spans have {length} buckets, and {listed} are listed: this kills Prometheus \
             2.42 if the spans are shorter, and other servers refuse the page"
        ));
    }
    let indices = ranges.into_iter().flatten();
    if deltas.is_empty() {
        return Ok(indices
            .zip(counts.iter().map(|count| ObservationCount::Float(*count)))
            .collect());
    }
    let mut count = 0i128;
    let cumulated = deltas.iter().map(|delta| {
        count += i128::from(zigzag(*delta));
        let count = u64::try_from(count).map_err(|_| match count {
            ..0 => "a bucket has a negative count",
            _ => "the count of a bucket has more than 64 bits",
        })?;
        Ok(ObservationCount::Integer(count))
    });
    let pairs = indices
        .zip(cumulated)
        .map(|(index, count)| Ok((index, count?)));
    pairs.collect::<Result<_, &str>>().map_err(str::to_owned)
}
