//! The families about stethoscope itself: samples and scrapes.

use super::entry::{Entry, Source::Endpoint, Source::Stethoscope};
use stethoscope::MetricType;
use stethoscope::endpoint::self_metrics::{self as endpoint_metrics, NameAndHelp};

pub(super) const SAMPLE_AGE: Entry = Entry::gauge(
    "stethoscope_sample_age_seconds",
    "Time since the event loop last brought fresh values",
)
.from(Stethoscope, "the time since the last sample");

pub(super) const SAMPLING: Entry = Entry::counter(
    "stethoscope_sampling_seconds_total",
    "Total time of the event loop spent on taking samples",
)
.from(Stethoscope, "measured around each");

/// A metric that the thread counts which answers scrapes.
const fn counted(NameAndHelp { name, help, .. }: NameAndHelp, metric_type: MetricType) -> Entry {
    Entry {
        metric_type,
        ..Entry::gauge(name, help).from(Endpoint, "counted by the thread that answers")
    }
}

pub(super) const FAMILIES: &[Entry] = &[
    SAMPLE_AGE,
    SAMPLING,
    counted(endpoint_metrics::CONNECTIONS, MetricType::Gauge),
    counted(endpoint_metrics::ACCEPTED, MetricType::Counter),
    counted(endpoint_metrics::HANDED_OVER, MetricType::Counter),
    counted(endpoint_metrics::DROPPED, MetricType::Counter)
        .labels(&["reason"])
        .states(endpoint_metrics::DROP_REASONS),
    counted(endpoint_metrics::RESPONSES, MetricType::Counter)
        .labels(&["code"])
        .states(&[endpoint_metrics::OK_CODE]),
    counted(endpoint_metrics::SENT, MetricType::Counter),
    counted(endpoint_metrics::PAGE_SECONDS, MetricType::Histogram),
    counted(endpoint_metrics::RESPONSE_SECONDS, MetricType::Histogram),
];
