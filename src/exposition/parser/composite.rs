//! Composite values of OpenMetrics 2.0: a whole histogram or summary in braces.
//!
//! ```text
//! histogram = "{" count "," sum "," (classic | native ["," classic]) "}"
//! summary   = "{" count "," sum "," "quantile:[" [pair *("," pair)] "]" "}"
//! count     = ("count:" | "gcount:") number
//! sum       = ("sum:" | "gsum:") number
//! classic   = "bucket:[" ["-Inf:" number ","] *(pair ",") "+Inf:" number "]"
//! native    = "schema:" integer ",zero_threshold:" real ",zero_count:" number
//!             [",negative_spans:[" spans "],negative_buckets:[" numbers "]"]
//!             [",positive_spans:[" spans "],positive_buckets:[" numbers "]"]
//! pair      = real ":" number
//! ```
//!
//! The lexer reads a value to its end and keeps no more than its place on the line.
//! [`CompositeValue`] finds the fields again when they are asked for.

use super::error::ErrorKind;
use super::lookahead::{Lookahead, Result, fail};
use crate::MetricType;
use crate::exposition::number::parse_f64;
use std::fmt;

impl Lookahead<'_> {
    /// Reads a composite value, whose brace is at `at`, and returns the position after
    /// it.
    pub(super) fn composite(self, at: usize) -> Result<usize> {
        let at = at + 1;
        let is_gauge = self.begins(at, b"gcount:");
        let [count, sum] = match is_gauge {
            true => [b"gcount:".as_slice(), b",gsum:"],
            false => [b"count:".as_slice(), b",sum:"],
        };
        let at = self.expect(at, count, ErrorKind::MissingCount)?;
        let (_, at) = self.number(at)?;
        let at = self.expect(at, sum, ErrorKind::MissingSum)?;
        let (_, mut at) = self.number(at)?;
        let quantiles: &[u8] = b",quantile:[";
        if !is_gauge && self.begins(at, quantiles) {
            at = self.list(at + quantiles.len(), |at, _| self.pair(at))?;
        } else if self.begins(at, b",schema:") {
            at = self.native(at)?;
            if self.begins(at, CLASSIC) {
                at = self.classic(at + CLASSIC.len())?;
            }
        } else {
            let first = self.expect(at, CLASSIC, ErrorKind::MissingBuckets)?;
            at = self.classic(first)?;
        }
        self.expect(at, b"}", ErrorKind::UnclosedComposite)
    }

    fn native(self, at: usize) -> Result<usize> {
        const FIELD: ErrorKind = ErrorKind::BadNativeField;
        let at = self.expect(at, b",schema:", FIELD)?;
        let at = self.integer(at, FIELD)?.1;
        let at = self.expect(at, b",zero_threshold:", FIELD)?;
        let at = self.real(at)?;
        let at = self.expect(at, b",zero_count:", FIELD)?;
        let (_, mut at) = self.number(at)?;
        let sides: [[&[u8]; 2]; 2] = [
            [b",negative_spans:[", b",negative_buckets:["],
            [b",positive_spans:[", b",positive_buckets:["],
        ];
        for [spans, buckets] in sides {
            if self.begins(at, spans) {
                at = self.list(at + spans.len(), |at, is_first| self.span(at, is_first))?;
                at = self.expect(at, buckets, FIELD)?;
                at = self.list(at, |at, _| Ok(self.number(at)?.1))?;
            }
        }
        match self.peek(at) {
            b',' if !self.begins(at, CLASSIC) => fail(FIELD, at),
            _ => Ok(at),
        }
    }

    /// Reads classic buckets from after the opening bracket to after the closing one.
    fn classic(self, first: usize) -> Result<usize> {
        let mut at = first;
        loop {
            if self.begins(at, b"+Inf:") {
                let (_, at) = self.number(at + 5)?;
                return self.expect(at, b"]", ErrorKind::UnclosedComposite);
            }
            at = match at == first && self.begins(at, b"-Inf:") {
                true => self.number(at + 5)?.1,
                false => self.pair(at)?,
            };
            if self.peek(at) == b']' {
                return fail(ErrorKind::NoInfBucket, at);
            }
            at = self.expect(at, b",", ErrorKind::UnclosedComposite)?;
        }
    }

    /// Reads items from after the opening bracket to after the closing one. `item` is
    /// given the position of each, and whether it is the first.
    fn list(self, at: usize, item: impl Fn(usize, bool) -> Result<usize>) -> Result<usize> {
        if self.peek(at) == b']' {
            return Ok(at + 1);
        }
        let mut at = item(at, true)?;
        while self.peek(at) == b',' {
            at = item(at + 1, false)?;
        }
        self.expect(at, b"]", ErrorKind::UnclosedComposite)
    }

    /// Reads a bound or a quantile, and what it counts or is.
    fn pair(self, at: usize) -> Result<usize> {
        let at = self.real(at)?;
        let at = self.expect(at, b":", ErrorKind::BadPair)?;
        Ok(self.number(at)?.1)
    }

    /// Reads the offset and the length of a span.
    fn span(self, at: usize, is_first: bool) -> Result<usize> {
        let start = at;
        let (_, at) = self.integer(at, ErrorKind::BadSpan)?;
        let at = self.expect(at, b":", ErrorKind::BadSpan)?;
        let (length, end) = self.integer(at, ErrorKind::BadSpan)?;
        let is_negative = |at| self.peek(at) == b'-';
        if length <= 0 || is_negative(at) || (is_negative(start) && !is_first) {
            return fail(ErrorKind::BadSpan, start);
        }
        Ok(end)
    }

    /// Reads an integer of 32 bits.
    fn integer(self, at: usize, kind: ErrorKind) -> Result<(i32, usize)> {
        let digits = at + usize::from(matches!(self.peek(at), b'-' | b'+'));
        let mut end = digits;
        while self.peek(end).is_ascii_digit() {
            end += 1;
        }
        match parse_integer(&self.0[at.min(self.0.len())..end.min(self.0.len())]) {
            Some(integer) if end > digits => Ok((integer, end)),
            _ => fail(self.blank_or(kind, at), at),
        }
    }

    /// Reads a finite number.
    fn real(self, at: usize) -> Result<usize> {
        match self.number(at) {
            Ok((number, end)) if number.is_finite() => Ok(end),
            _ => fail(self.blank_or(ErrorKind::BadPair, at), at),
        }
    }

    fn begins(self, at: usize, text: &[u8]) -> bool {
        self.0.get(at..).is_some_and(|rest| rest.starts_with(text))
    }

    fn expect(self, at: usize, text: &[u8], kind: ErrorKind) -> Result<usize> {
        match self.begins(at, text) {
            true => Ok(at + text.len()),
            false => fail(self.blank_or(kind, at), at),
        }
    }

    /// Returns the error at `at`: that a blank stands there, or else `kind`.
    fn blank_or(self, kind: ErrorKind, at: usize) -> ErrorKind {
        match self.peek(at) {
            b' ' | b'\t' => ErrorKind::UnexpectedBlank,
            _ => kind,
        }
    }
}

