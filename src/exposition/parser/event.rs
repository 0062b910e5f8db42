//! The events of a page: one a line, borrowed from its text.

use super::composite::CompositeValue;
use super::labels::{LabelSpans, ParsedLabels, Span};
use crate::MetricType;
use crate::exposition::number::parse_f64;
use std::borrow::Cow;
use std::fmt;

/// The content of one line of a page.
///
/// `S` is [`Sample`], or a reference to one where samples are lent: [`EventRef`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event<'a, S = Sample<'a>> {
    /// `# HELP name text`.
    Help {
        /// The family.
        name: Cow<'a, str>,
        /// The text, unescaped.
        text: Cow<'a, str>,
    },
    /// `# TYPE name type`.
    Type {
        /// The family.
        name: Cow<'a, str>,
        /// Its type.
        metric_type: MetricType,
    },
    /// `# UNIT name unit`, in OpenMetrics.
    Unit {
        /// The family.
        name: Cow<'a, str>,
        /// The unit, which the name ends in; may be empty.
        unit: &'a str,
    },
    /// Any other line that begins with `#`, in the text formats.
    Comment {
        /// All that follows the `#`; not always UTF-8.
        text: &'a [u8],
    },
    /// A sample line.
    Sample(S),
    /// `# EOF`, in OpenMetrics.
    Eof,
}

/// An event that borrows its sample, valid until the next line is read.
pub type EventRef<'a, 's> = Event<'a, &'s Sample<'a>>;

impl<'a, S> Event<'a, S> {
    /// Converts the sample, if the event has one.
    #[inline]
    pub(super) fn map<T>(self, map: impl FnOnce(S) -> T) -> Event<'a, T> {
        match self {
            Self::Help { name, text } => Event::Help { name, text },
            Self::Type { name, metric_type } => Event::Type { name, metric_type },
            Self::Unit { name, unit } => Event::Unit { name, unit },
            Self::Comment { text } => Event::Comment { text },
            Self::Sample(sample) => Event::Sample(map(sample)),
            Self::Eof => Event::Eof,
        }
    }
}

/// The timestamp of a sample, in the unit of its format.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Timestamp {
    /// Milliseconds since the epoch: the text formats.
    Millis(i64),
    /// Seconds since the epoch, finite: OpenMetrics.
    Seconds(f64),
}

impl Timestamp {
    /// Returns seconds since the epoch.
    pub fn seconds(self) -> f64 {
        match self {
            Self::Millis(millis) => millis as f64 / 1e3,
            Self::Seconds(seconds) => seconds,
        }
    }

    /// Returns milliseconds since the epoch, rounded towards zero. A value beyond
    /// `i64` becomes `i64::MIN`, as in the Prometheus server.
    pub fn millis(self) -> i64 {
        match self {
            Self::Millis(millis) => millis,
            Self::Seconds(seconds) => {
                let millis = seconds * 1000.0;
                let fits = (-(2f64.powi(63))..2f64.powi(63)).contains(&millis);
                if fits { millis as i64 } else { i64::MIN }
            }
        }
    }
}

/// A sample: a series and its value, optionally with a timestamp and an exemplar.
///
/// Holds the positions of its parts on the line; labels are read when asked for.
#[derive(Clone, Copy)]
pub struct Sample<'a> {
    /// The line from the first byte of the sample on, without its newline. The
    /// lexer has read it to its end, so it is well-formed.
    pub(super) line: &'a str,
    /// The page from this line on, which the fast path compares the next sample
    /// with; empty if this sample took the general path.
    pub(super) prev_text: &'a [u8],
    /// The number of blanks before the sample.
    pub(super) indent: u32,
    pub(super) name: Span,
    /// The position of the first label, after the brace; 0 without braces.
    pub(super) labels: u32,
    pub(super) label_spans: LabelSpans,
    /// The position of the first exemplar's first label; 0 without an exemplar.
    pub(super) exemplar: u32,
    /// The position of the start time; 0 without one.
    pub(super) start_time: u32,
    pub(super) value_text: Span,
    pub(super) value: f64,
    pub(super) timestamp: Option<Timestamp>,
}

impl<'a> Sample<'a> {
    /// The state before the first sample.
    pub(super) const EMPTY: Self = Self {
        line: "",
        prev_text: &[],
        indent: 0,
        name: Span::EMPTY,
        labels: 0,
        label_spans: LabelSpans::UNKNOWN,
        exemplar: 0,
        start_time: 0,
        value_text: Span::EMPTY,
        value: 0.0,
        timestamp: None,
    };

