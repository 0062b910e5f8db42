//! Histograms and summaries: the rules for the samples of one metric together.

use super::Checks;
use crate::MetricType;
use crate::exposition::number::parse_f64;
use crate::exposition::parser::{ErrorKind, Sample};
use crate::metric_type::SampleRole;

/// The line of a sample.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub(super) offset: usize,
    /// Its number, from 1.
    pub(super) line: usize,
}

/// The samples seen of one metric at one time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    /// The range of the metric's labels in [`Validator::labels`](super::Validator).
    labels: (usize, usize),
    /// The roles seen, one bit each.
    roles: u8,
    negative_bound: bool,
    negative_sum: bool,
    /// The first and the last bound of a bucket, or quantile.
    first_bound: f64,
    bound: f64,
    /// The count of the last bucket.
    bucket: f64,
    count: f64,
    last: At,
    count_at: At,
}

/// Returns true for errors of a metric that are found only when it is complete.
pub(super) fn is_found_late(kind: ErrorKind) -> bool {
    use ErrorKind::{BadSum, CountMismatch, NoInfBucket, SumWithoutCount};
    matches!(kind, NoInfBucket | CountMismatch | SumWithoutCount | BadSum)
}

impl Point {
    pub(super) const NEW: Self = {
        let nowhere = At { offset: 0, line: 0 };
        Self {
            labels: (0, 0),
            roles: 0,
            negative_bound: false,
            negative_sum: false,
            first_bound: f64::NAN,
            bound: f64::NAN,
            bucket: 0.0,
            count: 0.0,
            last: nowhere,
            count_at: nowhere,
        }
    };

    /// Creates a point of the metric whose labels are at this range.
    pub(super) fn with_labels(labels: (usize, usize)) -> Self {
        Self {
            labels,
            ..Self::NEW
        }
    }

    /// Returns the range of the metric's labels.
    pub(super) fn labels(&self) -> (usize, usize) {
        self.labels
    }

    /// Returns the line that a late error is about.
    pub(super) fn at(&self, kind: ErrorKind) -> At {
        match kind {
            ErrorKind::CountMismatch => self.count_at,
            _ => self.last,
        }
    }

    /// Takes a sample of the metric.
    pub(super) fn visit(
        &mut self,
        rules: Checks,
        kind: MetricType,
        role: SampleRole,
        sample: &Sample<'_>,
        at: At,
    ) -> Result<(), ErrorKind> {
        let value = sample.value();
        let repeated = self.repeats(role);
        match role {
            SampleRole::Bucket => self.visit_bucket(rules, sample)?,
            SampleRole::Value if kind == MetricType::Summary => {
                self.visit_quantile(rules, sample)?
            }
            _ if repeated => return Err(ErrorKind::DuplicateSeries),
            SampleRole::Count => {
                self.count = value;
                self.count_at = at;
            }
            SampleRole::Sum => self.negative_sum = value < 0.0,
            _ => {}
        }
        self.last = at;
        Ok(())
    }

    /// Marks a role as seen. Returns true if it was seen before.
    pub(super) fn repeats(&mut self, role: SampleRole) -> bool {
        let repeats = self.roles & role.bit() != 0;
        self.roles |= role.bit();
        repeats
    }

    fn visit_bucket(&mut self, rules: Checks, sample: &Sample<'_>) -> Result<(), ErrorKind> {
        let label = sample.label("le").ok_or(ErrorKind::BadBound)?;
        let bound = parse_f64(label.as_bytes()).filter(|bound| !bound.is_nan());
        let bound = bound.ok_or(ErrorKind::BadBound)?;
        // OpenMetrics has one spelling of an infinite bound.
        if rules.openmetrics && bound == f64::INFINITY && label != "+Inf" {
            return Err(ErrorKind::BadBound);
        }
        self.check_order(bound, ErrorKind::BucketsOutOfOrder)?;
        if rules.openmetrics {
            if sample.value() < self.bucket {
                return Err(ErrorKind::BucketsNotCumulative);
            }
            if let Some(exemplar) = sample.exemplar() {
                let value = exemplar.value();
                if value > bound || (value.is_nan() && bound != f64::INFINITY) {
                    return Err(ErrorKind::ExemplarOutsideBucket);
                }
            }
        }
        self.negative_bound |= bound < 0.0;
        self.bound = bound;
        self.bucket = sample.value();
        Ok(())
    }

    /// Checks that a bound or a quantile follows the last one. The last one again,
    /// or the first one, is most likely a series, or a whole metric, that is on the
    /// page twice.
    fn check_order(&mut self, bound: f64, out_of_order: ErrorKind) -> Result<(), ErrorKind> {
        if bound == self.bound || bound == self.first_bound {
            return Err(ErrorKind::DuplicateSeries);
        }
        if bound < self.bound {
            return Err(out_of_order);
        }
        if self.first_bound.is_nan() {
            self.first_bound = bound;
        }
        Ok(())
    }

    fn visit_quantile(&mut self, rules: Checks, sample: &Sample<'_>) -> Result<(), ErrorKind> {
        let label = sample.label("quantile").ok_or(ErrorKind::BadQuantile)?;
        let quantile = parse_f64(label.as_bytes()).filter(|quantile| !quantile.is_nan());
        let quantile = quantile.ok_or(ErrorKind::BadQuantile)?;
        if rules.openmetrics && !(0.0..=1.0).contains(&quantile) {
            return Err(ErrorKind::BadQuantile);
        }
        self.check_order(quantile, ErrorKind::QuantilesOutOfOrder)?;
        if rules.openmetrics && sample.value() < 0.0 {
            return Err(ErrorKind::NegativeQuantile);
        }
        self.bound = quantile;
        Ok(())
    }

    /// Checks the metric when it is complete.
    pub(super) fn end(&self, rules: Checks, kind: MetricType) -> Result<(), ErrorKind> {
        let is_histogram = matches!(kind, MetricType::Histogram | MetricType::GaugeHistogram);
        if rules.composite || !is_histogram {
            return Ok(());
        }
        let has = |role: SampleRole| self.roles & role.bit() != 0;
        if !has(SampleRole::Bucket) || self.bound != f64::INFINITY {
            return Err(ErrorKind::NoInfBucket);
        }
        if has(SampleRole::Count) && self.count != self.bucket {
            return Err(ErrorKind::CountMismatch);
        }
        if !rules.openmetrics {
            return Ok(());
        }
        if has(SampleRole::Sum) != has(SampleRole::Count) {
            return Err(ErrorKind::SumWithoutCount);
        }
        let gauge = kind == MetricType::GaugeHistogram;
        // With negative observations the sum is not a counter.
        if (self.negative_bound && has(SampleRole::Sum) && !gauge)
            || (self.negative_sum && !self.negative_bound)
        {
            return Err(ErrorKind::BadSum);
        }
        Ok(())
    }
}
