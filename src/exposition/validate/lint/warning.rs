//! The kinds of warnings, and a warning with its position.

use crate::exposition::parser::{Excerpt, Line, Position, is_unprintable, messages};
use std::borrow::Cow;
use std::fmt;

messages! {
    /// The kind of a warning.
    Lint:

    // The Prometheus server and the page.
    /// A timestamp with a sign, in text.
    SignedTimestamp = "the Prometheus server refuses a page that has a signed timestamp in text",
    /// More than one blank before the type in a TYPE line, or any after it.
    BlanksAroundType = "the Prometheus server refuses a page that has more than one blank before a type, or any after it",
    /// Blanks before a sample, in text.
    LeadingBlank = "Prometheus 2 refuses a page that has blanks before a sample; Prometheus 3 stores them as part of the metric's name",
    /// An exemplar on a sample whose name ends neither in `_total` nor in `_bucket`.
    UnsupportedExemplar = "Prometheus 2.42 refuses a page that has an exemplar on a sample whose name ends neither in _total nor in _bucket",
    /// A name in quotes.
    QuotedName = "Prometheus 2 refuses a page that has a name in quotes",
    /// A comma before a closing brace, in OpenMetrics.
    TrailingComma = "Prometheus 2 refuses an OpenMetrics page that has a comma before a closing brace",
    /// A NUL in a comment.
    NulInComment = "the Prometheus server silently drops everything after a NUL in a comment",
    /// An `le` or a `quantile` that is not the canonical spelling of its number.
    /// Reported once for each family.
    NonCanonicalBound = "Prometheus 2 stores this bound as it is written, so that 1 and 1.0 are two series; write 1 (in OpenMetrics 1.0), 0.5, 1e+06 or +Inf",

    // The page by itself.
    /// The same series twice, with the same timestamp. Labels with an empty value are
    /// ignored.
    DuplicateSeries = "this series was on the page already, and the Prometheus server keeps only one of the samples; a label with an empty value counts as no label",
    /// A histogram without its last bucket, in lenient mode. Reported once for each
    /// family.
    NoInfBucket = "a histogram needs a bucket le=\"+Inf\"",
    /// A count that differs from that of the last bucket, in lenient mode.
    CountMismatch = "the count of this histogram differs from its bucket le=\"+Inf\"",
    /// A comment that is nearly a HELP or a TYPE line.
    MetadataInComment = "this line is a comment: metadata begins with # HELP or # TYPE, in capitals and with a blank after the hash",
    /// A timestamp after the year 5000, in OpenMetrics.
    MillisecondsTimestamp = "this timestamp is after the year 5000: timestamps of OpenMetrics are seconds, not milliseconds",
    /// A timestamp of January 1970 that would be of this century in seconds, in text.
    SecondsTimestamp = "this timestamp is in January 1970: timestamps of text are milliseconds, not seconds",
    /// A bucket that counts less than the one before it, in text.
    FallingBucket = "a bucket counts all observations up to its bound, so it can't count less than the bucket before it",
    /// HELP or TYPE of a family without samples.
    NoSamples = "metadata without samples: a typo in the name, or a family without series",
    /// A name that equals another family's but for its case or its separators.
    SimilarName = "another family on this page has the same name but for case or separators",
    /// A label whose values look like ids or times.
    UnboundedLabel = "the values of this label look like ids or times: each one makes a new series",

    // Naming conventions.
    /// A family without HELP.
    NoHelp = "no help text",
    /// A counter without `_total`, in text.
    CounterWithoutTotal = "the name of a counter should end in _total",
    /// `_total` on a family that is not a counter.
    TotalWithoutCounter = "only the name of a counter should end in _total",
    /// `_bucket` on a family that is not a histogram.
    BucketWithoutHistogram = "only a histogram's samples should have names that end in _bucket",
    /// `_count` or `_sum` on a family that is neither histogram nor summary.
    SumWithoutHistogram = "only the samples of a histogram or a summary should have names that end in _count or _sum",
    /// A label `le` on a family that is not a histogram.
    BoundWithoutHistogram = "only a histogram's buckets should have a label le",
    /// A label `quantile` on a family that is not a summary.
    QuantileWithoutSummary = "only a summary should have a label quantile",
    /// The family's own type as a word of its name.
    TypeInName = "the name of a family should not contain its type",
    /// A colon in a name.
    ColonInName = "colons in names are reserved for recording rules",
    /// A capital letter after a small one.
    CamelCase = "names should be in snake_case, not in camelCase",
    /// An abbreviated unit.
    AbbreviatedUnit = "units should be spelled out in names",
    /// A unit that is not a base unit.
    ForeignUnit = "names should have base units: seconds, bytes, meters, grams, celsius, joules, volts, amperes, ratio",
}

/// A warning: a lint, its position, and the word that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    pub(super) lint: Lint,
    pub(super) offset: usize,
    pub(super) line: usize,
    pub(super) subject: String,
}

/// Cuts a text to 120 characters, as many as an [`Excerpt`] shows of a line, and
/// replaces those that a terminal obeys or hides, newlines included.
pub(in crate::exposition::validate) fn shorten(text: &str) -> Cow<'_, str> {
    let end = text.char_indices().nth(120).map(|(end, _)| end);
    let shown = &text[..end.unwrap_or(text.len())];
    if end.is_none() && !shown.contains(is_unprintable) {
        return shown.into();
    }
    let printable = |c: char| if is_unprintable(c) { '\u{b7}' } else { c };
    let mut printed: String = shown.chars().map(printable).collect();
    if end.is_some() {
        printed.push('…');
    }
    printed.into()
}

impl Warning {
    /// A warning at an offset, and the line that it is on.
    pub(super) fn new(lint: Lint, (offset, line): (usize, usize), subject: &str) -> Self {
        Self {
            lint,
            offset,
            line,
            subject: subject.to_owned(),
        }
    }

    /// Returns the kind of the warning.
    pub fn lint(&self) -> Lint {
        self.lint
    }

    /// Returns the offset in the page, in bytes from 0.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Returns the number of the line, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// Returns the name, label or word that the warning is about.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Returns the subject, cut to what fits a terminal, with a dot for each character
    /// that a terminal obeys or hides.
    ///
    /// ```
    /// use stethoscope::exposition::{Format, validate::lint};
    ///
    /// let page = format!("{} 1\n", "a".repeat(1000));
    /// let (warnings, _) = lint(&page, Format::Text);
    /// assert_eq!(warnings[0].short_subject(), "a".repeat(120) + "…");
    /// ```
    pub fn short_subject(&self) -> Cow<'_, str> {
        shorten(&self.subject)
    }

    /// Returns the warning with its line, ready to be displayed. Pass the line of the
    /// event that caused it, or `None` after the page's end. The line is left out if
    /// the warning is about an earlier one.
    pub fn display_in<'a>(&self, line: impl Into<Option<Line<'a>>>) -> Excerpt {
        match line.into() {
            Some(line) if line.number == self.line => {
                Excerpt::of_line(self.to_string(), line, self.offset)
            }
            _ => {
                let start = Position {
                    line: self.line,
                    column: 1,
                };
                Excerpt::new(self.to_string(), start, b"", 0)
            }
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.lint, self.short_subject())
    }
}
