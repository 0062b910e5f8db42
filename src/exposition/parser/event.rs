//! What a page says, line by line, borrowed from its text.

use crate::exposition::escape::unescape_label;
use crate::exposition::number::parse_f64;
use crate::exposition::scan;
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
        kind: MetricType,
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
            Self::Type { name, kind } => Event::Type { name, kind },
            Self::Unit { name, unit } => Event::Unit { name, unit },
            Self::Comment { text } => Event::Comment { text },
            Self::Sample(sample) => Event::Sample(map(sample)),
            Self::Eof => Event::Eof,
        }
    }
}

/// The type of a family, as its TYPE line says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MetricType {
    /// `counter`.
    Counter,
    /// `gauge`.
    Gauge,
    /// `histogram`.
    Histogram,
    /// `summary`.
    Summary,
    /// `gaugehistogram`, in OpenMetrics.
    GaugeHistogram,
    /// `info`, in OpenMetrics.
    Info,
    /// `stateset`, in OpenMetrics.
    StateSet,
    /// `untyped` in the text formats, `unknown` in OpenMetrics; what a family
    /// without a TYPE is.
    #[default]
    Unknown,
}

impl MetricType {
    /// The word of a TYPE line, in the text formats or in OpenMetrics.
    pub(in crate::exposition) fn word(self, openmetrics: bool) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Info => "info",
            Self::StateSet => "stateset",
            Self::Unknown if openmetrics => "unknown",
            Self::Unknown => "untyped",
        }
    }

    /// The type of which this is the word.
    pub(super) fn read(word: &[u8], openmetrics: bool) -> Option<Self> {
        const TYPES: [MetricType; 8] = [
            MetricType::Counter,
            MetricType::Gauge,
            MetricType::Histogram,
            MetricType::Summary,
            MetricType::Unknown,
            // From here on of OpenMetrics only.
            MetricType::GaugeHistogram,
            MetricType::Info,
            MetricType::StateSet,
        ];
        let types = &TYPES[..if openmetrics { 8 } else { 5 }];
        let is_word = |kind: &&Self| kind.word(openmetrics).as_bytes() == word;
        types.iter().find(is_word).copied()
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

/// A text of a line, unescaped if it must be.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) escaped: bool,
}

impl Piece {
    #[inline]
    pub(super) fn of(self, line: &str) -> Cow<'_, str> {
        let raw = &line[self.start..self.end];
        if self.escaped {
            unescape_label(raw)
        } else {
            Cow::Borrowed(raw)
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
    /// How many blanks stand before it.
    pub(super) indent: u32,
    pub(super) name: Name,
    /// Where the first label begins, behind the brace; 0 without braces.
    pub(super) labels: u32,
    pub(super) places: Places,
    /// Where the first label of the exemplar begins; 0 without one.
    pub(super) exemplar: u32,
    /// Where the value stands.
    pub(super) value_text: (u32, u32),
    pub(super) value: f64,
    pub(super) timestamp: Option<Timestamp>,
}

/// Where the first labels of a sample end, as far as they are written without
/// blanks, escapes and quoted names: those need not be searched again.
#[derive(Clone, Copy)]
pub(super) struct Places {
    pub(super) known: u8,
    /// Whether the labels whose ends are known are all.
    pub(super) all: bool,
    /// The end of a label's name, then of its value without the quote.
    pub(super) ends: [(u16, u16); 8],
}

impl Places {
    pub(super) const UNKNOWN: Self = Self {
        known: 0,
        all: false,
        ends: [(0, 0); 8],
    };
}

/// Where a sample's name is.
#[derive(Clone, Copy)]
pub(super) enum Name {
    /// From the line's beginning on, of so many bytes.
    Plain(u32),
    /// In quotes among the labels: the bytes between them.
    Quoted { start: u32, end: u32, escaped: bool },
}

impl<'a> Sample<'a> {
    /// Nothing yet.
    pub(super) const EMPTY: Self = Self {
        line: "",
        indent: 0,
        name: Name::Plain(0),
        labels: 0,
        places: Places::UNKNOWN,
        exemplar: 0,
        value_text: (0, 0),
        value: 0.0,
        timestamp: None,
    };

    /// The sample's name, with its suffix: `http_requests_total`.
    #[inline]
    pub fn name(&self) -> Cow<'a, str> {
        match self.name {
            Name::Plain(len) => Cow::Borrowed(&self.line[..len as usize]),
            Name::Quoted {
                start,
                end,
                escaped,
            } => Piece {
                start: start as usize,
                end: end as usize,
                escaped,
            }
            .of(self.line),
        }
    }

