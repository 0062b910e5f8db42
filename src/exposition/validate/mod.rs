//! What the grammar can't say: whether the lines of a page make sense together.
//!
//! ```text
//! events ──> Validator ── family: its metadata first and once, its lines together
//!                │            ├── names: no two families claim one
//!                │            └── series: none twice, a metric's samples together
//!                └── point: the buckets, count and sum of a histogram; quantiles
//! ```
//!
//! A lenient reader asks none of this and pays nothing for it. A strict one
//! keeps eight bytes for each series of the family it is in, some thirty for
//! each family, and for histograms and summaries in text, whose metrics may be
//! mixed, some sixty for each metric.
#![doc = ""]
#![doc = include_str!("../CONFORMANCE.md")]

mod lint;
mod points;
mod series;

pub use lint::{Lint, Linter, Warning, lint};

use super::Format;
use super::parser::{self, Error, ErrorKind, Event, Mode, Options, Sample, Timestamp};
use crate::MetricType;
use crate::metric_type::SampleRole;
use points::Point;
use series::{ByFingerprint, Fingerprinter, Fingerprints};
use std::borrow::Borrow;

/// Reads a page and validates it: the grammar and, in strict mode, what the
/// lines must be together.
///
/// ```
/// use stethoscope::exposition::{Format, parser::ErrorKind, validate::validate};
///
/// let page = "# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_count 2\nh_sum 1\n";
/// let error = validate(page, Format::Text).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::NoInfBucket);
/// assert_eq!(error.place(page).line, 4);
/// ```
pub fn validate<T: AsRef<[u8]> + ?Sized>(
    page: &T,
    options: impl Into<Options>,
) -> Result<(), Error> {
    let options = options.into();
    let mut parser = parser::parse(page, options);
    let mut validator = Validator::new(options);
    while let Some(lent) = parser.lend() {
        let (offset, event) = lent?;
        validator.see(offset, &event)?;
    }
    validator.end()
}

/// What a format asks of a page.
#[derive(Clone, Copy, Debug)]
struct Rules {
    openmetrics: bool,
}

/// Validates a page event by event, as a reader comes by them. Of a lenient
/// reader's it takes everything.
pub struct Validator {
    rules: Rules,
    lenient: bool,
    fingerprinter: Fingerprinter,
    /// Which family has which name, suffixes and all.
    names: ByFingerprint<Claim>,
    family: Family,
    /// Of the family's series, or of its metrics that are closed.
    series: Fingerprints,
    /// Of a histogram or a summary in text, the metrics that are not current.
    points: ByFingerprint<Point>,
    metric: Option<Metric>,
    /// Where the last sample began.
    last_sample: usize,
}

/// A name's family, by number.
#[derive(Clone, Copy)]
struct Claim {
    family: usize,
    /// Whether the name is the family's own, without a suffix.
    own: bool,
}

/// The family that the last lines were of.
#[derive(Default)]
struct Family {
    /// Its number on the page, from 1; 0 before the first.
    number: usize,
    name: String,
    kind: MetricType,
    has_help: bool,
    has_type: bool,
    has_unit: bool,
    /// Whether it has a unit that is not empty.
    measured: bool,
    /// The roles of the samples seen, one bit each.
    roles: u8,
}

/// The metric that the last sample was of.
struct Metric {
    labels: u64,
    timestamp: Option<f64>,
    point: Point,
}

type Verdict = Result<(), Error>;

impl Validator {
    /// A validator before the first event.
    pub fn new(options: impl Into<Options>) -> Self {
        let options = options.into();
        Self {
            rules: Rules {
                openmetrics: options.format == Format::OpenMetrics,
            },
            lenient: options.mode == Mode::Lenient,
            fingerprinter: Fingerprinter::new(),
            names: ByFingerprint::default(),
            family: Family::default(),
            series: Fingerprints::default(),
            points: ByFingerprint::default(),
            metric: None,
            last_sample: 0,
        }
    }

    /// Takes the event whose line begins at the page's byte `offset`.
    #[inline]
    pub fn see<'a, S: Borrow<Sample<'a>>>(
        &mut self,
        offset: usize,
        event: &Event<'a, S>,
    ) -> Verdict {
        if self.lenient {
            return Ok(());
        }
        match event {
            Event::Sample(sample) => self.sample(offset, sample.borrow()),
            Event::Help { name, .. } => self.metadata(offset, name, |family| &mut family.has_help),
            Event::Type {
                name,
                metric_type: kind,
            } => {
                self.metadata(offset, name, |family| &mut family.has_type)?;
                self.family.kind = *kind;
                self.claim_suffixes(offset)?;
                self.check_unit(offset)
            }
            Event::Unit { name, unit } => {
                self.metadata(offset, name, |family| &mut family.has_unit)?;
                self.family.measured = !unit.is_empty();
                self.check_unit(offset)
            }
            Event::Comment { .. } => Ok(()),
            Event::Eof => self.end(),
        }
    }

