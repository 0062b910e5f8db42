//! What is wrong with a page, and where.

use super::chunks::Line;
use std::fmt;

/// Why a page was refused, and at which byte.
///
/// Small and `Copy`; what a person wants to see is made when asked for:
/// [`Error::place`] counts lines, [`Error::show`] shows the line.
///
/// ```
/// use stethoscope::exposition::{Format, parser::parse};
///
/// let page = "up 1\nup{job=x} 1\n";
/// let error = parse(page, Format::Text).find_map(Result::err).unwrap();
/// assert_eq!(error.place(page).to_string(), "line 2, column 8");
/// assert_eq!(
///     error.show(page).to_string(),
///     "line 2, column 8: a label's value must stand in double quotes\n\
///      \x20 up{job=x} 1\n\
///      \x20        ^"
/// );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    offset: usize,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, offset: usize) -> Self {
        Self { kind, offset }
    }

    /// What is wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The byte of the page, from 0, at which it is wrong.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The same error in a page that begins `by` bytes before this text.
    pub(crate) fn moved(self, by: usize) -> Self {
        Self {
            offset: self.offset + by,
            ..self
        }
    }

    /// The line and column of the error in `page`, the text it was found in.
    pub fn place(&self, page: impl AsRef<[u8]>) -> Place {
        let page = page.as_ref();
        let before = &page[..self.offset.min(page.len())];
        let lines = before.iter().filter(|&&byte| byte == b'\n').count();
        let line_start = start_of_line(before);
        Place {
            line: lines + 1,
            column: String::from_utf8_lossy(&before[line_start..])
                .chars()
                .count()
                + 1,
        }
    }

    /// The error together with its line in `page`, ready to be displayed.
    pub fn show(&self, page: impl AsRef<[u8]>) -> Excerpt {
        let page = page.as_ref();
        let start = start_of_line(&page[..self.offset.min(page.len())]);
        let line = page[start..].split(|&byte| byte == b'\n').next();
        let line = line.unwrap_or_default();
        let at = self.offset - start;
        let message = fault_of_file(self.kind, line, at).unwrap_or(self.kind.message());
        Excerpt::new(message, self.place(page), line, at)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {}", self.offset, self.kind)
    }
}

impl std::error::Error for Error {}

/// What a whole file has wrong, where that is behind an error at the byte `at` of
/// a line: the grammar's own words would mislead.
fn fault_of_file(kind: ErrorKind, line: &[u8], at: usize) -> Option<&'static str> {
    use ErrorKind::{BadTimestamp, BadType, BadValue, ExpectedEnd, ExpectedName, UnexpectedBlank};
    let rest = line.get(at..)?;
    let has_blank = || rest.iter().any(|byte| matches!(byte, b' ' | b'\t'));
    match kind {
        ExpectedName if rest.starts_with(b"\xef\xbb\xbf") => {
            Some("a byte order mark stands here: a page must be UTF-8 without one")
        }
        ExpectedName if rest.starts_with(b"\x1f\x8b") => {
            Some("this is gzip, not text: decompress it first")
        }
        BadTimestamp | BadType | BadValue | ExpectedEnd | ExpectedName | UnexpectedBlank
            if rest.ends_with(b"\r") && !has_blank() =>
        {
            Some("a carriage return ends this line: lines must end with a newline alone")
        }
        _ => None,
    }
}

fn start_of_line(before: &[u8]) -> usize {
    let newline = before.iter().rposition(|&byte| byte == b'\n');
    newline.map_or(0, |newline| newline + 1)
}

/// A place in a page, both numbers from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// An error with its line, cut to what fits a terminal, and a caret below the
/// place. Displays as three lines without a newline at the end, or as one where
/// the line is empty or no longer at hand.
#[derive(Clone, Debug)]
pub struct Excerpt {
    message: &'static str,
    place: Place,
    line: String,
    caret: usize,
}

impl Excerpt {
    /// Characters shown on either side of the place.
    const AROUND: usize = 60;

