//! What is accepted and yet worth a word: lines that the standard allows and the
//! Prometheus server refuses, spellings that make two series of one, and names
//! that nobody will thank their author for.

use crate::MetricType;
use crate::exposition::Format;
use crate::exposition::number::{parse_f64, print_bound};
use crate::exposition::parser::{self, Error, Event, Excerpt, Label, Options, Sample, kinds};
use crate::metric_type::SampleRole;
use std::borrow::Borrow;
use std::hash::{DefaultHasher, Hash, Hasher};

kinds! {
    /// What is worth a word.
    Lint:

    // The Prometheus server and the page.
    /// A timestamp with a sign, in text.
    SignedTimestamp = "the Prometheus server refuses a page with a signed timestamp in text",
    /// More than one blank before the word of a TYPE line, or any behind it.
    BlanksAroundType = "the Prometheus server refuses a page with more than one blank before a type, or any behind it",
    /// A NUL in a comment.
    NulInComment = "the Prometheus server drops what follows a NUL in a comment, without a word",
    /// An `le` or a `quantile` that is not the canonical spelling of its number.
    NonCanonicalBound = "another spelling of this number makes another series: write it as 1.0, 0.5, 1e+06 or +Inf",

    /// A bucket that counts less than the one before it, in text.
    FallingBucket = "a bucket counts all that is at most its bound, and so can't count less than the one above it",

    // Names, as promtool has it.
    /// A family without HELP.
    NoHelp = "this family has no help text",
    /// A counter without `_total`, in text.
    CounterWithoutTotal = "the name of a counter should end in _total",
    /// `_total` on what is no counter.
    TotalWithoutCounter = "only the name of a counter should end in _total",
    /// `_bucket` on what is no histogram.
    BucketWithoutHistogram = "only the name of a histogram's sample should end in _bucket",
    /// `_count` or `_sum` on what is neither histogram nor summary.
    SumWithoutHistogram = "only the name of a histogram's or summary's sample should end in _count or _sum",
    /// A label `le` on what is no histogram.
    BoundWithoutHistogram = "only a histogram's buckets should have a label le",
    /// A label `quantile` on what is no summary.
    QuantileWithoutSummary = "only a summary should have a label quantile",
    /// A type as a word of a name.
    TypeInName = "the name of a family should not say its type",
    /// A colon in a name.
    ColonInName = "colons are for the names that recording rules make",
    /// A capital letter behind a small one.
    CamelCase = "names should be in snake_case, not in camelCase",
    /// A unit cut short.
    AbbreviatedUnit = "units should be spelled out in names",
    /// A unit that is not the base unit of its kind.
    ForeignUnit = "names should have base units: seconds, bytes, meters, grams, celsius, joules, volts, amperes, ratio",
}

/// A lint and the byte of the page that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warning {
    lint: Lint,
    offset: usize,
}

impl Warning {
    /// What is worth a word.
    pub fn lint(&self) -> Lint {
        self.lint
    }

    /// The byte of the page, from 0, that it is about.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The warning together with its line, ready to be displayed: `text` is the
    /// line, which is number `line` from 1 and begins at the page's byte
    /// `offset`.
    pub fn show(&self, line: parser::Line<'_>) -> Excerpt {
        Excerpt::of_line(self.lint.message(), line, self.offset)
    }
}

/// The warnings of a page, up to its end or to its first error.
///
/// ```
/// use stethoscope::exposition::{Format, validate::{Lint, lint}};
///
/// let page = "# HELP jobs Jobs.\n# TYPE jobs counter\njobs 3\n";
/// let (warnings, error) = lint(page, Format::Text);
/// assert_eq!(warnings[0].lint(), Lint::CounterWithoutTotal);
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
    while let Some(lent) = parser.lend() {
        match lent {
            Ok((offset, event)) => {
                let line = &page.as_ref()[offset..];
                let warn = |warning| warnings.push(warning);
                linter.see(offset, line, &event, warn);
            }
            Err(error) => return (warnings, Some(error)),
        }
    }
    (warnings, None)
}

/// Looks at a page event by event, as a reader comes by them.
#[derive(Debug)]
pub struct Linter {
    openmetrics: bool,
    family: Option<Family>,
}

#[derive(Debug, Default)]
struct Family {
    name: String,
    kind: MetricType,
    has_help: bool,
    /// Whether its first sample was looked at, which tells what all are like.
    looked_at: bool,
    /// The bucket seen last.
    bucket: Option<Bucket>,
}

/// A bucket of a histogram.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// A hash of its labels other than `le`, in their order.
    metric: u64,
    bound: f64,
    count: f64,
}

impl Bucket {
    /// `None` if its bound is no number.
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

    /// Whether `next` is of the same metric, higher, and yet counts less.
    fn falls_to(&self, next: &Self) -> bool {
        self.metric == next.metric && self.bound < next.bound && self.count > next.count
    }
}

impl Linter {
    /// A linter before the first event.
    pub fn new(options: impl Into<Options>) -> Self {
        Self {
            openmetrics: options.into().format == Format::OpenMetrics,
            family: None,
        }
    }

