//! Histograms and summaries: what the samples of one metric must be together.

use super::Rules;
use crate::MetricType;
use crate::exposition::number::parse_f64;
use crate::exposition::parser::{ErrorKind, Sample};
use crate::metric_type::SampleRole;

/// What was seen of one metric at one time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    /// The roles seen, one bit each.
    roles: u8,
    negative_bound: bool,
    negative_sum: bool,
    /// The last bound of a bucket, or the last quantile.
    bound: f64,
    /// The count of that bucket.
    bucket: f64,
    count: f64,
}

impl Point {
    pub(super) const NEW: Self = Self {
        roles: 0,
        negative_bound: false,
        negative_sum: false,
        bound: f64::NAN,
        bucket: 0.0,
        count: 0.0,
    };

    /// Takes a sample of the metric.
    pub(super) fn see(
        &mut self,
        rules: Rules,
        kind: MetricType,
        role: SampleRole,
        sample: &Sample<'_>,
    ) -> Result<(), ErrorKind> {
        let value = sample.value();
        let repeated = self.repeats(role);
        match role {
            SampleRole::Bucket => self.see_bucket(rules, sample)?,
            SampleRole::Value if kind == MetricType::Summary => self.see_quantile(rules, sample)?,
            _ if repeated => return Err(ErrorKind::DuplicateSeries),
            SampleRole::Count => self.count = value,
            SampleRole::Sum => self.negative_sum = value < 0.0,
            _ => {}
        }
        Ok(())
    }

    /// Marks a role as seen; whether it was before.
    pub(super) fn repeats(&mut self, role: SampleRole) -> bool {
        let repeats = self.roles & role.bit() != 0;
        self.roles |= role.bit();
        repeats
    }

    fn see_bucket(&mut self, rules: Rules, sample: &Sample<'_>) -> Result<(), ErrorKind> {
        let label = sample.label("le").ok_or(ErrorKind::BadBound)?;
        let bound = parse_f64(label.as_bytes()).filter(|bound| !bound.is_nan());
        let bound = bound.ok_or(ErrorKind::BadBound)?;
        // OpenMetrics has one spelling of infinity for bounds.
        if rules.openmetrics && bound == f64::INFINITY && label != "+Inf" {
            return Err(ErrorKind::BadBound);
        }
        if bound <= self.bound {
            return Err(ErrorKind::BucketsOutOfOrder);
        }
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

    fn see_quantile(&mut self, rules: Rules, sample: &Sample<'_>) -> Result<(), ErrorKind> {
        let label = sample.label("quantile").ok_or(ErrorKind::BadQuantile)?;
        let quantile = parse_f64(label.as_bytes()).filter(|quantile| !quantile.is_nan());
        let quantile = quantile.ok_or(ErrorKind::BadQuantile)?;
        if rules.openmetrics && !(0.0..=1.0).contains(&quantile) {
            return Err(ErrorKind::BadQuantile);
        }
        if quantile <= self.bound {
            return Err(ErrorKind::QuantilesOutOfOrder);
        }
        if rules.openmetrics && sample.value() < 0.0 {
            return Err(ErrorKind::NegativeQuantile);
        }
        self.bound = quantile;
        Ok(())
    }

    /// What must hold when no more samples come.
    pub(super) fn end(&self, rules: Rules, kind: MetricType) -> Result<(), ErrorKind> {
        if !matches!(kind, MetricType::Histogram | MetricType::GaugeHistogram) {
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
        // A histogram of negative observations has a sum that is no counter.
        if (self.negative_bound && has(SampleRole::Sum) && !gauge)
            || (self.negative_sum && !self.negative_bound)
        {
            return Err(ErrorKind::BadSum);
        }
        Ok(())
    }
}