    /// Sees whether what the page ended with is complete.
    pub fn end(&mut self) -> Verdict {
        if self.lenient {
            return Ok(());
        }
        self.end_family()
    }

    // ------------------------------------------------------------ families

    fn metadata(
        &mut self,
        offset: usize,
        name: &str,
        has: impl FnOnce(&mut Family) -> &mut bool,
    ) -> Verdict {
        if self.family.number == 0 || self.family.name != name {
            self.begin_family(offset, name, false)?;
        }
        if self.family.roles != 0 {
            return fail(ErrorKind::LateMetadata, offset);
        }
        if std::mem::replace(has(&mut self.family), true) {
            return fail(ErrorKind::RepeatedMetadata, offset);
        }
        Ok(())
    }

    fn check_unit(&self, offset: usize) -> Verdict {
        let unmeasured = matches!(self.family.kind, MetricType::Info | MetricType::StateSet);
        if self.family.measured && unmeasured {
            return fail(ErrorKind::UnitNotAllowed, offset);
        }
        Ok(())
    }

    #[cold]
    fn begin_family(&mut self, offset: usize, name: &str, by_sample: bool) -> Verdict {
        self.end_family()?;
        let before = self.family.number;
        let own = Claim {
            family: before + 1,
            own: true,
        };
        let name_print = self.fingerprinter.of_name(name);
        if let Some(claim) = self.names.insert(name_print, own) {
            return fail(
                match claim {
                    Claim { family, .. } if by_sample && family == before => {
                        ErrorKind::UnexpectedSample
                    }
                    Claim { own: false, .. } if !by_sample => ErrorKind::NameClash,
                    _ => ErrorKind::InterleavedFamily,
                },
                offset,
            );
        }
        let mut reused = std::mem::take(&mut self.family.name);
        reused.clear();
        reused.push_str(name);
        self.family = Family {
            number: own.family,
            name: reused,
            ..Family::default()
        };
        self.series.clear();
        Ok(())
    }

    /// Claims the names of the samples that the family may have. In OpenMetrics
    /// they are its own; in text another family may have come first, and only
    /// a sample makes that wrong.
    fn claim_suffixes(&mut self, offset: usize) -> Verdict {
        let Family { number, kind, .. } = self.family;
        let claim = Claim {
            family: number,
            own: false,
        };
        for (suffix, _) in kind.sample_roles(self.rules.openmetrics) {
            let name_print = self.suffixed(suffix);
            let owner = self.names.entry(name_print).or_insert(claim).family;
            if owner != number && self.rules.openmetrics {
                return fail(ErrorKind::NameClash, offset);
            }
        }
        Ok(())
    }

    /// The fingerprint of the family's name with a suffix.
    fn suffixed(&mut self, suffix: &str) -> u64 {
        let len = self.family.name.len();
        self.family.name.push_str(suffix);
        let name_print = self.fingerprinter.of_name(&self.family.name);
        self.family.name.truncate(len);
        name_print
    }

    fn end_family(&mut self) -> Verdict {
        let kind = self.family.kind;
        let current = self.metric.take().map(|metric| metric.point);
        let others = self.points.drain().map(|(_, point)| point);
        for point in current.into_iter().chain(others) {
            if let Err(kind) = point.end(self.rules, kind) {
                return fail(kind, self.last_sample);
            }
        }
        Ok(())
    }

    // ------------------------------------------------------------- samples

    #[inline]
    fn sample(&mut self, offset: usize, sample: &Sample<'_>) -> Verdict {
        let name = sample.name();
        let role = match self.role(&name) {
            Some(role) => role,
            None => {
                self.begin_family(offset, &name, true)?;
                SampleRole::Value
            }
        };
        if self.family.roles & role.bit() == 0 {
            self.first_of_role(offset, &name, role)?;
        }
        let verdict = if self.rules.openmetrics {
            self.openmetrics_sample(role, sample)
        } else {
            self.text_sample(role, sample)
        };
        if let Err(kind) = verdict {
            return self.refuse(offset, kind, sample);
        }
        self.last_sample = offset;
        Ok(())
    }

    /// What is wrong with a sample, or with the metric that it ended.
    #[cold]
    fn refuse(&self, offset: usize, kind: ErrorKind, sample: &Sample<'_>) -> Verdict {
        let ended = matches!(
            kind,
            ErrorKind::NoInfBucket
                | ErrorKind::CountMismatch
                | ErrorKind::SumWithoutCount
                | ErrorKind::BadSum
        );
        match ended {
            true => fail(kind, self.last_sample),
            false => fail(kind, offset + place_of(kind, sample)),
        }
    }