    /// Takes the event whose line begins at the page's byte `offset`, with
    /// `line`, and calls `warn` with each warning.
    pub fn see<'a, S: Borrow<Sample<'a>>>(
        &mut self,
        offset: usize,
        line: &[u8],
        event: &Event<'a, S>,
        mut warn: impl FnMut(Warning),
    ) {
        let mut warn_at = |at: usize, lint| {
            warn(Warning {
                lint,
                offset: offset + at,
            });
        };
        match event {
            Event::Help { name, .. } => self.enter(name).has_help = true,
            Event::Type {
                name,
                metric_type: kind,
            } => {
                self.enter(name).kind = *kind;
                if let (false, Some(at)) = (self.openmetrics, odd_blank(line)) {
                    warn_at(at, Lint::BlanksAroundType);
                }
            }
            Event::Comment { text } => {
                if let Some(at) = text.iter().position(|&byte| byte == 0) {
                    let hash = line.iter().position(|&byte| byte == b'#');
                    warn_at(hash.unwrap_or(0) + 1 + at, Lint::NulInComment);
                }
            }
            Event::Sample(sample) => self.sample(sample.borrow(), warn_at),
            Event::Unit { .. } | Event::Eof => {}
        }
    }

    /// The family of this name: the current one or a new one.
    fn enter(&mut self, name: &str) -> &mut Family {
        let current = self.family.take();
        self.family.insert(match current {
            Some(family) if family.name == name => family,
            _ => Family {
                name: name.to_owned(),
                ..Family::default()
            },
        })
    }

    fn sample(&mut self, sample: &Sample<'_>, mut warn: impl FnMut(usize, Lint)) {
        let name = sample.name();
        let openmetrics = self.openmetrics;
        let role = |family: &Family| {
            let suffix = name.strip_prefix(&*family.name)?;
            let suffixes = family.kind.sample_roles(openmetrics);
            let (_, role) = suffixes.iter().find(|(other, _)| *other == suffix)?;
            Some(*role)
        };
        let (family, role) = match self.family.as_ref().and_then(role) {
            Some(role) => (self.family.as_mut().expect("it has a role"), role),
            None => (self.enter(&name), SampleRole::Value),
        };
        let signed = sample.text_behind_value().trim_ascii_start();
        if !openmetrics && signed.starts_with(['+', '-']) {
            warn(sample.offset_of_timestamp(), Lint::SignedTimestamp);
        }
        let bound = match (role, family.kind) {
            (SampleRole::Bucket, _) => "le",
            (SampleRole::Value, MetricType::Summary) => "quantile",
            _ => "",
        };
        if !bound.is_empty() {
            let canonical = |text: &str| {
                parse_f64(text.as_bytes()).is_none_or(|bound| print_bound(bound).as_str() == text)
            };
            if sample.label(bound).is_some_and(|text| !canonical(&text)) {
                warn(sample.offset_of_label(bound), Lint::NonCanonicalBound);
            }
        }
        // Strict OpenMetrics forbids it.
        if let (SampleRole::Bucket, Some(bucket)) = (role, Bucket::of(sample)) {
            let last = family.bucket.replace(bucket);
            if last.is_some_and(|last| last.falls_to(&bucket)) {
                warn(sample.offset_of_value(), Lint::FallingBucket);
            }
        }
        let first = !std::mem::replace(&mut family.looked_at, true);
        if first {
            let at = sample.offset_of_name();
            if !family.has_help {
                warn(at, Lint::NoHelp);
            }
            lint_name(family, openmetrics, |lint| warn(at, lint));
            for label in sample.labels() {
                if let Some(lint) = lint_label(family.kind, &label) {
                    warn(sample.offset_of_label(&label.name), lint);
                }
            }
        }
    }
}

/// Where a TYPE line of text has a blank that the server stumbles over.
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

fn lint_name(family: &Family, openmetrics: bool, mut warn: impl FnMut(Lint)) {
    let Family { name, kind, .. } = family;
    let ends = |suffix| name.ends_with(suffix);
    let counter = *kind == MetricType::Counter;
    if counter && !openmetrics && !ends("_total") {
        warn(Lint::CounterWithoutTotal);
    }
    // Nothing is known of a family without a type.
    if *kind != MetricType::Unknown {
        if !counter && ends("_total") {
            warn(Lint::TotalWithoutCounter);
        }
        if ends("_bucket") {
            warn(Lint::BucketWithoutHistogram);
        }
        if ends("_count") || ends("_sum") {
            warn(Lint::SumWithoutHistogram);
        }
    }
    if name.contains(':') {
        warn(Lint::ColonInName);
    }
    if is_camel_case(name) {
        warn(Lint::CamelCase);
    }
    let words = || name.split('_').skip(1);
    if words().any(|word| TYPES.contains(&word)) {
        warn(Lint::TypeInName);
    }
    if words().any(|word| ABBREVIATIONS.contains(&word)) {
        warn(Lint::AbbreviatedUnit);
    }
    if name.split('_').any(is_foreign_unit) {
        warn(Lint::ForeignUnit);
    }
}

fn lint_label(kind: MetricType, label: &Label<'_>) -> Option<Lint> {
    let histogram = matches!(kind, MetricType::Histogram | MetricType::GaugeHistogram);
    let typed = kind != MetricType::Unknown;
    match &*label.name {
        "le" if typed && !histogram => Some(Lint::BoundWithoutHistogram),
        "quantile" if typed && kind != MetricType::Summary => Some(Lint::QuantileWithoutSummary),
        name if is_camel_case(name) => Some(Lint::CamelCase),
        _ => None,
    }
}

fn is_camel_case(name: &str) -> bool {
    let mut pairs = name.as_bytes().windows(2);
    pairs.any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase())
}

const TYPES: [&str; 4] = ["counter", "gauge", "histogram", "summary"];

const ABBREVIATIONS: [&str; 15] = [
    "s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d", "min",
];

/// Whether a word is a unit that has a base unit, which it is not.
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
    let scaled = |base: &str| {
        let prefix = word.strip_suffix(base);
        prefix.is_some_and(|prefix| PREFIXES.contains(&prefix))
    };
    OTHER.contains(&word) || BASE.into_iter().any(scaled) || scaled("bits")
}
