//! Lints: valid but questionable lines.
//!
//! Lines that the standard allows and a Prometheus server refuses or reads
//! differently, spellings that split a series in two, labels that look unbounded,
//! and names that break Prometheus naming conventions.

mod lines;
mod names;
mod warning;

pub(super) use warning::shorten;
pub use warning::{Lint, Warning};

use super::series::{FingerprintMap, FingerprintSet, Fingerprinter};
use crate::MetricType;
use crate::exposition::Format;
use crate::exposition::number::{format_bound, format_go, parse_f64};
use crate::exposition::parser::{self, Error, Event, Label, Line, Mode, Options, Sample};
use crate::metric_type::SampleRole;
use lines::{
    labels_punctuation, near_metadata, odd_blank, openmetrics_sample, quoted_metadata_name,
    text_sample,
};
use names::{lint_label, suffixes, words};
use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

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
    /// A sample is a whole metric: OpenMetrics 2.0.
    composite: bool,
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
    /// The samples that had another such value than the sample before.
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
            openmetrics: options.format.is_openmetrics(),
            composite: options.format == Format::OpenMetrics2,
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
        let mut warn_at = |at, lint, subject: &str| {
            warn(Warning::new(lint, (line.offset + at, line.number), subject));
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
                warn(Warning::new(
                    Lint::SimilarName,
                    (line.offset, line.number),
                    name,
                ));
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
        if let Some(place) = without_last.map(|one| one.first).min() {
            warn(Warning::new(Lint::NoInfBucket, place, &family.name));
        }
        if let (Some(place), false) = (family.metadata, family.has_samples) {
            warn(Warning::new(Lint::NoSamples, place, &family.name));
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
        let (openmetrics, composite) = (self.openmetrics, self.composite);
        let role_in = |family: &FamilyLints| {
            let suffix = name.strip_prefix(&*family.name)?;
            if composite {
                return suffix.is_empty().then_some(SampleRole::Value);
            }
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
        let mut warn = |at, lint, subject: &str| {
            warn(Warning::new(lint, (line.offset + at, line.number), subject));
        };
        if openmetrics {
            openmetrics_sample(sample, composite, &mut warn);
        } else {
            text_sample(sample, &mut warn);
        }
        // Its standard has quoted names, and strict readers refuse a comma at the end.
        if !composite {
            labels_punctuation(line.text, openmetrics, |at, lint| warn(at, lint, &name));
        }
        family.bounds(sample, role, openmetrics, &mut warn);
        family.id_values(sample, &mut warn);
        if let Some(histogram) = histogram {
            family.histogram(histogram, role, line, sample, &mut warn);
        }
        if !family.series.insert_up_to(series, MAX_SERIES) {
            warn(sample.offset_of_name(), Lint::DuplicateSeries, &name);
        }
        if !std::mem::replace(&mut family.has_samples, true) {
            // In OpenMetrics 1.0 the name of a family has no suffix.
            let is_bare = openmetrics && !composite;
            family.first_sample(sample, is_bare, &mut warn);
        }
    }
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
        is_bare: bool,
        warn: &mut impl FnMut(usize, Lint, &str),
    ) {
        let at = sample.offset_of_name();
        if !self.has_help {
            warn(at, Lint::NoHelp, &self.name);
        }
        let (name, metric_type) = (&*self.name, self.metric_type);
        suffixes(name, metric_type, is_bare, |lint| warn(at, lint, name));
        words(name, metric_type, |lint, word| {
            warn(at, lint, &format!("\"{word}\" in {name}"));
        });
        for label in sample.labels() {
            if let Some(lint) = lint_label(self.metric_type, &label) {
                let subject = format!("{} of {}", label.name, self.name);
                warn(sample.offset_of_label(&label.name), lint, &subject);
            }
        }
    }
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
