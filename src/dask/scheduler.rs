//! What a scheduler shows.

use super::catalogue::{Entry, Source::Sample};

/// The states of a task at the scheduler, but for `forgotten`: such a task is
/// no longer known.
const TASK_STATES: &[&str] = &[
    "released",
    "waiting",
    "no-worker",
    "queued",
    "processing",
    "memory",
    "erred",
];

const WORKER_STATES: &[&str] = &[
    "idle",
    "partially_saturated",
    "saturated",
    "paused",
    "retiring",
];

pub(super) const FAMILIES: &[Entry] = &[
    Entry::gauge("dask_scheduler_clients", "Number of clients connected")
        .from(Sample, "`clients`, without `fire-and-forget`"),
    Entry::gauge(
        "dask_scheduler_workers",
        "Number of workers known by scheduler",
    )
    .labels(&["state"])
    .states(WORKER_STATES)
    .from(Sample, "`idle`, `saturated`, `running` and `workers`"),
    Entry::gauge("dask_scheduler_tasks", "Number of tasks known by scheduler")
        .labels(&["state"])
        .states(TASK_STATES)
        .from(Sample, "`states` of each of `task_prefixes`, added up"),
];
