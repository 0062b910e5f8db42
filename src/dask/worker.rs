//! What a worker shows.

use super::catalogue::{
    Entry,
    Source::{Median, Sample},
};

/// The states of a task at a worker, but for `forgotten`; `memory` is only what
/// is not spilled, and that is `disk`.
const TASK_STATES: &[&str] = &[
    "released",
    "waiting",
    "fetch",
    "missing",
    "flight",
    "ready",
    "constrained",
    "executing",
    "long-running",
    "memory",
    "disk",
    "error",
    "cancelled",
    "resumed",
    "rescheduled",
];

pub(super) const FAMILIES: &[Entry] = &[
    Entry::gauge("dask_worker_tasks", "Number of tasks at worker")
        .labels(&["state"])
        .states(TASK_STATES)
        .from(
            Sample,
            "`state.task_counter`; `disk` is `data.slow`, taken off `memory`",
        ),
    Entry::gauge(
        "dask_worker_connections",
        "Number of connections to other workers that fetch data",
    )
    .from(Sample, "`state.in_flight_workers`"),
    Entry::gauge("dask_worker_threads", "Number of worker threads")
        .from(Sample, "`state.nthreads`"),
    Entry::gauge(
        "dask_worker_latency_seconds",
        "Latency of the worker's connection to the scheduler",
    )
    .from(Sample, "`latency`"),
    Entry::gauge(
        "dask_worker_tick_duration_median_seconds",
        "Median time between two ticks of the worker's event loop, lately",
    )
    .from(Median, "`digests[\"tick-duration\"]`"),
    Entry::gauge(
        "dask_worker_task_duration_median_seconds",
        "Median run time of the worker's tasks, lately",
    )
    .from(Median, "`digests[\"task-duration\"]`"),
    Entry::gauge(
        "dask_worker_transfer_bandwidth_median_bytes",
        "Median bytes a second of the worker's transfers from other workers, lately",
    )
    .from(Median, "`digests[\"transfer-bandwidth\"]`"),
];
