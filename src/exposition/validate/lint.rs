//! Lints: valid but questionable lines.
//!
//! Lines that the standard allows and a Prometheus server refuses or reads
//! differently, spellings that split a series in two, labels that look unbounded,
//! and names that break Prometheus naming conventions.

use super::series::{FingerprintMap, FingerprintSet, Fingerprinter};
use crate::MetricType;
use crate::exposition::Format;
use crate::exposition::number::{format_bound, format_go, parse_f64};
use crate::exposition::parser::{
    self, Error, Event, Excerpt, Label, Line, Mode, Options, Position, Sample, Timestamp, messages,
};
use crate::metric_type::SampleRole;
use std::borrow::{Borrow, Cow};
use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

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
    lint: Lint,
    offset: usize,
    line: usize,
    subject: String,
}

/// Cuts a text to 120 characters, as many as an [`Excerpt`] shows of a line.
pub(super) fn shorten(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(120) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

impl Warning {
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

    /// Returns the subject, cut to what fits a terminal.
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

/// Returns the warnings of a page up to its end or its first error, and the error.
///
/// ```
/// use stethoscope::exposition::{Format, validate::{Lint, lint}};
///
/// let page = "# HELP jobs Jobs.\n# TYPE jobs counter\njobs 3\n";
/// let (warnings, error) = lint(page, Format::Text);
/// assert_eq!(warnings[0].lint(), Lint::CounterWithoutTotal);
/// assert_eq!(warnings[0].subject(), "jobs");
/// assert_eq!(error, None);
/// ```
pub fn lint<T: AsRef<[u8]> + ?Sized>(
    page: &T,
    options: impl Into<Options>,
) -> (Vec<Warning>, Option<Error>) {
    let options = options.into();
    let mut linter = Linter::new(options);
    let mut warnings = Vec::new();
    let mut parser = parser::parse(page, options);
    while let Some(next) = parser.next_ref() {
        match next {
            Ok((line, event)) => linter.visit(line, &event, |warning| warnings.push(warning)),
            Err(error) => return (warnings, Some(error)),
        }
    }
    linter.end(|warning| warnings.push(warning));
    (warnings, None)
}

/// Checks a page event by event.
///
/// Remembers the names of up to a million families, in sixteen bytes each, and of the
/// current family up to a million series and, in lenient mode, a hundred thousand
/// histograms.
#[derive(Debug)]
pub struct Linter {
    openmetrics: bool,
    lenient: bool,
    fingerprinter: Fingerprinter,
    family: Option<FamilyLints>,
    /// Hashes of names: without case and separators, and as they are.
    names: HashMap<u64, u64>,
}

/// The names that a linter remembers at most.
const MAX_NAMES: usize = 1_000_000;
/// The series of the current family that a linter remembers at most.
const MAX_SERIES: usize = 1_000_000;
/// The histograms of the current family that a linter remembers at most.
const MAX_HISTOGRAMS: usize = 100_000;

#[derive(Debug, Default)]
struct FamilyLints {
    name: String,
    metric_type: MetricType,
    has_help: bool,
    /// The first line of metadata: its offset and its number.
    metadata: Option<(usize, usize)>,
    has_samples: bool,
    has_odd_bound: bool,
    /// The points of series seen.
    series: FingerprintSet,
    /// The points of histograms seen, in lenient mode.
    histograms: FingerprintMap<HistogramLints>,
    /// The last bucket.
    bucket: Option<LastBucket>,
    /// The labels that had values like ids.
    id_labels: Vec<IdLabel>,
}

/// A point of a histogram.
#[derive(Debug)]
struct HistogramLints {
    /// The first sample: its offset and its line.
    first: (usize, usize),
    /// The count of the last bucket.
    last_bucket: Option<f64>,
    count: Option<f64>,
}

/// A label some of whose values look like ids.
#[derive(Debug)]
struct IdLabel {
    name: String,
    /// How many samples had another such value than the sample before.
    changes: usize,
    /// A hash of the last such value.
    last: u64,
}

/// So many values that look like ids make a label look unbounded.
const UNBOUNDED_FROM: usize = 5;

/// A bucket of a histogram.
#[derive(Clone, Copy, Debug)]
struct LastBucket {
    /// A hash of its labels other than `le`, in their order.
    metric: u64,
    bound: f64,
    count: f64,
}

impl LastBucket {
    /// Returns `None` if its bound is not a number.
    fn of(sample: &Sample<'_>) -> Option<Self> {
        let mut metric = DefaultHasher::new();
        for label in sample.labels().filter(|label| label.name != "le") {
            (label.name, label.value).hash(&mut metric);
        }
        Some(Self {
            metric: metric.finish(),
            bound: parse_f64(sample.label("le")?.as_bytes())?,
            count: sample.value(),
        })
    }

    /// Returns true if `next` is a higher bucket of the same metric that counts less.
    fn falls_to(&self, next: &Self) -> bool {
        self.metric == next.metric && self.bound < next.bound && self.count > next.count
    }
}

impl Linter {
    /// Creates a linter for a page's first event.
    pub fn new(options: impl Into<Options>) -> Self {
        let options = options.into();
        Self {
            openmetrics: options.format == Format::OpenMetrics,
            lenient: options.mode == Mode::Lenient,
            fingerprinter: Fingerprinter::new(),
            family: None,
            names: HashMap::new(),
        }
    }

    /// Checks the next event, which stands on `line`, and calls `warn` with each
    /// warning.
    pub fn visit<'a, S: Borrow<Sample<'a>>>(
        &mut self,
        line: Line<'_>,
        event: &Event<'a, S>,
        mut warn: impl FnMut(Warning),
    ) {
        let mut warn_at = |at: usize, lint, subject: &str| {
            warn(Warning {
                lint,
                offset: line.offset + at,
                line: line.number,
                subject: subject.to_owned(),
            });
        };
        match event {
            Event::Help { name, .. } => {
                if let Some(at) = quoted_metadata_name(line.text) {
                    warn_at(at, Lint::QuotedName, name);
                }
                self.metadata(line, name, &mut warn).has_help = true;
            }
            Event::Type { name, metric_type } => {
                if let Some(at) = quoted_metadata_name(line.text) {
                    warn_at(at, Lint::QuotedName, name);
                }
                if let (false, Some(at)) = (self.openmetrics, odd_blank(line.text)) {
                    warn_at(at, Lint::BlanksAroundType, name);
                }
                self.metadata(line, name, &mut warn).metric_type = *metric_type;
            }
            Event::Comment { text } => {
                if let Some(subject) = near_metadata(text) {
                    let hash = line.text.iter().position(|&byte| byte == b'#');
                    warn_at(hash.unwrap_or(0), Lint::MetadataInComment, &subject);
                }
                if let Some(at) = text.iter().position(|&byte| byte == 0) {
                    let hash = line.text.iter().position(|&byte| byte == b'#');
                    warn_at(hash.unwrap_or(0) + 1 + at, Lint::NulInComment, "NUL");
                }
            }
            Event::Sample(sample) => self.sample(line, sample.borrow(), &mut warn),
            Event::Unit { name, .. } => {
                if let Some(at) = quoted_metadata_name(line.text) {
                    warn_at(at, Lint::QuotedName, name);
                }
            }
            Event::Eof => {}
        }
    }

    /// Checks the last family.
    pub fn end(&mut self, mut warn: impl FnMut(Warning)) {
        self.leave(&mut warn);
    }

    /// Returns the family of a HELP or TYPE line.
    fn metadata(
        &mut self,
        line: Line<'_>,
        name: &str,
        warn: &mut impl FnMut(Warning),
    ) -> &mut FamilyLints {
        let family = self.enter(line, name, warn);
        family.metadata.get_or_insert((line.offset, line.number));
        family
    }

    /// Returns the family of this name: the current one or a new one.
    fn enter(
        &mut self,
        line: Line<'_>,
        name: &str,
        warn: &mut impl FnMut(Warning),
    ) -> &mut FamilyLints {
        if self
            .family
            .as_ref()
            .is_none_or(|family| family.name != name)
        {
            self.leave(warn);
            if self.is_similar(name) {
                warn(Warning {
                    lint: Lint::SimilarName,
                    offset: line.offset,
                    line: line.number,
                    subject: name.to_owned(),
                });
            }
        }
        self.family.get_or_insert_with(|| FamilyLints {
            name: name.to_owned(),
            ..FamilyLints::default()
        })
    }

    /// Checks the family that ends.
    fn leave(&mut self, warn: &mut impl FnMut(Warning)) {
        let Some(family) = self.family.take() else {
            return;
        };
        let without_last = (family.histograms.values()).filter(|one| one.last_bucket.is_none());
        if let Some((offset, line)) = without_last.map(|one| one.first).min() {
            warn(Warning {
                lint: Lint::NoInfBucket,
                offset,
                line,
                subject: family.name.clone(),
            });
        }
        if let (Some((offset, line)), false) = (family.metadata, family.has_samples) {
            warn(Warning {
                lint: Lint::NoSamples,
                offset,
                line,
                subject: family.name,
            });
        }
    }

    /// Remembers a name. Returns true if there was one that differs from it only in
    /// case or separators.
    fn is_similar(&mut self, name: &str) -> bool {
        let hash_of = |characters: &mut dyn Iterator<Item = char>| {
            let mut hash = DefaultHasher::new();
            characters.for_each(|character| character.hash(&mut hash));
            hash.finish()
        };
        let mut plain = (name.chars().filter(|c| c.is_alphanumeric())).flat_map(char::to_lowercase);
        let plain = hash_of(&mut plain);
        let exact = hash_of(&mut name.chars());
        if self.names.len() >= MAX_NAMES {
            return self.names.get(&plain).is_some_and(|&other| other != exact);
        }
        *self.names.entry(plain).or_insert(exact) != exact
    }

    fn sample(&mut self, line: Line<'_>, sample: &Sample<'_>, warn: &mut impl FnMut(Warning)) {
        let name = sample.name();
        let openmetrics = self.openmetrics;
        let role_in = |family: &FamilyLints| {
            let suffix = name.strip_prefix(&*family.name)?;
            let suffixes = family.metric_type.sample_roles(openmetrics);
            let (_, role) = suffixes.iter().find(|(other, _)| *other == suffix)?;
            Some(*role)
        };
        let role = self.family.as_ref().and_then(role_in);
        let lenient = self.lenient;
        let point = self.fingerprinter.of_point(sample, "");
        let series = point.wrapping_add(self.fingerprinter.of_name(&name));
        let is_histogram_part = matches!(
            role,
            Some(SampleRole::Bucket | SampleRole::Count | SampleRole::Sum)
        );
        let histogram =
            (lenient && is_histogram_part).then(|| self.fingerprinter.of_point(sample, "le"));
        let family = match (role, &mut self.family) {
            (Some(_), Some(family)) => family,
            _ => self.enter(line, &name, warn),
        };
        let role = role.unwrap_or(SampleRole::Value);
        let mut warn = |at: usize, lint, subject: &str| {
            warn(Warning {
                lint,
                offset: line.offset + at,
                line: line.number,
                subject: subject.to_owned(),
            });
        };
        if openmetrics {
            openmetrics_sample(sample, &mut warn);
        } else {
            text_sample(sample, &mut warn);
        }
        labels_punctuation(line.text, openmetrics, |at, lint| warn(at, lint, &name));
        family.bounds(sample, role, openmetrics, &mut warn);
        family.id_values(sample, &mut warn);
        if let Some(histogram) = histogram {
            family.histogram(histogram, role, line, sample, &mut warn);
        }
        if !family.series.insert_up_to(series, MAX_SERIES) {
            warn(sample.offset_of_name(), Lint::DuplicateSeries, &name);
        }
        if !std::mem::replace(&mut family.has_samples, true) {
            family.first_sample(sample, openmetrics, &mut warn);
        }
    }
}

/// Seconds since the epoch, in the year 5138.
const FROM_YEAR_5000: f64 = 1e11;

/// Returns the beginning of a comment that was likely meant as metadata: `#HELP name`,
/// `#TYPE name gauge`, `# type name gauge`. `text` follows the hash.
fn near_metadata(text: &[u8]) -> Option<String> {
    let mut words = text.split(|byte| byte.is_ascii_whitespace());
    let is_blank_missing = text.first().is_some_and(u8::is_ascii_alphabetic);
    let mut next = || words.find(|word| !word.is_empty());
    let (keyword, name) = (next()?, next()?);
    let is_type_word =
        |word: &[u8]| MetricType::from_type_word(&word.to_ascii_lowercase(), false).is_some();
    let is_help = keyword == b"HELP" && is_blank_missing;
    let is_type = keyword.eq_ignore_ascii_case(b"TYPE")
        && next().is_some_and(is_type_word)
        && next().is_none();
    (is_help || is_type).then(|| {
        let blank = if is_blank_missing { "" } else { " " };
        let [keyword, name] = [keyword, name].map(String::from_utf8_lossy);
        format!("#{blank}{keyword} {name}")
    })
}

/// Checks the spelling of a sample in text.
fn text_sample(sample: &Sample<'_>, warn: &mut impl FnMut(usize, Lint, &str)) {
    if sample.offset_of_name() > 0 {
        warn(0, Lint::LeadingBlank, &sample.name());
    }
    if let Some(Timestamp::Millis(1_000_000_000..10_000_000_000)) = sample.timestamp() {
        let at = sample.offset_of_timestamp();
        warn(at, Lint::SecondsTimestamp, &sample.name());
    }
    let timestamp = sample.text_after_value().trim_ascii();
    if timestamp.starts_with(['+', '-']) {
        warn(
            sample.offset_of_timestamp(),
            Lint::SignedTimestamp,
            timestamp,
        );
    }
}

/// Checks the parts of a sample that only OpenMetrics has.
fn openmetrics_sample(sample: &Sample<'_>, warn: &mut impl FnMut(usize, Lint, &str)) {
    let name = sample.name();
    if let Some(Timestamp::Seconds(FROM_YEAR_5000..)) = sample.timestamp() {
        let at = sample.offset_of_timestamp();
        warn(at, Lint::MillisecondsTimestamp, &name);
    }
    let has_suffix = || name.ends_with("_total") || name.ends_with("_bucket");
    if sample.exemplar().is_some() && !has_suffix() {
        warn(
            sample.offset_of_exemplar(),
            Lint::UnsupportedExemplar,
            &name,
        );
    }
}

/// Finds the first quoted name of a sample's line, and in OpenMetrics the first comma
/// before a closing brace.
fn labels_punctuation(line: &[u8], openmetrics: bool, mut warn: impl FnMut(usize, Lint)) {
    let mut quoted_name = None;
    let mut comma = None;
    // The last byte before the current one that is not a blank, and its position.
    let mut last = (0, b' ');
    let mut at = 0;
    while let Some(&byte) = line.get(at) {
        match byte {
            b'"' => {
                if last.1 != b'=' {
                    quoted_name = quoted_name.or(Some(at));
                }
                at += 1;
                while line.get(at).is_some_and(|&byte| byte != b'"') {
                    at += if line[at] == b'\\' { 2 } else { 1 };
                }
            }
            b'}' if openmetrics && last.1 == b',' => comma = comma.or(Some(last.0)),
            _ => {}
        }
        if !matches!(byte, b' ' | b'\t') {
            last = (at, byte);
        }
        at += 1;
    }
    if let Some(at) = quoted_name {
        warn(at, Lint::QuotedName);
    }
    if let Some(at) = comma {
        warn(at, Lint::TrailingComma);
    }
}

/// Returns the position of the name in a HELP, TYPE or UNIT line if it is quoted.
fn quoted_metadata_name(line: &[u8]) -> Option<usize> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let word_from = |at: usize| Some(at + line.get(at..)?.iter().position(|byte| !is_blank(byte))?);
    let hash = word_from(0)?;
    let keyword = word_from(hash + 1)?;
    let keyword_end = keyword + line[keyword..].iter().position(is_blank)?;
    let name = word_from(keyword_end)?;
    (line[name] == b'"').then_some(name)
}

impl FamilyLints {
    /// Checks bounds, quantiles and buckets.
    fn bounds(
        &mut self,
        sample: &Sample<'_>,
        role: SampleRole,
        openmetrics: bool,
        warn: &mut impl FnMut(usize, Lint, &str),
    ) {
        let label = match (role, self.metric_type) {
            (SampleRole::Bucket, _) => "le",
            (SampleRole::Value, MetricType::Summary) => "quantile",
            _ => return,
        };
        // In text, client libraries write 1 (Go, Rust) or 1.0 (Python).
        let is_canonical = |text: &str| {
            parse_f64(text.as_bytes()).is_none_or(|bound| {
                format_bound(bound).as_str() == text
                    || !openmetrics && format_go(bound).as_str() == text
            })
        };
        if let (false, Some(bound)) = (self.has_odd_bound, sample.label(label))
            && !is_canonical(&bound)
        {
            self.has_odd_bound = true;
            let subject = format!("{label}=\"{bound}\" of {}", self.name);
            warn(
                sample.offset_of_label(label),
                Lint::NonCanonicalBound,
                &subject,
            );
        }
        // Strict OpenMetrics refuses it.
        if let (SampleRole::Bucket, Some(bucket)) = (role, LastBucket::of(sample)) {
            let last = self.bucket.replace(bucket);
            if last.is_some_and(|last| last.falls_to(&bucket)) {
                warn(sample.offset_of_value(), Lint::FallingBucket, &self.name);
            }
        }
    }

    /// Checks the last bucket and the count of a histogram, of which this is a sample.
    fn histogram(
        &mut self,
        fingerprint: u64,
        role: SampleRole,
        line: Line<'_>,
        sample: &Sample<'_>,
        warn: &mut impl FnMut(usize, Lint, &str),
    ) {
        let is_histogram = matches!(
            self.metric_type,
            MetricType::Histogram | MetricType::GaugeHistogram
        );
        let is_full = self.histograms.len() >= MAX_HISTOGRAMS;
        if !is_histogram || is_full && !self.histograms.contains_key(&fingerprint) {
            return;
        }
        let one = (self.histograms.entry(fingerprint)).or_insert(HistogramLints {
            first: (line.offset, line.number),
            last_bucket: None,
            count: None,
        });
        let bound = || parse_f64(sample.label("le")?.as_bytes());
        match role {
            SampleRole::Count => one.count = Some(sample.value()),
            SampleRole::Bucket if bound() == Some(f64::INFINITY) => {
                one.last_bucket = Some(sample.value());
            }
            _ => return,
        }
        if let (Some(count), Some(last)) = (one.count, one.last_bucket)
            && count != last
        {
            warn(sample.offset_of_value(), Lint::CountMismatch, &self.name);
        }
    }

    /// Checks for label values that look like ids.
    fn id_values(&mut self, sample: &Sample<'_>, warn: &mut impl FnMut(usize, Lint, &str)) {
        let is_bound = |label: &Label<'_>| matches!(&*label.name, "le" | "quantile");
        let labels = sample.labels().filter(|label| !is_bound(label));
        for label in labels.filter(|label| looks_like_id(&label.value)) {
            let mut hash = DefaultHasher::new();
            label.value.hash(&mut hash);
            let hash = hash.finish();
            let known = (self.id_labels.iter_mut()).find(|known| known.name == label.name);
            let known = match known {
                Some(known) if known.last == hash => continue,
                Some(known) => known,
                None => {
                    self.id_labels.push(IdLabel {
                        name: label.name.to_string(),
                        changes: 0,
                        last: 0,
                    });
                    self.id_labels.last_mut().expect("just pushed")
                }
            };
            known.last = hash;
            known.changes += 1;
            if known.changes == UNBOUNDED_FROM {
                let subject = format!("{} of {}", label.name, self.name);
                warn(
                    sample.offset_of_label(&label.name),
                    Lint::UnboundedLabel,
                    &subject,
                );
            }
        }
    }

    /// Checks the names of a family and of its first sample's labels.
    fn first_sample(
        &self,
        sample: &Sample<'_>,
        openmetrics: bool,
        warn: &mut impl FnMut(usize, Lint, &str),
    ) {
        let at = sample.offset_of_name();
        if !self.has_help {
            warn(at, Lint::NoHelp, &self.name);
        }
        self.suffixes(openmetrics, |lint| warn(at, lint, &self.name));
        self.words(|lint, word| warn(at, lint, &format!("\"{word}\" in {}", self.name)));
        for label in sample.labels() {
            if let Some(lint) = lint_label(self.metric_type, &label) {
                let subject = format!("{} of {}", label.name, self.name);
                warn(sample.offset_of_label(&label.name), lint, &subject);
            }
        }
    }

    /// Checks the suffix and the spelling of the name as a whole.
    fn suffixes(&self, openmetrics: bool, mut warn: impl FnMut(Lint)) {
        let ends = |suffix| self.name.ends_with(suffix);
        let is_counter = self.metric_type == MetricType::Counter;
        if is_counter && !openmetrics && !ends("_total") {
            warn(Lint::CounterWithoutTotal);
        }
        // Nothing is known of a family without a type.
        if self.metric_type != MetricType::Unknown {
            if !is_counter && ends("_total") {
                warn(Lint::TotalWithoutCounter);
            }
            if ends("_bucket") {
                warn(Lint::BucketWithoutHistogram);
            }
            if ends("_count") || ends("_sum") {
                warn(Lint::SumWithoutHistogram);
            }
        }
        if self.name.contains(':') {
            warn(Lint::ColonInName);
        }
        if is_camel_case(&self.name) {
            warn(Lint::CamelCase);
        }
    }

    /// Checks the words of the name. Each lint is reported for one word only.
    fn words(&self, mut warn: impl FnMut(Lint, &str)) {
        let words = || self.name.split('_');
        let own_type = self.metric_type.type_word(true);
        if let Some(word) = words().skip(1).find(|word| *word == own_type) {
            warn(Lint::TypeInName, word);
        }
        let is_abbreviation = |word: &&str| ABBREVIATIONS.contains(word);
        if let Some(word) = words().skip(1).find(is_abbreviation) {
            warn(Lint::AbbreviatedUnit, word);
        }
        if let Some(word) = words().find(|word| is_foreign_unit(word)) {
            warn(Lint::ForeignUnit, word);
        }
    }
}

/// Returns the position of a blank in a TYPE line that the Prometheus server
/// refuses.
fn odd_blank(line: &[u8]) -> Option<usize> {
    let line = line.split(|&byte| byte == b'\n').next()?;
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let word_end = line.iter().rposition(|byte| !is_blank(byte))? + 1;
    let blank = line[..word_end].iter().rposition(is_blank)?;
    match line.get(blank.checked_sub(1)?) {
        Some(byte) if is_blank(byte) => Some(blank),
        _ => (word_end < line.len()).then_some(word_end),
    }
}

fn lint_label(metric_type: MetricType, label: &Label<'_>) -> Option<Lint> {
    let is_histogram = matches!(
        metric_type,
        MetricType::Histogram | MetricType::GaugeHistogram
    );
    let is_typed = metric_type != MetricType::Unknown;
    match &*label.name {
        "le" if is_typed && !is_histogram => Some(Lint::BoundWithoutHistogram),
        "quantile" if is_typed && metric_type != MetricType::Summary => {
            Some(Lint::QuantileWithoutSummary)
        }
        name if is_camel_case(name) => Some(Lint::CamelCase),
        _ => None,
    }
}

fn is_camel_case(name: &str) -> bool {
    let mut pairs = name.as_bytes().windows(2);
    pairs.any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase())
}

