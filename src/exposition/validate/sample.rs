//! Checks of a sample by itself, and the places of its errors.

use crate::MetricType;
use crate::exposition::parser::{ErrorKind, Label, Sample};
use crate::metric_type::SampleRole;

/// Checks a value by the rules of OpenMetrics.
#[inline]
pub(super) fn check_value(kind: MetricType, role: SampleRole, value: f64) -> Result<(), ErrorKind> {
    let counts = matches!(role, SampleRole::Bucket | SampleRole::Count);
    let grows = counts || matches!(role, SampleRole::Total | SampleRole::Sum);
    // The sum of a gauge histogram may be anything.
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

/// Checks that a sample may have the exemplar that it has.
#[inline]
pub(super) fn check_exemplar(
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
    let len = |label: Label<'_>| label.name.chars().count() + label.value.chars().count();
    if exemplar.labels().map(len).sum::<usize>() > EXEMPLAR_CHARACTERS {
        return Err(ErrorKind::ExemplarTooLong);
    }
    Ok(())
}

/// Returns the offset on a sample's line that an error is about.
#[cold]
pub(super) fn offset_of(kind: ErrorKind, sample: &Sample<'_>) -> usize {
    use ErrorKind::{
        BadBound, BadCounterValue, BadQuantile, BadSchema, BadZeroThreshold, BucketBeyondInfinity,
        BucketsNotCumulative, BucketsOutOfOrder, CountMismatch, CountNotInteger,
        ExemplarOutsideBucket, ExemplarTooLong, ExpectedComposite, InfoNotOne, NativeCountMismatch,
        NegativeQuantile, QuantilesOutOfOrder, SpanMismatch, StateNotBoolean, UnexpectedComposite,
        UnexpectedExemplar, UnexpectedStartTime,
    };
    let in_labels = |label| match sample.composite() {
        Some(_) => sample.offset_of_value(),
        None => sample.offset_of_label(label),
    };
    match kind {
        BadBound | BucketsOutOfOrder => in_labels("le"),
        BadQuantile | QuantilesOutOfOrder => in_labels("quantile"),
        ExpectedComposite | UnexpectedComposite | BadSchema | BadZeroThreshold | SpanMismatch
        | BucketBeyondInfinity | NativeCountMismatch | CountMismatch => sample.offset_of_value(),
        UnexpectedStartTime => sample.offset_of_start_time(),
        BadCounterValue | CountNotInteger | InfoNotOne | StateNotBoolean | BucketsNotCumulative
        | NegativeQuantile => sample.offset_of_value(),
        UnexpectedExemplar | ExemplarTooLong | ExemplarOutsideBucket => sample.offset_of_exemplar(),
        _ => sample.offset_of_name(),
    }
}
