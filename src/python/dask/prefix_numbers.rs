//! The numbers of task prefixes: the one table that says which there are, and
//! where Dask keeps them.
//!
//! A number of [`NUMBERS`] is read from an attribute of each task prefix and
//! shown in a family with the prefix as its label. To add one, add it there:
//! neither Python nor the passes over the prefixes know any by name. The states
//! of tasks are more than numbers, and have families of their own below.

use super::entry::{Entry, Source::Prefix};

/// The label of families by task prefix.
pub(super) const PREFIX: &str = "task_prefix_name";

/// The states of a task at the scheduler, but for `forgotten`: such a task is
/// no longer known.
pub(super) const TASK_STATES: &[&str] = &[
    "released",
    "waiting",
    "no-worker",
    "queued",
    "processing",
    "memory",
    "erred",
];

/// One number of each task prefix.
#[derive(Clone, Copy, Debug)]
pub struct PrefixNumber {
    /// The family that shows it.
    pub entry: Entry,
    /// The kind of number.
    pub kind: NumberKind,
    /// Its places in the versions of Dask, the newest first.
    pub places: &'static [Place],
}

/// The kinds of numbers of a task prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberKind {
    /// How often something has happened: whole, and only going up.
    Count,
    /// An amount that only goes up.
    Total,
    /// An amount that goes up and down.
    Current,
}

/// The place of a number in a version of Dask.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The attribute of a task prefix.
    pub attribute: &'static str,
    /// The key, if the attribute is a mapping.
    pub key: Option<&'static str>,
    /// How many of Dask's units are one of the family's.
    pub per_unit: f64,
}

const fn attribute(attribute: &'static str) -> Place {
    Place {
        attribute,
        key: None,
        per_unit: 1.0,
    }
}

const fn item(attribute: &'static str, key: &'static str, per_unit: f64) -> Place {
    Place {
        attribute,
        key: Some(key),
        per_unit,
    }
}

/// Every number of a task prefix.
pub const NUMBERS: &[PrefixNumber] = &[
    PrefixNumber {
        entry: Entry::counter(
            "dask_scheduler_tasks_suspicious_total",
            "Total number of times a task has been marked suspicious",
        )
        .labels(&[PREFIX])
        .from(Prefix, "`suspicious` of each of `task_prefixes`"),
        kind: NumberKind::Count,
        places: &[attribute("suspicious")],
    },
    PrefixNumber {
        entry: Entry::counter(
            "dask_scheduler_tasks_compute_seconds_total",
            "Total amount of compute time spent in each prefix",
        )
        .labels(&[PREFIX])
        .from(
            Prefix,
            "`all_durations[\"compute\"]` of each of `task_prefixes`",
        ),
        kind: NumberKind::Total,
        places: &[
            item("_all_durations_us", "compute", 1e6),
            item("all_durations", "compute", 1.0),
        ],
    },
    PrefixNumber {
        entry: Entry::counter(
            "dask_scheduler_tasks_transfer_seconds_total",
            "Total amount of transfer time spent in each prefix",
        )
        .labels(&[PREFIX])
        .from(
            Prefix,
            "`all_durations[\"transfer\"]` of each of `task_prefixes`",
        ),
        kind: NumberKind::Total,
        places: &[
            item("_all_durations_us", "transfer", 1e6),
            item("all_durations", "transfer", 1.0),
        ],
    },
    PrefixNumber {
        entry: Entry::gauge(
            "dask_scheduler_tasks_output_bytes",
            "Current number of bytes in memory (without duplicates) for each prefix",
        )
        .labels(&[PREFIX])
        .from(Prefix, "`nbytes_total` of each of `task_prefixes`"),
        kind: NumberKind::Current,
        places: &[attribute("nbytes_total")],
    },
];

/// The attribute that maps each state to the number of tasks that are in it.
pub const STATES: &str = "states";

/// The attribute that maps each state to how often a task has come into it.
pub const STATE_COUNTS: &str = "state_counts";

pub(super) const TASKS: Entry =
    Entry::gauge("dask_scheduler_tasks", "Number of tasks known by scheduler")
        .labels(&["state"])
        .states(TASK_STATES)
        .from(Prefix, "`states` of each of `task_prefixes`, added up");

pub(super) const PREFIX_TASKS: Entry = Entry::gauge(
    "dask_scheduler_prefix_tasks",
    "Number of tasks of each prefix in each state",
)
.labels(&[PREFIX, "state"])
.from(Prefix, "`states` of each of `task_prefixes`");

pub(super) const TRANSITIONS: Entry = Entry::counter(
    "dask_scheduler_task_transitions_total",
    "Total number of times that a task came into each state",
)
.labels(&["state"])
.states(TASK_STATES)
.from(
    Prefix,
    "`state_counts` of each of `task_prefixes`, added up",
);

pub(super) const FORGOTTEN: Entry = Entry::counter(
    "dask_scheduler_tasks_forgotten_total",
    "Total number of tasks that are no longer needed and were forgotten",
)
.from(Prefix, "the same, `forgotten`; Dask's own goes down");

pub(super) const STATE_TOTALS: Entry = Entry::counter(
    "dask_scheduler_prefix_state_totals_total",
    "Accumulated count of task prefix in each state",
)
.labels(&[PREFIX, "state"])
.from(Prefix, "`state_counts` of each of `task_prefixes`");

const ACTIVITY_LABELS: &[&str] = &["context", PREFIX, "activity"];

pub(super) const ACTIVITY_SECONDS: Entry = Entry::counter(
    "dask_scheduler_activity_seconds_total",
    "Total time that the workers spent on each activity",
)
.labels(ACTIVITY_LABELS)
.from(Prefix, "`cumulative_worker_metrics`, the unit `seconds`");

pub(super) const ACTIVITY_BYTES: Entry = Entry::counter(
    "dask_scheduler_activity_bytes_total",
    "Total number of bytes that each activity of the workers has processed",
)
.labels(ACTIVITY_LABELS)
.from(Prefix, "`cumulative_worker_metrics`, the unit `bytes`");

pub(super) const FOLDED: Entry = Entry::gauge(
    "stethoscope_task_prefixes_folded",
    "Task prefixes without series of their own, added up as \"other\"",
)
.from(Prefix, "`distributed.stethoscope.max-task-prefixes`");

/// The families here that are not those of [`NUMBERS`].
pub(super) const FAMILIES: &[Entry] = &[
    TASKS,
    PREFIX_TASKS,
    TRANSITIONS,
    FORGOTTEN,
    STATE_TOTALS,
    ACTIVITY_SECONDS,
    ACTIVITY_BYTES,
    FOLDED,
];