    /// The part that a sample of this name has in the current family.
    #[inline]
    fn role(&self, name: &str) -> Option<SampleRole> {
        let Family { number, kind, .. } = self.family;
        let (own, suffix) = name.as_bytes().split_at_checked(self.family.name.len())?;
        if number == 0 || !are_equal(own, self.family.name.as_bytes()) {
            return None;
        }
        let suffixes = kind.sample_roles(self.rules.openmetrics);
        let found = |other: &str| are_equal(other.as_bytes(), suffix);
        suffixes
            .iter()
            .find(|(other, _)| found(other))
            .map(|(_, role)| *role)
    }

    #[cold]
    fn first_of_role(&mut self, offset: usize, name: &str, role: SampleRole) -> Verdict {
        self.family.roles |= role.bit();
        let name_print = self.fingerprinter.of_name(name);
        match self.names.get(&name_print) {
            Some(claim) if claim.family != self.family.number => fail(ErrorKind::NameClash, offset),
            _ => Ok(()),
        }
    }

    fn is_compound(&self) -> bool {
        let kind = self.family.kind;
        matches!(
            kind,
            MetricType::Histogram | MetricType::GaugeHistogram | MetricType::Summary
        )
    }

    /// The label that tells the samples of one metric apart.
    fn inner_label(&self, role: SampleRole) -> &'static str {
        match (role, self.family.kind) {
            (SampleRole::Bucket, _) => "le",
            (SampleRole::Value, MetricType::Summary) => "quantile",
            _ => "",
        }
    }

    #[inline]
    fn text_sample(&mut self, role: SampleRole, sample: &Sample<'_>) -> Result<(), ErrorKind> {
        if matches!(role, SampleRole::Bucket | SampleRole::Count) && sample.value() < 0.0 {
            return Err(ErrorKind::BadCounterValue);
        }
        let inner = self.inner_label(role);
        let labels = self.fingerprinter.of_labels(sample, inner);
        if !self.is_compound() {
            return match self.series.insert(labels) {
                true => Ok(()),
                false => Err(ErrorKind::DuplicateSeries),
            };
        }
        // The metrics of a family may be mixed: those that are not current wait.
        let metric = match &mut self.metric {
            Some(metric) if metric.labels == labels => metric,
            current => {
                if let Some(metric) = current.take() {
                    self.points.insert(metric.labels, metric.point);
                }
                current.insert(Metric {
                    labels,
                    timestamp: None,
                    point: self.points.remove(&labels).unwrap_or(Point::NEW),
                })
            }
        };
        metric.point.see(self.rules, self.family.kind, role, sample)
    }

    #[inline]
    fn openmetrics_sample(
        &mut self,
        role: SampleRole,
        sample: &Sample<'_>,
    ) -> Result<(), ErrorKind> {
        let kind = self.family.kind;
        check_value(kind, role, sample.value())?;
        check_exemplar(kind, role, sample)?;
        let states = kind == MetricType::StateSet;
        if states && sample.label(&self.family.name).is_none() {
            return Err(ErrorKind::NoStateLabel);
        }
        let inner = match states {
            true => &self.family.name,
            false => self.inner_label(role),
        };
        let labels = self.fingerprinter.of_labels(sample, inner);
        let timestamp = match sample.timestamp() {
            Some(Timestamp::Seconds(seconds)) => Some(seconds),
            _ => None,
        };
        self.enter_metric(labels, timestamp)?;
        let compound = self.is_compound();
        let metric = self.metric.as_mut().expect("entered above");
        if compound {
            return metric.point.see(self.rules, kind, role, sample);
        }
        // Points of a series may follow each other if they have timestamps, and
        // those may be too coarse to tell them apart.
        let repeated = match states {
            true => {
                let series = self.fingerprinter.of_labels(sample, "");
                !self.series.insert(series)
            }
            false => metric.point.repeats(role),
        };
        if repeated && timestamp.is_none() {
            return Err(ErrorKind::DuplicateSeries);
        }
        Ok(())
    }

    /// Makes the metric of these labels the current one, at this time.
    #[inline]
    fn enter_metric(&mut self, labels: u64, timestamp: Option<f64>) -> Result<(), ErrorKind> {
        let kind = self.family.kind;
        match &mut self.metric {
            Some(metric) if metric.labels == labels => {
                match (metric.timestamp, timestamp) {
                    (None, None) => {}
                    (Some(before), Some(now)) if now < before => {
                        return Err(ErrorKind::TimestampBackwards);
                    }
                    (Some(before), Some(now)) if now == before => {}
                    (Some(_), Some(_)) => {
                        metric.point.end(self.rules, kind)?;
                        metric.point = Point::NEW;
                    }
                    _ => return Err(ErrorKind::MixedTimestamps),
                }
                metric.timestamp = timestamp;
                return Ok(());
            }
            Some(metric) => metric.point.end(self.rules, kind)?,
            None => {}
        }
        self.metric = Some(Metric {
            labels,
            timestamp,
            point: Point::NEW,
        });
        if !self.series.insert(labels) {
            return Err(match kind {
                MetricType::Gauge | MetricType::Info | MetricType::Unknown => {
                    ErrorKind::DuplicateSeries
                }
                _ => ErrorKind::InterleavedMetric,
            });
        }
        Ok(())
    }
}

