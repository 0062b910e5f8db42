//! Errors of a page: a kind, an offset, and an excerpt for people.

use super::line::Line;
use std::borrow::Cow;
use std::fmt;

/// The reason why a page was refused, and the byte at which it is wrong.
///
/// The type is small and `Copy`. Text for people is made on demand:
/// [`Error::position`] counts lines, [`Error::display_in`] shows the line.
///
/// ```
/// use stethoscope::exposition::{Format, parser::parse};
///
/// let page = "up 1\nup{job=x} 1\n";
/// let error = parse(page, Format::Text).find_map(Result::err).unwrap();
/// assert_eq!(error.position(page).to_string(), "line 2, column 8");
/// assert_eq!(
///     error.display_in(page).to_string(),
///     "line 2, column 8: a label value must be in double quotes\n\
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

    /// Returns the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns the offset of the error in the page, in bytes from 0.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Converts an error found in a part of the page that begins at byte `base`.
    pub(crate) fn with_base(self, base: usize) -> Self {
        Self {
            offset: self.offset + base,
            ..self
        }
    }

    /// Returns the line and column of the error in `page`, the text it was found
    /// in.
    pub fn position(&self, page: impl AsRef<[u8]>) -> Position {
        let page = page.as_ref();
        let before = &page[..self.offset.min(page.len())];
        let lines = before.iter().filter(|&&byte| byte == b'\n').count();
        let line_start = start_of_line(before);
        Position {
            line: lines + 1,
            column: String::from_utf8_lossy(&before[line_start..])
                .chars()
                .count()
                + 1,
        }
    }

    /// Returns the error together with its line in `page`, ready to be displayed.
    pub fn display_in(&self, page: impl AsRef<[u8]>) -> Excerpt {
        let page = page.as_ref();
        let start = start_of_line(&page[..self.offset.min(page.len())]);
        let line = page[start..].split(|&byte| byte == b'\n').next();
        let line = line.unwrap_or_default();
        let at = self.offset - start;
        let message = file_fault(self.kind, line, at).unwrap_or(self.kind.message());
        Excerpt::new(message, self.position(page), line, at)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {}", self.offset, self.kind)
    }
}

impl std::error::Error for Error {}

/// Recognises faults of a whole file (its encoding, compression or line ends) from
/// the first error that they cause, at the byte `at` of `line`. The grammar's own
/// message would mislead there.
fn file_fault(kind: ErrorKind, line: &[u8], at: usize) -> Option<&'static str> {
    use ErrorKind::{
        BadNameCharacter, BadTimestamp, BadType, BadValue, Comment, ExpectedBlank, ExpectedEnd,
        ExpectedName, InvalidUtf8, UnexpectedBlank,
    };
    let rest = line.get(at..)?;
    let has_blank = || rest.iter().any(|byte| matches!(byte, b' ' | b'\t'));
    // ASCII text in UTF-16 has a NUL beside every character.
    let is_utf16 = || {
        rest.starts_with(b"\xff\xfe")
            || rest.starts_with(b"\xfe\xff")
            || matches!(line, [0])
            || matches!(line, [0, second, 0, ..] | [second, 0, _, 0, ..] if *second != 0)
    };
    if is_json(line) {
        return Some("this is JSON, not a metrics page");
    }
    let begins_with =
        |tag: &[u8]| (rest.get(..tag.len())).is_some_and(|begin| begin.eq_ignore_ascii_case(tag));
    match kind {
        ExpectedName if begins_with(b"<!doctype html") || begins_with(b"<html") => {
            Some("this is HTML, not a metrics page")
        }
        ExpectedName if begins_with(b"<") => Some("this is XML or HTML, not a metrics page"),
        ExpectedName if rest.starts_with(b"\xef\xbb\xbf") => {
            Some("the page begins with a byte order mark: expected UTF-8 without one")
        }
        ExpectedName if rest.starts_with(b"\x1f\x8b") => {
            Some("this is gzip, not text: decompress it first")
        }
        ExpectedName | BadNameCharacter | Comment | ExpectedBlank | InvalidUtf8 if is_utf16() => {
            Some("this is UTF-16: a page must be UTF-8")
        }
        BadValue if begins_with(b"{count:") || begins_with(b"{gcount:") => {
            Some("composite values are those of OpenMetrics 2.0: read the page in that format")
        }
        // Text has blanks before braces, so it takes these for labels.
        BadNameCharacter if rest.starts_with(b":") && line[..at].ends_with(b" {count") => {
            Some("composite values are those of OpenMetrics 2.0: read the page in that format")
        }
        BadTimestamp | ExpectedEnd if begins_with(b"st@") => {
            Some("start times are those of OpenMetrics 2.0: read the page in that format")
        }
        BadTimestamp | BadType | BadValue | ExpectedEnd | ExpectedName | UnexpectedBlank
            if rest.ends_with(b"\r") && !has_blank() =>
        {
            Some("this line ends with a carriage return: lines must end with a newline alone")
        }
        _ => None,
    }
}

