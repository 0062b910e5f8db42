//! The rules of OpenMetrics 2.0 for a sample by itself: its value, which may be a whole
//! histogram or summary, its start time and its exemplars.

use crate::MetricType;
use crate::exposition::parser::{CompositeValue, ErrorKind, NativeBuckets, Sample};

/// Checks a sample of a family of this type.
pub(super) fn check(kind: MetricType, sample: &Sample<'_>) -> Result<(), ErrorKind> {
    let composite = sample.composite();
    check_additions(kind, sample)?;
    match (kind, composite) {
        (MetricType::Unknown, None) => Ok(()),
        (MetricType::Unknown, Some(value)) => check_value(value, sample),
        (kind, Some(value)) if value.metric_type() == kind => check_value(value, sample),
        (_, Some(_)) => Err(ErrorKind::UnexpectedComposite),
        (kind, None) => check_number(kind, sample.value()),
    }
}

/// Checks whether the sample may have a start time and exemplars.
fn check_additions(kind: MetricType, sample: &Sample<'_>) -> Result<(), ErrorKind> {
    let (may_start, may_have_exemplars) = match kind {
        MetricType::Counter | MetricType::Histogram | MetricType::Summary | MetricType::Unknown => {
            (true, true)
        }
        MetricType::GaugeHistogram => (false, true),
        MetricType::Gauge | MetricType::Info | MetricType::StateSet => (false, false),
    };
    if !may_start && sample.start_time().is_some() {
        return Err(ErrorKind::UnexpectedStartTime);
    }
    if !may_have_exemplars && sample.exemplar().is_some() {
        return Err(ErrorKind::UnexpectedExemplar);
    }
    Ok(())
}

fn check_number(kind: MetricType, value: f64) -> Result<(), ErrorKind> {
    match kind {
        MetricType::Histogram | MetricType::GaugeHistogram | MetricType::Summary => {
            Err(ErrorKind::ExpectedComposite)
        }
        MetricType::Counter if value.is_nan() || value < 0.0 => Err(ErrorKind::BadCounterValue),
        MetricType::Info if value != 1.0 => Err(ErrorKind::InfoNotOne),
        MetricType::StateSet if value != 0.0 && value != 1.0 => Err(ErrorKind::StateNotBoolean),
        _ => Ok(()),
    }
}

fn check_value(value: CompositeValue<'_>, sample: &Sample<'_>) -> Result<(), ErrorKind> {
    match value.metric_type() {
        MetricType::Summary => check_summary(value, sample),
        kind => check_histogram(value, sample, kind == MetricType::GaugeHistogram),
    }
}

fn check_summary(value: CompositeValue<'_>, sample: &Sample<'_>) -> Result<(), ErrorKind> {
    let (count, sum) = (value.count(), value.sum());
    if count.is_nan() || count < 0.0 || sum.is_nan() || sum < 0.0 {
        return Err(ErrorKind::BadCounterValue);
    }
    // The fraction of infinity is NaN.
    if count.fract() != 0.0 {
        return Err(ErrorKind::CountNotInteger);
    }
    if sample.label("quantile").is_some() {
        return Err(ErrorKind::InnerLabel);
    }
    let mut before = f64::NEG_INFINITY;
    for (quantile, value) in value.quantiles() {
        if !(0.0..=1.0).contains(&quantile) {
            return Err(ErrorKind::BadQuantile);
        }
        if quantile <= before {
            return Err(ErrorKind::QuantilesOutOfOrder);
        }
        if value < 0.0 {
            return Err(ErrorKind::NegativeQuantile);
        }
        before = quantile;
    }
    Ok(())
}

/// Checks a histogram. The counts of a gauge may be negative: they may be the result of
/// arithmetic.
fn check_histogram(
    value: CompositeValue<'_>,
    sample: &Sample<'_>,
    is_gauge: bool,
) -> Result<(), ErrorKind> {
    let count = value.count();
    if !is_gauge && count < 0.0 {
        return Err(ErrorKind::BadCounterValue);
    }
    let mut last = None;
    for (bound, cumulative) in value.classic_buckets() {
        let (before, below) = last.unwrap_or((f64::NAN, 0.0));
        if bound <= before {
            return Err(ErrorKind::BucketsOutOfOrder);
        }
        if !is_gauge && cumulative < below {
            return Err(match last {
                None => ErrorKind::BadCounterValue,
                Some(_) => ErrorKind::BucketsNotCumulative,
            });
        }
        last = Some((bound, cumulative));
    }
    if let Some((_, all)) = last {
        if all != count && !(all.is_nan() && count.is_nan()) {
            return Err(ErrorKind::CountMismatch);
        }
        if sample.label("le").is_some() {
            return Err(ErrorKind::InnerLabel);
        }
    }
    match value.native() {
        Some(native) => check_native(&native, value, is_gauge),
        None => Ok(()),
    }
}

fn check_native(
    native: &NativeBuckets<'_>,
    value: CompositeValue<'_>,
    is_gauge: bool,
) -> Result<(), ErrorKind> {
    let schema = native.schema();
    if !(-4..=8).contains(&schema) {
        return Err(ErrorKind::BadSchema);
    }
    if native.zero_threshold() < 0.0 {
        return Err(ErrorKind::BadZeroThreshold);
    }
    if !native.is_consistent() {
        return Err(ErrorKind::SpanMismatch);
    }
    // The bucket after the one that ends at 2^1024 ends at infinity.
    let last = match u32::try_from(schema) {
        Ok(steps) => 1024i64 << steps,
        Err(_) => 1024 >> -schema,
    } + 1;
    let mut total = native.zero_count();
    let mut is_integral = total.fract() == 0.0;
    let mut is_negative = total < 0.0;
    for (index, count) in native.negative().chain(native.positive()) {
        if index > last {
            return Err(ErrorKind::BucketBeyondInfinity);
        }
        is_negative |= count < 0.0;
        is_integral &= count.fract() == 0.0;
        total += count;
    }
    if is_negative && !is_gauge {
        return Err(ErrorKind::BadCounterValue);
    }
    let count = value.count();
    // Sums of other numbers are rounded.
    let is_exact = is_integral && total.abs() < 2f64.powi(53);
    let tolerance = if is_exact { 0.0 } else { total.abs() * 1e-9 };
    let is_same =
        (total - count).abs() <= tolerance || total == count || total.is_nan() || count.is_nan();
    // Observations that were NaN are counted, but are in no bucket, and make the sum
    // NaN.
    let may_be_more = value.sum().is_nan() && count > total;
    match is_same || may_be_more {
        true => Ok(()),
        false => Err(ErrorKind::NativeCountMismatch),
    }
}