    pub(crate) fn new(message: &'static str, place: Place, line: &[u8], at: usize) -> Self {
        let at = at.min(line.len());
        // A line may be huge: look only at what can be shown.
        let from = at.saturating_sub(4 * Self::AROUND);
        let to = line.len().min(at + 4 * Self::AROUND);
        let shown = |bytes: &[u8]| -> Vec<char> {
            let text = String::from_utf8_lossy(bytes);
            let printable = |c: char| if c.is_control() { '\u{b7}' } else { c };
            text.chars().map(printable).collect()
        };
        let (before, after) = (shown(&line[from..at]), shown(&line[at..to]));
        let cut_before = before.len().saturating_sub(Self::AROUND);
        let cut_after = after.len().min(Self::AROUND);
        let mut text = String::new();
        if from + cut_before > 0 {
            text.push('…');
        }
        text.extend(&before[cut_before..]);
        let caret = text.chars().count();
        text.extend(&after[..cut_after]);
        if to < line.len() || cut_after < after.len() {
            text.push('…');
        }
        Self {
            message,
            place,
            line: text,
            caret,
        }
    }

    /// A message about the page's byte `offset`, which is on `line`.
    pub(in crate::exposition) fn of_line(
        message: &'static str,
        line: Line<'_>,
        offset: usize,
    ) -> Self {
        let at = offset - line.offset;
        let before = String::from_utf8_lossy(&line.text[..at.min(line.text.len())]);
        let place = Place {
            line: line.number,
            column: before.chars().count() + 1,
        };
        let text = line.text.strip_suffix(b"\n").unwrap_or(line.text);
        Self::new(message, place, text, at)
    }

    /// The same in a text that has so many lines before it.
    pub(crate) fn below(mut self, lines: usize) -> Self {
        self.place.line += lines;
        self
    }

    /// Where.
    pub fn place(&self) -> Place {
        self.place
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            message,
            place,
            line,
            caret,
        } = self;
        write!(f, "{place}: {message}")?;
        if line.is_empty() {
            return Ok(());
        }
        write!(f, "\n  {line}\n  {:caret$}^", "")
    }
}

/// An enum whose variants each have a sentence for people.
macro_rules! kinds {
    (
        $(#[doc = $about:literal])+ $name:ident:
        $($(#[doc = $doc:literal])+ $kind:ident = $message:literal,)*
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[doc = $doc])+ $kind,)*
        }

        impl $name {
            pub(in crate::exposition) fn message(self) -> &'static str {
                match self {
                    $(Self::$kind => $message,)*
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.message())
            }
        }
    };
}
pub(in crate::exposition) use kinds;