/// Returns true for lines that begin like an object or an array of JSON, and like no
/// sample: `{`, `{"key":`, `[`, `[{`.
fn is_json(line: &[u8]) -> bool {
    match line.trim_ascii() {
        [b'{'] | [b'{', b'}'] | [b'['] | [b'[', b'{' | b'"' | b']', ..] => true,
        [b'{', rest @ ..] => {
            let [b'"', rest @ ..] = rest.trim_ascii_start() else {
                return false;
            };
            let key_end = rest.iter().position(|&byte| byte == b'"');
            let after_key = key_end.map_or(&b""[..], |end| &rest[end + 1..]);
            after_key.trim_ascii_start().starts_with(b":")
        }
        _ => false,
    }
}

fn start_of_line(before: &[u8]) -> usize {
    let newline = before.iter().rposition(|&byte| byte == b'\n');
    newline.map_or(0, |newline| newline + 1)
}

/// A position in a page, both numbers from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Returns true for characters that a terminal obeys or hides: controls (C0 and
/// C1), line separators, direction overrides and characters without a width.
///
/// A page comes from elsewhere: what of it is shown to a person must not contain
/// these. [`Excerpt`] replaces each by a middle dot.
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// An error with its line, cut to what fits a terminal, and a caret below the
/// position.
///
/// Displays as three lines without a newline at the end, or as one if the line is
/// empty or no longer at hand.
#[derive(Clone, Debug)]
pub struct Excerpt {
    message: Cow<'static, str>,
    position: Position,
    line: String,
    caret: usize,
}

impl Excerpt {
    /// Characters shown on either side of the position.
    const AROUND: usize = 60;

    pub(crate) fn new(
        message: impl Into<Cow<'static, str>>,
        position: Position,
        line: &[u8],
        at: usize,
    ) -> Self {
        let at = at.min(line.len());
        // A line may be huge: look only at what can be shown.
        let from = at.saturating_sub(4 * Self::AROUND);
        let to = line.len().min(at + 4 * Self::AROUND);
        let (before, after) = (printable(&line[from..at]), printable(&line[at..to]));
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
            message: message.into(),
            position,
            line: text,
            caret,
        }
    }

    /// Makes an excerpt about the page's byte `offset`, which is on `line`.
    pub(in crate::exposition) fn of_line(
        message: impl Into<Cow<'static, str>>,
        line: Line<'_>,
        offset: usize,
    ) -> Self {
        let at = offset - line.offset;
        let before = String::from_utf8_lossy(&line.text[..at.min(line.text.len())]);
        let position = Position {
            line: line.number,
            column: before.chars().count() + 1,
        };
        let text = line.text.strip_suffix(b"\n").unwrap_or(line.text);
        Self::new(message, position, text, at)
    }

    /// Adds the `lines` that stand before this text.
    pub(crate) fn offset_lines(mut self, lines: usize) -> Self {
        self.position.line += lines;
        self
    }

    /// Returns the position that the excerpt is about.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Returns the message without position and line.
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// The characters of a part of a line, each unprintable one replaced.
fn printable(bytes: &[u8]) -> Vec<char> {
    let text = String::from_utf8_lossy(bytes);
    let printable = |c: char| if is_unprintable(c) { '\u{b7}' } else { c };
    text.chars().map(printable).collect()
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            message,
            position,
            line,
            caret,
        } = self;
        write!(f, "{position}: {message}")?;
        if line.is_empty() {
            return Ok(());
        }
        write!(f, "\n  {line}\n  {:caret$}^", "")
    }
}

