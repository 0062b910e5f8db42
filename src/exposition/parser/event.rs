//! What a page says, line by line, borrowed from its text.

use super::labels::{Labels, Piece, Places};
use crate::MetricType;
use crate::exposition::number::parse_f64;
use std::borrow::Cow;
use std::fmt;

/// What one line of a page says. A reader that lends its samples has references
/// in the place of `S`.
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
    /// A sample.
    Sample(S),
    /// `# EOF`, in OpenMetrics.
    Eof,
}

/// An event whose sample is lent for as long as one looks at it.
pub type LentEvent<'a> = Event<'a, &'a Sample<'a>>;

impl<'a, S> Event<'a, S> {
    /// The same event with another sample in it, if it has one.
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

/// When a sample was taken, in the unit of its format.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Timestamp {
    /// Milliseconds since the epoch: the text formats.
    Millis(i64),
    /// Seconds since the epoch, finite: OpenMetrics.
    Seconds(f64),
}

impl Timestamp {
    /// Milliseconds since the epoch, rounded towards zero. What `i64` can't hold
    /// is `i64::MIN`, as in the Prometheus server.
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

/// A sample: a series and its value, perhaps with a timestamp and an exemplar.
///
/// It knows where on its line the labels begin, and reads them as they are
/// asked for.
#[derive(Clone, Copy)]
pub struct Sample<'a> {
    /// The line from the first byte of the sample on, without its newline. The
    /// lexer has read it to its end, so what is read of it again is well-formed.
    pub(super) line: &'a str,
    /// What the lexer saw from there on, for the next sample to be compared with;
    /// nothing if this one did not go the short way.
    pub(super) rest: &'a [u8],
    /// How many blanks stand before it.
    pub(super) indent: u32,
    pub(super) name: Piece,
    /// Where the first label begins, behind the brace; 0 without braces.
    pub(super) labels: u32,
    pub(super) places: Places,
    /// Where the first label of the exemplar begins; 0 without one.
    pub(super) exemplar: u32,
    /// Where the value stands.
    pub(super) value_text: Piece,
    pub(super) value: f64,
    pub(super) timestamp: Option<Timestamp>,
}

impl<'a> Sample<'a> {
    /// Nothing yet.
    pub(super) const EMPTY: Self = Self {
        line: "",
        rest: &[],
        indent: 0,
        name: Piece::EMPTY,
        labels: 0,
        places: Places::UNKNOWN,
        exemplar: 0,
        value_text: Piece::EMPTY,
        value: 0.0,
        timestamp: None,
    };

    /// The sample's name, with its suffix: `http_requests_total`.
    #[inline]
    pub fn name(&self) -> Cow<'a, str> {
        self.name.of(self.line)
    }

    /// The labels, in their order on the page.
    #[inline]
    pub fn labels(&self) -> Labels<'a, '_> {
        Labels::new(self.line, self.labels, &self.places)
    }

    /// The value of the label `name`.
    pub fn label(&self, name: &str) -> Option<Cow<'a, str>> {
        let mut labels = self.labels();
        labels
            .find(|label| label.name == name)
            .map(|label| label.value)
    }

    /// The value.
    #[inline]
    pub fn value(&self) -> f64 {
        self.value
    }

    /// The value as it stands on the page: a count beyond 2^53 is exact there.
    #[inline]
    pub fn value_text(&self) -> &'a str {
        self.value_text.written(self.line)
    }

    /// The timestamp, if there is one.
    #[inline]
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.timestamp
    }

    /// The exemplar, if there is one.
    pub fn exemplar(&self) -> Option<Exemplar<'a>> {
        if self.exemplar == 0 {
            return None;
        }
        let labels = Labels::new(self.line, self.exemplar, &Places::UNKNOWN);
        let mut numbers = self.line[labels.clone().end()..].split_ascii_whitespace();
        let value = numbers.next().and_then(|text| parse_f64(text.as_bytes()));
        let timestamp = numbers.next().and_then(|text| parse_f64(text.as_bytes()));
        Some(Exemplar {
            labels,
            value: value.expect("the lexer found a number"),
            timestamp,
        })
    }
}

/// Where on the whole line, blanks before the sample included, what is.
impl Sample<'_> {
    pub(in crate::exposition) fn offset_of_name(&self) -> usize {
        self.indent as usize
    }

    pub(in crate::exposition) fn offset_of_value(&self) -> usize {
        self.offset_of_name() + self.value_text.start()
    }

    /// What stands behind the value: blanks, a timestamp, an exemplar.
    pub(in crate::exposition) fn text_behind_value(&self) -> &str {
        &self.line[self.value_text.end()..]
    }

    /// Where the timestamp begins, if there is one.
    pub(in crate::exposition) fn offset_of_timestamp(&self) -> usize {
        let behind = self.text_behind_value();
        let blanks = behind.len() - behind.trim_ascii_start().len();
        self.offset_of_name() + self.value_text.end() + blanks
    }

    /// Where the exemplar's labels begin.
    pub(in crate::exposition) fn offset_of_exemplar(&self) -> usize {
        self.offset_of_name() + self.exemplar as usize
    }

    /// Where the label `name` begins; where the sample does if there is none.
    pub(in crate::exposition) fn offset_of_label(&self, name: &str) -> usize {
        let mut labels = Labels::new(self.line, self.labels, &Places::UNKNOWN);
        let at = loop {
            match labels.search() {
                Some((label, _)) if label.of(self.line) == name => break label.start(),
                Some(_) => {}
                None => break 0,
            }
        };
        self.offset_of_name() + at
    }
}

impl PartialEq for Sample<'_> {
    /// Whether both say the same, however it is written. NaN is itself here.
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
            && self.labels() == other.labels()
            && same(self.value, other.value)
            && self.timestamp == other.timestamp
            && self.exemplar() == other.exemplar()
    }
}

fn same(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan())
}

impl fmt::Debug for Sample<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sample")
            .field("name", &self.name())
            .field("labels", &self.labels())
            .field("value", &self.value)
            .field("timestamp", &self.timestamp)
            .field("exemplar", &self.exemplar())
            .finish()
    }
}

/// An exemplar: one observation behind a sample, with labels of its own.
#[derive(Clone, Debug)]
pub struct Exemplar<'a> {
    labels: Labels<'a, 'static>,
    value: f64,
    timestamp: Option<f64>,
}

impl<'a> Exemplar<'a> {
    /// The labels, in their order on the page.
    pub fn labels(&self) -> Labels<'a, 'static> {
        self.labels.clone()
    }

    /// The value.
    pub fn value(&self) -> f64 {
        self.value
    }

    /// When it was observed: seconds since the epoch, finite.
    pub fn timestamp(&self) -> Option<f64> {
        self.timestamp
    }
}

impl PartialEq for Exemplar<'_> {
    /// Whether both say the same, however it is written. NaN is itself here.
    fn eq(&self, other: &Self) -> bool {
        self.labels == other.labels
            && same(self.value, other.value)
            && self.timestamp == other.timestamp
    }
}