const CLASSIC: &[u8] = b",bucket:[";

fn parse_integer(text: &[u8]) -> Option<i32> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A composite value of OpenMetrics 2.0: a histogram, a gauge histogram or a summary.
///
/// ```
/// use stethoscope::exposition::{Format, parser::{Event, parse}};
///
/// let page = "s {count:3,sum:4.5,schema:0,zero_threshold:1e-4,zero_count:0,\
///             positive_spans:[0:1,1:1],positive_buckets:[2,1],bucket:[1.0:2,+Inf:3]}\n# EOF\n";
/// let Some(Ok(Event::Sample(sample))) = parse(page, Format::OpenMetrics2).next() else {
///     panic!("expected a sample");
/// };
/// let value = sample.composite().unwrap();
/// assert_eq!((value.count(), value.sum()), (3.0, 4.5));
/// assert!(value.classic_buckets().eq([(1.0, 2.0), (f64::INFINITY, 3.0)]));
/// let native = value.native().unwrap();
/// assert_eq!(native.schema(), 0);
/// assert!(native.positive().eq([(0, 2.0), (2, 1.0)]));
/// ```
#[derive(Clone, Copy)]
pub struct CompositeValue<'a> {
    /// The fields, without the braces. The lexer has read them.
    text: &'a str,
}

impl<'a> CompositeValue<'a> {
    /// `text` are braces with fields that the lexer has read.
    pub(super) fn new(text: &'a str) -> Option<Self> {
        let text = text.strip_prefix('{')?.strip_suffix('}')?;
        Some(Self { text })
    }

    /// Returns the type of family that has such values: a histogram, a gauge histogram or
    /// a summary.
    pub fn metric_type(self) -> MetricType {
        if self.text.starts_with('g') {
            MetricType::GaugeHistogram
        } else if self.field("quantile").is_some() {
            MetricType::Summary
        } else {
            MetricType::Histogram
        }
    }

    /// Returns the number of observations, `count` or `gcount`.
    pub fn count(self) -> f64 {
        number(self.count_text())
    }