/// Returns true for values that are rarely the same twice: long hexadecimal numbers
/// (UUIDs, hashes, container ids), long decimal numbers (ids, epoch times), and
/// dates with a time.
fn looks_like_id(value: &str) -> bool {
    // A float may have many digits.
    if value.contains(['.', 'e']) && parse_f64(value.as_bytes()).is_some() {
        return false;
    }
    let is_hex = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
    let digits = |text: &[u8]| text.iter().filter(|byte| byte.is_ascii_digit()).count();
    let hex_runs = value.as_bytes().split(|&byte| !is_hex(byte));
    let is_long_hex = |run: &[u8]| {
        let hex = run.iter().filter(|&&byte| byte != b'-').count();
        hex >= 16 && digits(run) * 4 >= hex
    };
    if hex_runs.clone().any(is_long_hex) {
        return true;
    }
    let is_decimal = value.len() >= 9 && digits(value.as_bytes()) == value.len();
    let is_date_time = matches!(
        value.as_bytes(),
        [
            _,
            _,
            _,
            _,
            b'-',
            _,
            _,
            b'-',
            _,
            _,
            b'T' | b' ',
            _,
            _,
            b':',
            ..
        ]
    );
    is_decimal || is_date_time
}

/// Abbreviated units. `min` is not among them: it usually means a minimum.
const ABBREVIATIONS: [&str; 14] = [
    "s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d",
];

/// Returns true if a word is a unit that should be converted to a base unit.
fn is_foreign_unit(word: &str) -> bool {
    const PREFIXES: [&str; 17] = [
        "yotta", "zetta", "exa", "peta", "tera", "giga", "mega", "kilo", "milli", "micro", "nano",
        "pico", "kibi", "mebi", "gibi", "tebi", "pebi",
    ];
    const BASE: [&str; 9] = [
        "seconds", "bytes", "meters", "grams", "celsius", "joules", "volts", "amperes", "kelvin",
    ];
    const OTHER: [&str; 13] = [
        "minutes",
        "hours",
        "days",
        "weeks",
        "bits",
        "inches",
        "yards",
        "miles",
        "pounds",
        "ounces",
        "fahrenheit",
        "kelvins",
        "percent",
    ];
    let is_scaled = |base: &str| {
        let prefix = word.strip_suffix(base);
        prefix.is_some_and(|prefix| PREFIXES.contains(&prefix))
    };
    OTHER.contains(&word) || BASE.into_iter().any(is_scaled) || is_scaled("bits")
}