/// Defines an enum whose variants each have a message for people.
macro_rules! messages {
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
pub(in crate::exposition) use messages;

messages! {
    /// The kind of an error in a page.
    ErrorKind:

    // Found by the lexer.
    /// A line longer than [`Options::max_line`](super::Options::max_line).
    LineTooLong = "this line is longer than the limit",
    /// Bytes that are not UTF-8, in a name, a label value or a HELP.
    InvalidUtf8 = "this is not valid UTF-8",
    /// A line that begins neither with a metric name nor with `#`.
    ExpectedName = "a line must begin with a metric name or with #",
    /// A character that an unquoted name can't have.
    BadNameCharacter = "this character can't be part of a name without quotes: use letters, digits and underscores (and colons, in metric names)",
    /// A blank, a tab or an empty line where OpenMetrics allows none.
    UnexpectedBlank = "OpenMetrics allows no blank, tab or empty line here",
    /// A `#` line in OpenMetrics that is not HELP, TYPE, UNIT or EOF.
    Comment = "OpenMetrics has no comments: only # HELP, # TYPE, # UNIT and # EOF",
    /// HELP, TYPE or UNIT without a metric name.
    BadMetadataName = "HELP, TYPE and UNIT must be followed by a metric name",
    /// A byte other than a blank after a name.
    ExpectedBlank = "expected a blank here",
    /// A name without a value.
    MissingValue = "a sample needs a blank and a value after its name and labels",
    /// A TYPE that the format does not have.
    BadType = "unknown type: expected one of this format's types, in lower case and alone",
    /// A UNIT with characters that names can't have.
    BadUnit = "a unit consists of letters, digits, underscores and colons",
    /// A UNIT that the family's name does not end in.
    UnitNotInName = "the family name must end with an underscore and this unit",
    /// A quoted name in a format, or in a place, that allows none.
    QuotedName = "a quoted name is not allowed here in this format",
    /// An empty quoted name.
    EmptyName = "a name can't be empty",
    /// Braces without a metric name before or in them.
    NoName = "this sample has no name",
    /// A second metric name.
    SecondName = "this sample already has a name",
    /// No label name, and no closing brace, in braces.
    BadLabelName = "expected a label name or the closing brace",
    /// No `=` after a label name.
    ExpectedEquals = "a label name must be followed by =",
    /// No `"` after `=`.
    ExpectedQuote = "a label value must be in double quotes",
    /// A quoted text that does not end on its line.
    UnclosedQuote = "this quoted text has no closing quote on its line",
    /// A `\` before a character that needs no escape, or at the end.
    UnknownEscape = "a backslash must be followed by a backslash, n or (not in a HELP of the text format) a double quote",
    /// Neither `,` nor `}` after a label.
    ExpectedComma = "a label must be followed by a comma or the closing brace",
    /// A comma before the closing brace, or two in a row.
    TrailingComma = "a comma must be followed by a label here",
    /// A label name that occurs twice in one sample.
    DuplicateLabel = "this sample already has a label of this name",
    /// `__name__`, or in strict OpenMetrics any name that begins with `__`.
    ReservedLabel = "label names that begin with two underscores are reserved",
    /// A value that is not a number.
    BadValue = "invalid value: expected a decimal number, NaN, +Inf or -Inf",
    /// A composite value that does not begin with its count.
    MissingCount = "a composite value must begin with count:, or with gcount: in a gauge histogram",
    /// A composite value without a sum after its count.
    MissingSum = "a count must be followed by a comma and sum:, a gcount by gsum:",
    /// A composite value without quantiles or buckets.
    MissingBuckets = "expected schema: or bucket:[ of a histogram here, or quantile:[ of a summary",
    /// Fields of native buckets that are out of order, or incomplete.
    BadNativeField = "expected the fields of native buckets in their order: schema, zero_threshold, zero_count, then, where there are such buckets, negative_spans with negative_buckets and positive_spans with positive_buckets",
    /// A span that is not an offset and a length.
    BadSpan = "a span is an offset and a length of at least 1, such as 2:3, and only the first offset can be negative",
    /// A bound or a quantile that is not a finite number before a colon.
    BadPair = "expected a finite number here, and a colon if a list has pairs, such as 0.5:3",
    /// A list or a composite value that does not end.
    UnclosedComposite = "expected a comma here, or the end of the list or the composite value",
    /// A start time that is not a finite number.
    BadStartTime = "invalid start time: st@ must be followed by a finite number of seconds",
    /// An exemplar without a timestamp, in OpenMetrics 2.0.
    ExemplarWithoutTime = "an exemplar of OpenMetrics 2.0 needs a timestamp after its value",
    /// A timestamp that the format does not have.
    BadTimestamp = "invalid timestamp: expected an integer of milliseconds in text, a finite number of seconds in OpenMetrics",
    /// An exemplar in a text format.
    ExemplarInText = "the text format has no exemplars: only OpenMetrics has",
    /// An exemplar that does not begin with braces.
    ExemplarWithoutBraces = "an exemplar must begin with its labels in braces, for example # {} 0.5",
    /// More on the line than belongs to it.
    ExpectedEnd = "expected the end of the line here",
    /// A last line without a newline.
    MissingNewline = "the last line must end with a newline",
    /// No `# EOF` in OpenMetrics.
    MissingEof = "an OpenMetrics page must end with # EOF: without it a reader can't tell whether it is complete",
    /// A line after `# EOF`.
    AfterEof = "nothing may follow # EOF",

    // Found by the validator.
    /// A number where the family's type has composite values.
    ExpectedComposite = "a family of this type needs a composite value: count, sum and buckets or quantiles in braces",
    /// A composite value of another type.
    UnexpectedComposite = "a family of this type has no such composite value",
    /// A start time on a sample that counts nothing.
    UnexpectedStartTime = "only counters, histograms and summaries have a start time",
    /// The name of an info in OpenMetrics 2.0.
    InfoWithoutSuffix = "the name of an info must end in _info",
    /// A label that names a field of the composite value.
    InnerLabel = "a histogram with classic buckets can't have a label le, and a summary none called quantile",
    /// A schema that the standard does not have.
    BadSchema = "a schema must be an integer from -4 to 8",
    /// A zero bucket without a width.
    BadZeroThreshold = "a zero threshold can't be negative",
    /// Spans whose lengths do not add up.
    SpanMismatch = "the lengths of the spans must add up to the number of buckets",
    /// A native bucket beyond the one that ends at infinity.
    BucketBeyondInfinity = "there is no native bucket of this index: it would lie beyond infinity",
    /// A count that differs from the native buckets'.
    NativeCountMismatch = "the count must be the sum of the native buckets and the zero bucket",
    /// A second HELP, TYPE or UNIT of a family.
    RepeatedMetadata = "this family already has such a line",
    /// HELP, TYPE or UNIT after a sample of the family.
    LateMetadata = "metadata must come before the family's samples",
    /// A family that continues after another one.
    InterleavedFamily = "the lines of a family must stand together, and another family came between",
    /// A name that two families claim.
    NameClash = "this name also belongs to another family",
    /// A sample that the type of its family does not have.
    UnexpectedSample = "a family of this type has no sample of this name",
    /// A counter's TYPE line with `_total`, in OpenMetrics.
    TotalInFamilyName = "in OpenMetrics the metadata of a counter names the family without _total: only its sample ends in _total",
    /// The same series twice.
    DuplicateSeries = "this series was on the page already",
    /// A metric that continues after another one of its family.
    InterleavedMetric = "the samples of a metric must stand together, and another metric came between",
    /// A metric that has timestamps on some points only.
    MixedTimestamps = "the samples of a metric must all have timestamps, or none",
    /// A timestamp before the one above it.
    TimestampBackwards = "the timestamps of a metric must not go backwards",
    /// A counter, a count or a sum that is negative or NaN.
    BadCounterValue = "the value of this sample can be neither negative nor NaN",
    /// A count that is not an integer.
    CountNotInteger = "a count must be an integer",
    /// An info metric whose value is not 1.
    InfoNotOne = "the value of an info metric must be 1",
    /// A state that is neither 0 nor 1.
    StateNotBoolean = "the value of a state must be 0 or 1",
    /// A state set without the label of its states.
    NoStateLabel = "a state set needs a label with the family's name",
    /// A unit on an info or a state set.
    UnitNotAllowed = "a family of this type can't have a unit",
    /// A bucket without an `le` that is a number.
    BadBound = "a bucket needs a label le whose value is a number or +Inf",
    /// Buckets that do not ascend.
    BucketsOutOfOrder = "the bounds of buckets must ascend",
    /// Counts of buckets that do not ascend.
    BucketsNotCumulative = "a bucket can't count less than the bucket before it",
    /// A histogram without its last bucket.
    NoInfBucket = "this histogram has no bucket le=\"+Inf\"",
    /// A count that differs from the last bucket's.
    CountMismatch = "the count of this histogram differs from its bucket le=\"+Inf\"",
    /// A sum without a count, or a count without a sum.
    SumWithoutCount = "a histogram needs both a sum and a count, or neither",
    /// A sum together with negative bounds, or negative without them.
    BadSum = "a histogram with negative bounds can't have a sum, and without them its sum can't be negative",
    /// A quantile that is not a number, or in OpenMetrics not between 0 and 1.
    BadQuantile = "a quantile needs a label quantile whose value is a number from 0 to 1",
    /// Quantiles that do not ascend.
    QuantilesOutOfOrder = "the quantiles of a summary must ascend",
    /// A negative quantile value.
    NegativeQuantile = "the value of a quantile can't be negative",
    /// An exemplar on a sample that can't have one.
    UnexpectedExemplar = "only counters and buckets can have exemplars",
    /// An exemplar whose labels are too long.
    ExemplarTooLong = "the labels of an exemplar can't be longer than 128 characters",
    /// An exemplar outside its bucket.
    ExemplarOutsideBucket = "the value of this exemplar is not in its bucket",
    /// More families or series than
    /// [`Options::max_memory`](super::Options::max_memory) allows to remember.
    MemoryLimit = "validation reached its memory limit: this page has too many families or series",
}