    /// The labels, in their order on the page.
    #[inline]
    pub fn labels(&self) -> Labels<'a> {
        Labels::new(self.line, self.labels, self.places)
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
        &self.line[self.value_text.0 as usize..self.value_text.1 as usize]
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
        let labels = Labels::new(self.line, self.exemplar, Places::UNKNOWN);
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
        self.offset_of_name() + self.value_text.0 as usize
    }

    /// What stands behind the value: blanks, a timestamp, an exemplar.
    pub(in crate::exposition) fn text_behind_value(&self) -> &str {
        &self.line[self.value_text.1 as usize..]
    }

    /// Where the timestamp begins, if there is one.
    pub(in crate::exposition) fn offset_of_timestamp(&self) -> usize {
        let behind = self.text_behind_value();
        let blanks = behind.len() - behind.trim_ascii_start().len();
        self.offset_of_name() + self.value_text.1 as usize + blanks
    }

    /// Where the exemplar's labels begin.
    pub(in crate::exposition) fn offset_of_exemplar(&self) -> usize {
        self.offset_of_name() + self.exemplar as usize
    }

    /// Where the label `name` begins; where the sample does if there is none.
    pub(in crate::exposition) fn offset_of_label(&self, name: &str) -> usize {
        let mut labels = Labels::new(self.line, self.labels, Places::UNKNOWN);
        let at = loop {
            match labels.search() {
                Some((label, _)) if label.of(self.line) == name => break label.start,
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
    labels: Labels<'a>,
    value: f64,
    timestamp: Option<f64>,
}

impl<'a> Exemplar<'a> {
    /// The labels, in their order on the page.
    pub fn labels(&self) -> Labels<'a> {
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

/// A label of a sample or an exemplar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label<'a> {
    /// The name.
    pub name: Cow<'a, str>,
    /// The value, unescaped.
    pub value: Cow<'a, str>,
}

/// The labels of a sample or an exemplar, in their order on the page.
#[derive(Clone)]
pub struct Labels<'a> {
    line: &'a str,
    /// Behind the brace, a comma or a label; where a label begins as long as
    /// the ends of the next one are known.
    at: usize,
    next: u8,
    places: Places,
}

impl<'a> Labels<'a> {
    #[inline]
    pub(super) fn new(line: &'a str, at: u32, places: Places) -> Self {
        let at = if at == 0 { line.len() } else { at as usize };
        let next = 0;
        Self {
            line,
            at,
            next,
            places,
        }
    }

    /// The next label: its name and `name="value`, where it is written so,
    /// without blanks and escapes.
    #[inline]
    pub(in crate::exposition) fn next_as_written(
        &mut self,
    ) -> Option<Result<(&'a str, &'a str), Label<'a>>> {
        if self.next >= self.places.known {
            if self.places.all {
                return None;
            }
            let (name, value) = self.search()?;
            return Some(Err(Label {
                name: name.of(self.line),
                value: value.of(self.line),
            }));
        }
        let (name_end, value_end) = self.places.ends[usize::from(self.next & 7)];
        let (name_end, value_end) = (usize::from(name_end), usize::from(value_end));
        let written = (
            &self.line[self.at..name_end],
            &self.line[self.at..value_end],
        );
        self.next += 1;
        // Behind the quote, and behind a comma where there is one.
        self.at = value_end + 2;
        if self.next == self.places.known {
            self.at -= 1;
        }
        Some(Ok(written))
    }

    /// The place behind the closing brace.
    fn end(mut self) -> usize {
        while self.search().is_some() {}
        self.at + 1
    }

    /// The byte at `at`; at the end, a closing brace.
    #[inline]
    fn peek(&self, at: usize) -> u8 {
        self.line.as_bytes().get(at).copied().unwrap_or(b'}')
    }

    #[inline]
    fn skip_blanks(&self, mut at: usize) -> usize {
        while matches!(self.peek(at), b' ' | b'\t') {
            at += 1;
        }
        at
    }

    /// The next label, wherever it is.
    #[inline(never)]
    pub(super) fn search(&mut self) -> Option<(Piece, Piece)> {
        loop {
            while matches!(self.peek(self.at), b',' | b' ' | b'\t') {
                self.at += 1;
            }
            let start = self.at;
            let (name, end) = match self.peek(start) {
                b'}' => return None,
                b'"' => {
                    let name = self.quoted(start);
                    (name, name.end + 1)
                }
                _ => {
                    let end = scan::label_name_end(self.line.as_bytes(), start);
                    let escaped = false;
                    (
                        Piece {
                            start,
                            end,
                            escaped,
                        },
                        end,
                    )
                }
            };
            let equals = self.skip_blanks(end);
            if self.peek(equals) != b'=' {
                // The name of the metric, in quotes among its labels.
                self.at = equals;
                continue;
            }
            let value = self.quoted(self.skip_blanks(equals + 1));
            self.at = value.end + 1;
            return Some((name, value));
        }
    }

    /// The text in quotes at `at`.
    fn quoted(&self, at: usize) -> Piece {
        let bytes = self.line.as_bytes();
        let start = at + 1;
        let mut end = scan::quoted_end(bytes, start).at;
        let escaped = self.peek(end) == b'\\';
        while self.peek(end) == b'\\' {
            // Whatever the escape, its next byte ends nothing.
            end = scan::quoted_end(bytes, end + 2).at;
        }
        Piece {
            start,
            end,
            escaped,
        }
    }
}

impl<'a> Iterator for Labels<'a> {
    type Item = Label<'a>;

    #[inline]
    fn next(&mut self) -> Option<Label<'a>> {
        match self.next_as_written()? {
            Ok((name, written)) => Some(Label {
                name: Cow::Borrowed(name),
                value: Cow::Borrowed(&written[name.len() + 2..]),
            }),
            Err(label) => Some(label),
        }
    }
}

impl std::iter::FusedIterator for Labels<'_> {}

impl PartialEq for Labels<'_> {
    /// Whether both have the same labels in the same order, however written.
    fn eq(&self, other: &Self) -> bool {
        self.clone().eq(other.clone())
    }
}

impl fmt::Debug for Labels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels = self.clone().map(|label| (label.name, label.value));
        f.debug_map().entries(labels).finish()
    }
}
