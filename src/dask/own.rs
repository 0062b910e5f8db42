//! What stethoscope says of itself.

use super::catalogue::{Entry, Source::Own};

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

pub(super) const FAMILIES: &[Entry] = &[SAMPLE_AGE, SAMPLING];