    /// Returns the sample's name, with its suffix: `http_requests_total`.
    #[inline]
    pub fn name(&self) -> Cow<'a, str> {
        self.name.unescaped(self.line)
    }

    /// Returns the labels, in their order on the page.
    #[inline]
    pub fn labels(&self) -> ParsedLabels<'a, '_> {
        ParsedLabels::new(self.line, self.labels, &self.label_spans)
    }

    /// Returns the value of the label `name`, if the sample has it.
    pub fn label(&self, name: &str) -> Option<Cow<'a, str>> {
        let mut labels = self.labels();
        labels
            .find(|label| label.name == name)
            .map(|label| label.value)
    }

    /// Returns the value, or NaN if it is [composite](Self::composite).
    #[inline]
    pub fn value(&self) -> f64 {
        self.value
    }

    /// Returns the value as it is written on the page, which is exact for counts
    /// beyond 2^53.
    #[inline]
    pub fn value_text(&self) -> &'a str {
        self.value_text.written(self.line)
    }

    /// Returns the composite value, in OpenMetrics 2.0, if the value is not a number.
    pub fn composite(&self) -> Option<CompositeValue<'a>> {
        CompositeValue::new(self.value_text())
    }

    /// Returns the time from which on the value has counted, in OpenMetrics 2.0, if there
    /// is one: seconds since the epoch, finite.
    pub fn start_time(&self) -> Option<f64> {
        let text = match self.start_time {
            0 => return None,
            at => self.line[at as usize..].split(' ').next(),
        };
        parse_f64(text.unwrap_or_default().as_bytes())
    }

    /// Returns the timestamp, if there is one.
    #[inline]
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.timestamp
    }

    /// Returns the first exemplar, if there is one.
    pub fn exemplar(&self) -> Option<ParsedExemplar<'a>> {
        self.exemplars().next()
    }

    /// Returns the exemplars, in their order on the page. Only samples of OpenMetrics 2.0
    /// have more than one.
    #[allow(clippy::missing_panics_doc, reason = "the lexer found a number")]
    pub fn exemplars(&self) -> impl Iterator<Item = ParsedExemplar<'a>> + use<'a> {
        let line = self.line;
        let mut next = self.exemplar;
        std::iter::from_fn(move || {
            if next == 0 {
                return None;
            }
            let labels = ParsedLabels::new(line, next, &LabelSpans::UNKNOWN);
            let end = labels.clone().end();
            let numbers = &line[end..];
            let (numbers, more) = match numbers.find('#') {
                // After the hash, a blank and a brace.
                Some(hash) => (&numbers[..hash], end + hash + 3),
                None => (numbers, 0),
            };
            next = more as u32;
            let mut numbers = numbers.split_ascii_whitespace();
            let value = numbers.next().and_then(|text| parse_f64(text.as_bytes()));
            let timestamp = numbers.next().and_then(|text| parse_f64(text.as_bytes()));
            Some(ParsedExemplar {
                labels,
                value: value.expect("the lexer found a number"),
                timestamp,
            })
        })
    }
}

/// Byte offsets of the sample's parts, relative to the start of the line (leading
/// blanks included).
impl Sample<'_> {
    pub(in crate::exposition) fn offset_of_name(&self) -> usize {
        self.indent as usize
    }

    pub(in crate::exposition) fn offset_of_value(&self) -> usize {
        self.offset_of_name() + self.value_text.start()
    }

    /// Returns the labels as they are written, braces included, and blanks after
    /// them; an empty text if there are no braces.
    pub(in crate::exposition) fn labels_text(&self) -> &str {
        match self.labels {
            0 => "",
            labels => &self.line[labels as usize - 1..self.value_text.start()],
        }
    }

    /// Returns the text after the value: blanks, a timestamp, an exemplar.
    pub(in crate::exposition) fn text_after_value(&self) -> &str {
        &self.line[self.value_text.end()..]
    }

    /// Returns the offset of the timestamp. The sample must have one.
    pub(in crate::exposition) fn offset_of_timestamp(&self) -> usize {
        let after = self.text_after_value();
        let blanks = after.len() - after.trim_ascii_start().len();
        self.offset_of_name() + self.value_text.end() + blanks
    }

    /// Returns the offset of the start time, which the sample must have.
    pub(in crate::exposition) fn offset_of_start_time(&self) -> usize {
        self.offset_of_name() + self.start_time as usize
    }

    /// Returns the offset of the exemplar's labels.
    pub(in crate::exposition) fn offset_of_exemplar(&self) -> usize {
        self.offset_of_name() + self.exemplar as usize
    }

    /// Returns the offset of the label `name`, or the sample's if it has no such
    /// label.
    pub(in crate::exposition) fn offset_of_label(&self, name: &str) -> usize {
        let mut labels = ParsedLabels::new(self.line, self.labels, &LabelSpans::UNKNOWN);
        let at = loop {
            match labels.search() {
                Some((label, _)) if label.unescaped(self.line) == name => break label.start(),
                Some(_) => {}
                None => break 0,
            }
        };
        self.offset_of_name() + at
    }
}

impl PartialEq for Sample<'_> {
    /// Compares the content, however it is written. NaN equals itself here.
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
            && self.labels() == other.labels()
            && same(self.value, other.value)
            && self.composite() == other.composite()
            && self.timestamp == other.timestamp
            && self.start_time() == other.start_time()
            && self.exemplars().eq(other.exemplars())
    }
}

fn same(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan())
}

impl fmt::Debug for Sample<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Sample");
        debug
            .field("name", &self.name())
            .field("labels", &self.labels());
        match self.composite() {
            Some(composite) => debug.field("value", &composite),
            None => debug.field("value", &self.value),
        };
        debug
            .field("timestamp", &self.timestamp)
            .field("start_time", &self.start_time())
            .field("exemplars", &self.exemplars().collect::<Vec<_>>())
            .finish()
    }
}

/// An exemplar: one of the observations that a sample counts, with labels of its
/// own.
#[derive(Clone, Debug)]
pub struct ParsedExemplar<'a> {
    labels: ParsedLabels<'a, 'static>,
    value: f64,
    timestamp: Option<f64>,
}

impl<'a> ParsedExemplar<'a> {
    /// Returns the labels, in their order on the page.
    pub fn labels(&self) -> ParsedLabels<'a, 'static> {
        self.labels.clone()
    }

    /// Returns the value.
    pub fn value(&self) -> f64 {
        self.value
    }

    /// Returns the time of the observation: seconds since the epoch, finite.
    pub fn timestamp(&self) -> Option<f64> {
        self.timestamp
    }
}

impl PartialEq for ParsedExemplar<'_> {
    /// Compares the content, however it is written. NaN equals itself here.
    fn eq(&self, other: &Self) -> bool {
        self.labels == other.labels
            && same(self.value, other.value)
            && self.timestamp == other.timestamp
    }
}