    /// Returns the count as it is written on the page, which is exact beyond 2^53.
    pub fn count_text(self) -> &'a str {
        self.value_at(0)
    }

    /// Returns the sum of the observations, `sum` or `gsum`.
    pub fn sum(self) -> f64 {
        number(self.value_at(1))
    }

    /// Returns the quantiles of a summary and their values, in their order on the page.
    pub fn quantiles(self) -> impl Iterator<Item = (f64, f64)> + use<'a> {
        pairs(self.field("quantile"))
    }

    /// Returns the upper bounds and the cumulative counts of the classic buckets, in their
    /// order on the page.
    pub fn classic_buckets(self) -> impl Iterator<Item = (f64, f64)> + use<'a> {
        pairs(self.field("bucket"))
    }

    /// Returns the native buckets, if there are any: also an empty native histogram has a
    /// schema.
    pub fn native(self) -> Option<NativeBuckets<'a>> {
        let list = |name| self.field(name).unwrap_or_default();
        Some(NativeBuckets {
            schema: self.field("schema")?.parse().unwrap_or_default(),
            zero_threshold: number(self.field("zero_threshold")?),
            zero_count: number(self.field("zero_count")?),
            negative: (list("negative_spans"), list("negative_buckets")),
            positive: (list("positive_spans"), list("positive_buckets")),
        })
    }

    /// Returns the fields in their order: name and value, lists without their brackets.
    pub(in crate::exposition) fn fields(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let mut rest = self.text;
        std::iter::from_fn(move || {
            let (name, after) = rest.split_once(':')?;
            let (value, after) = match after.strip_prefix('[') {
                Some(list) => {
                    let (list, after) = list.split_once(']')?;
                    (list, after.strip_prefix(',').unwrap_or(after))
                }
                None => after.split_once(',').unwrap_or((after, "")),
            };
            rest = after;
            Some((name, value))
        })
    }

    /// Returns the value of the field of this name.
    pub(in crate::exposition) fn field(self, name: &str) -> Option<&'a str> {
        self.fields()
            .find(|(other, _)| *other == name)
            .map(|(_, value)| value)
    }

    fn value_at(self, index: usize) -> &'a str {
        self.fields().nth(index).map_or("", |(_, value)| value)
    }
}

impl PartialEq for CompositeValue<'_> {
    /// Compares the content, however it is written. NaN equals itself here.
    fn eq(&self, other: &Self) -> bool {
        let fields = |value: Self| {
            value.fields().flat_map(|(name, value)| {
                let numbers = items(value).flat_map(|item| item.split(':'));
                numbers.map(move |text| (name, number(text)))
            })
        };
        let is_same = |(a, b): (f64, f64)| a == b || (a.is_nan() && b.is_nan());
        let mut others = fields(*other);
        let mut own = fields(*self);
        loop {
            match (own.next(), others.next()) {
                (None, None) => return true,
                (Some((name, a)), Some((other, b))) if name == other && is_same((a, b)) => {}
                _ => return false,
            }
        }
    }
}

impl fmt::Debug for CompositeValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}}}", self.text)
    }
}

/// The native buckets of a histogram: the absolute count of each.
#[derive(Clone, Copy, Debug)]
pub struct NativeBuckets<'a> {
    schema: i32,
    zero_threshold: f64,
    zero_count: f64,
    /// The spans and the counts of each side.
    negative: (&'a str, &'a str),
    positive: (&'a str, &'a str),
}

impl<'a> NativeBuckets<'a> {
    /// Returns the resolution: there are 2^schema buckets from one power of two to the
    /// next.
    pub fn schema(&self) -> i32 {
        self.schema
    }

    /// Returns the greatest absolute value that is counted in the zero bucket.
    pub fn zero_threshold(&self) -> f64 {
        self.zero_threshold
    }

    /// Returns the count of the zero bucket.
    pub fn zero_count(&self) -> f64 {
        self.zero_count
    }

    /// Returns the index and the count of each bucket of positive values, in ascending
    /// order.
    pub fn positive(&self) -> impl Iterator<Item = (i64, f64)> + use<'a> {
        indexed(self.positive)
    }

    /// Returns the index and the count of each bucket of negative values, by ascending
    /// absolute values.
    pub fn negative(&self) -> impl Iterator<Item = (i64, f64)> + use<'a> {
        indexed(self.negative)
    }

    /// Returns true if each side has as many buckets as its spans say.
    pub(in crate::exposition) fn is_consistent(&self) -> bool {
        [self.negative, self.positive]
            .into_iter()
            .all(|(list, counts)| {
                let lengths = spans(list).map(|(_, length)| length);
                lengths.sum::<i64>() == items(counts).count() as i64
            })
    }
}

/// The items of a list, without its brackets.
fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').filter(|item| !item.is_empty())
}

fn pairs(list: Option<&str>) -> impl Iterator<Item = (f64, f64)> {
    let pairs = items(list.unwrap_or_default()).filter_map(|pair| pair.split_once(':'));
    pairs.map(|(key, value)| (number(key), number(value)))
}

fn spans(list: &str) -> impl Iterator<Item = (i64, i64)> {
    let integer = |text: &str| text.parse::<i64>().unwrap_or_default();
    let spans = items(list).filter_map(|span| span.split_once(':'));
    spans.map(move |(offset, length)| (integer(offset), integer(length)))
}

/// The counts of a side with their indices.
fn indexed<'a>((list, counts): (&'a str, &'a str)) -> impl Iterator<Item = (i64, f64)> {
    let mut end = 0;
    let indices = spans(list).flat_map(move |(offset, length)| {
        let start = end + offset;
        end = start + length;
        start..end
    });
    indices.zip(items(counts).map(number))
}

/// The number that a text is, which the lexer has read.
fn number(text: &str) -> f64 {
    parse_f64(text.as_bytes()).unwrap_or(f64::NAN)
}