kinds! {
    /// What is wrong with a page.
    ErrorKind:

    // What the lexer finds.
    /// A line longer than the limit.
    LineTooLong = "this line is longer than the limit",
    /// A text that matters is not UTF-8.
    InvalidUtf8 = "this is not valid UTF-8",
    /// A line begins with what begins no line.
    ExpectedName = "a line must begin with the name of a metric, or with #",
    /// A blank, a tab or an empty line in OpenMetrics, which has none there.
    UnexpectedBlank = "OpenMetrics allows no blank, tab or empty line here",
    /// A `#` line in OpenMetrics that is not HELP, TYPE, UNIT or EOF.
    Comment = "OpenMetrics has no comments: only # HELP, # TYPE, # UNIT and # EOF",
    /// HELP, TYPE or UNIT without a name, or with one that is none.
    BadMetadataName = "HELP, TYPE and UNIT must be followed by the name of a metric",
    /// Something else than a blank after a name.
    ExpectedBlank = "there must be a blank here",
    /// A TYPE that the format does not have.
    BadType = "this is not a type of this format, in lower case and alone",
    /// A UNIT that is not made of the characters of names.
    BadUnit = "a unit is made of letters, digits, underscores and colons",
    /// A UNIT that the family's name does not end in.
    UnitNotInName = "the name of the family must end with an underscore and this unit",
    /// A quoted name in a format, or in a place, that has none.
    QuotedName = "a quoted name can't stand here in this format",
    /// A quoted name of no characters.
    EmptyName = "a name can't be empty",
    /// Braces without a metric's name before or in them.
    NoName = "this sample has no name",
    /// A second metric name.
    SecondName = "this sample has a name already",
    /// Something in braces that begins no label.
    BadLabelName = "a label's name, or the closing brace, must stand here",
    /// No `=` after a label's name.
    ExpectedEquals = "a label's name must be followed by =",
    /// No `"` after `=`.
    ExpectedQuote = "a label's value must stand in double quotes",
    /// A text in quotes that does not end on its line.
    UnclosedQuote = "this text in quotes has no closing quote on its line",
    /// A `\` before what needs none, or at the end.
    UnknownEscape = "a backslash must be followed by a backslash, n or (not in a HELP of the text format) a double quote",
    /// Neither `,` nor `}` after a label.
    ExpectedComma = "a label must be followed by a comma or the closing brace",
    /// A comma before the closing brace, or two of them.
    TrailingComma = "a comma must be followed by a label here",
    /// The same label twice in one sample.
    DuplicateLabel = "this sample has a label of this name already",
    /// `__name__`, or in strict OpenMetrics any `__name`.
    ReservedLabel = "labels that begin with two underscores are reserved",
    /// No number where the value should be.
    BadValue = "this is not a value: a decimal number, NaN, +Inf or -Inf",
    /// No timestamp of this format.
    BadTimestamp = "this is not a timestamp: in text an integer of milliseconds, in OpenMetrics a finite number of seconds",
    /// More on the line than belongs to it.
    ExpectedEnd = "the line should end here",
    /// The last line does not end.
    MissingNewline = "the last line must end with a newline",
    /// No `# EOF` in OpenMetrics.
    MissingEof = "an OpenMetrics page must end with # EOF",
    /// Something after `# EOF`.
    AfterEof = "nothing may follow # EOF",

    // What validation finds.
    /// A second HELP, TYPE or UNIT of a family.
    RepeatedMetadata = "this family has such a line already",
    /// HELP, TYPE or UNIT after a sample of the family.
    LateMetadata = "metadata must stand before the family's samples",
    /// A family that is taken up again after another one.
    InterleavedFamily = "the lines of a family must stand together, and this family was closed before",
    /// A name that two families claim.
    NameClash = "this name belongs to another family too",
    /// A sample that the type of its family does not have.
    UnexpectedSample = "a family of this type has no sample of this name",
    /// The same series twice.
    DuplicateSeries = "this series was on the page already",
    /// A metric that is taken up again after another one of its family.
    InterleavedMetric = "the samples of a metric must stand together, and this one was closed before",
    /// A metric that has timestamps on some points only.
    MixedTimestamps = "the samples of a metric must all have timestamps, or none",
    /// A timestamp before the one above it.
    TimestampBackwards = "the timestamps of a metric must not go backwards",
    /// A counter, a count or a sum that is negative or NaN.
    BadCounterValue = "this sample can be neither negative nor NaN",
    /// A count that is no integer.
    CountNotInteger = "a count must be an integer",
    /// An info metric whose value is not 1.
    InfoNotOne = "the value of an info metric must be 1",
    /// A state that is neither 0 nor 1.
    StateNotBoolean = "the value of a state must be 0 or 1",
    /// A state set without the label of its states.
    NoStateLabel = "a state set needs a label named as the family",
    /// A unit on an info or a state set.
    UnitNotAllowed = "a family of this type can't have a unit",
    /// A bucket without an `le` that is a number.
    BadBound = "a bucket needs a label le that is a number, or +Inf",
    /// Buckets that do not ascend.
    BucketsOutOfOrder = "the bounds of buckets must ascend",
    /// Counts of buckets that do not ascend.
    BucketsNotCumulative = "a bucket can't count less than the one below it",
    /// A histogram without its last bucket.
    NoInfBucket = "this histogram has no bucket le=\"+Inf\"",
    /// A count other than that of the last bucket.
    CountMismatch = "the count of this histogram is not that of its bucket le=\"+Inf\"",
    /// A sum without a count, or a count without a sum.
    SumWithoutCount = "this histogram has a sum without a count, or a count without a sum",
    /// A sum together with negative bounds, or negative without them.
    BadSum = "a sum can't stand beside negative bounds, nor be negative without them",
    /// A quantile that is no number, or in OpenMetrics not between 0 and 1.
    BadQuantile = "a quantile needs a label quantile that is a number from 0 to 1",
    /// Quantiles that do not ascend.
    QuantilesOutOfOrder = "the quantiles of a summary must ascend",
    /// A negative quantile value.
    NegativeQuantile = "the value of a quantile can't be negative",
    /// An exemplar where none may be.
    UnexpectedExemplar = "only counters and buckets have exemplars",
    /// An exemplar whose labels are too long.
    ExemplarTooLong = "the labels of an exemplar can't be longer than 128 characters",
    /// An exemplar outside its bucket.
    ExemplarOutsideBucket = "the value of this exemplar is not in its bucket",
}
