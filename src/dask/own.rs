//! What stethoscope says of itself: what a sample takes, and what scrapes do.

use super::catalogue::{Entry, Source::Endpoint, Source::Own, Type};
use crate::endpoint::meters::{self, Dropped, Said};

pub(super) const SAMPLE_AGE: Entry = Entry::gauge(
    "stethoscope_sample_age_seconds",
    "How old the values are that the event loop was asked for",
)
.from(Own, "the time since the last sample");

pub(super) const SAMPLING: Entry = Entry::counter(
    "stethoscope_sampling_seconds_total",
    "Time of the event loop spent on taking samples",
)
.from(Own, "measured around each");

/// What the thread that answers scrapes counts.
const fn counted((name, help): Said, kind: Type) -> Entry {
    Entry {
        kind,
        ..Entry::gauge(name, help).from(Endpoint, "counted by the thread that answers")
    }
}

pub(super) const FAMILIES: &[Entry] = &[
    SAMPLE_AGE,
    SAMPLING,
    counted(meters::CONNECTIONS, Type::Gauge),
    counted(meters::ACCEPTED, Type::Counter),
    counted(meters::HANDED_OVER, Type::Counter),
    counted(meters::DROPPED, Type::Counter)
        .labels(&["reason"])
        .states(Dropped::REASONS),
    counted(meters::RESPONSES, Type::Counter)
        .labels(&["code"])
        .states(&[meters::OK_CODE]),
    counted(meters::SENT, Type::Counter),
    counted(meters::PAGE_SECONDS, Type::Histogram),
    counted(meters::RESPONSE_SECONDS, Type::Histogram),
];