/// Whether two short texts are the same, without the call that comparing slices
/// is: it took a fifth of the time of a check.
#[inline]
fn are_equal(a: &[u8], b: &[u8]) -> bool {
    let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    if a.len() != b.len() {
        return false;
    }
    match (a.last_chunk(), b.last_chunk()) {
        // The last word may overlap with the one before it.
        (Some(last), Some(other_last)) => {
            let (words, others) = (a.as_chunks().0, b.as_chunks().0);
            word(last) == word(other_last)
                && words.iter().zip(others).all(|(a, b)| word(a) == word(b))
        }
        _ => a.iter().zip(b).all(|(a, b)| a == b),
    }
}

/// Values that OpenMetrics has rules for.
#[inline]
fn check_value(kind: MetricType, role: SampleRole, value: f64) -> Result<(), ErrorKind> {
    let counts = matches!(role, SampleRole::Bucket | SampleRole::Count);
    let grows = counts || matches!(role, SampleRole::Total | SampleRole::Sum);
    // The sum of a gauge histogram may go anywhere.
    let may_be_negative = role == SampleRole::Sum && kind == MetricType::GaugeHistogram;
    if grows && (value.is_nan() || (value < 0.0 && !may_be_negative)) {
        return Err(ErrorKind::BadCounterValue);
    }
    if counts && value.fract() != 0.0 {
        return Err(ErrorKind::CountNotInteger);
    }
    match kind {
        MetricType::Info if value != 1.0 => Err(ErrorKind::InfoNotOne),
        MetricType::StateSet if value != 0.0 && value != 1.0 => Err(ErrorKind::StateNotBoolean),
        _ => Ok(()),
    }
}

/// The longest that an exemplar's label names and values may be together, in
/// characters.
const EXEMPLAR_CHARACTERS: usize = 128;

#[inline]
fn check_exemplar(
    kind: MetricType,
    role: SampleRole,
    sample: &Sample<'_>,
) -> Result<(), ErrorKind> {
    let Some(exemplar) = sample.exemplar() else {
        return Ok(());
    };
    if role != SampleRole::Bucket && (role, kind) != (SampleRole::Total, MetricType::Counter) {
        return Err(ErrorKind::UnexpectedExemplar);
    }
    let len = |label: parser::Label<'_>| label.name.chars().count() + label.value.chars().count();
    if exemplar.labels().map(len).sum::<usize>() > EXEMPLAR_CHARACTERS {
        return Err(ErrorKind::ExemplarTooLong);
    }
    Ok(())
}

/// The place on a sample's line, from its beginning, that an error is about.
#[cold]
fn place_of(kind: ErrorKind, sample: &Sample<'_>) -> usize {
    use ErrorKind::{
        BadBound, BadCounterValue, BadQuantile, BucketsNotCumulative, BucketsOutOfOrder,
        CountNotInteger, ExemplarOutsideBucket, ExemplarTooLong, InfoNotOne, NegativeQuantile,
        QuantilesOutOfOrder, StateNotBoolean, UnexpectedExemplar,
    };
    match kind {
        BadBound | BucketsOutOfOrder => sample.offset_of_label("le"),
        BadQuantile | QuantilesOutOfOrder => sample.offset_of_label("quantile"),
        BadCounterValue | CountNotInteger | InfoNotOne | StateNotBoolean | BucketsNotCumulative
        | NegativeQuantile => sample.offset_of_value(),
        UnexpectedExemplar | ExemplarTooLong | ExemplarOutsideBucket => sample.offset_of_exemplar(),
        _ => sample.offset_of_name(),
    }
}

#[cold]
fn fail(kind: ErrorKind, offset: usize) -> Verdict {
    Err(Error::new(kind, offset))
}

#[cfg(test)]
mod tests {
    use super::are_equal;

    #[test]
    fn texts_are_equal_if_all_their_bytes_are() {
        let text: Vec<u8> = (1..=40).collect();
        for len in 0..=text.len() {
            let one = &text[..len];
            let mut other = one.to_vec();
            assert!(are_equal(one, &other));
            for odd in 0..len {
                let kept = std::mem::replace(&mut other[odd], 0);
                assert!(!are_equal(one, &other), "{len} {odd}");
                other[odd] = kept;
                assert!(!are_equal(one, &text[..odd]), "{len} {odd}");
            }
        }
    }
}
