//! Histograms and summaries: what the samples of one metric must be together.

use super::Rules;
use crate::exposition::number::parse_f64;
use crate::exposition::parser::{ErrorKind, MetricType, Sample};

/// Which of its family's samples one is, by the suffix of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// No suffix.
    Value,
    Total,
    Created,
    Bucket,
    Count,
    Sum,
    Info,
}

impl Role {
    /// Each suffix that a family of `kind` may have its samples' names end in.
    pub(super) fn suffixes(kind: MetricType, openmetrics: bool) -> &'static [(&'static str, Role)] {
        use Role::{Bucket, Count, Created, Info, Sum, Total, Value};
        match (kind, openmetrics) {
            (MetricType::Histogram, false) => {
                &[("_bucket", Bucket), ("_sum", Sum), ("_count", Count)]
            }
            (MetricType::Summary, false) => &[("", Value), ("_sum", Sum), ("_count", Count)],
            (MetricType::Counter, true) => &[("_total", Total), ("_created", Created)],
            (MetricType::Histogram, true) => &[
                ("_bucket", Bucket),
                ("_sum", Sum),
                ("_count", Count),
                ("_created", Created),
            ],
            (MetricType::Summary, true) => &[
                ("", Value),
                ("_sum", Sum),
                ("_count", Count),
                ("_created", Created),
            ],
            (MetricType::GaugeHistogram, true) => {
                &[("_bucket", Bucket), ("_gsum", Sum), ("_gcount", Count)]
            }
            (MetricType::Info, true) => &[("_info", Info)],
            _ => &[("", Value)],
        }
    }

    pub(super) fn bit(self) -> u8 {
        1 << self as u8
    }
}

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
        role: Role,
        sample: &Sample<'_>,
    ) -> Result<(), ErrorKind> {
        let value = sample.value();
        let repeated = self.repeats(role);
        match role {
            Role::Bucket => self.see_bucket(rules, sample)?,
            Role::Value if kind == MetricType::Summary => self.see_quantile(rules, sample)?,
            _ if repeated => return Err(ErrorKind::DuplicateSeries),
            Role::Count => self.count = value,
            Role::Sum => self.negative_sum = value < 0.0,
            _ => {}
        }
        Ok(())
    }

    /// Marks a role as seen; whether it was before.
    pub(super) fn repeats(&mut self, role: Role) -> bool {
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
        let has = |role: Role| self.roles & role.bit() != 0;
        if !has(Role::Bucket) || self.bound != f64::INFINITY {
            return Err(ErrorKind::NoInfBucket);
        }
        if has(Role::Count) && self.count != self.bucket {
            return Err(ErrorKind::CountMismatch);
        }
        if !rules.openmetrics {
            return Ok(());
        }
        if has(Role::Sum) != has(Role::Count) {
            return Err(ErrorKind::SumWithoutCount);
        }
        let gauge = kind == MetricType::GaugeHistogram;
        // A histogram of negative observations has a sum that is no counter.
        if (self.negative_bound && has(Role::Sum) && !gauge)
            || (self.negative_sum && !self.negative_bound)
        {
            return Err(ErrorKind::BadSum);
        }
        Ok(())
    }
}
