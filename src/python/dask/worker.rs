//! The families of workers.

use super::entry::{
    Entry, Sampling,
    Source::{Event, Sample},
};
use super::event_families::{EventFamilies, TickGauges};
use super::prefix_numbers::PREFIX;

/// The states of a task at a worker, but for `forgotten`. The results in `memory`
/// are those that are not spilled; the others are in `disk`.
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

/// The statuses of a worker that its page can show.
const STATUSES: &[&str] = &["init", "running", "paused", "closing_gracefully", "closing"];

const MEMORY: Entry = Entry::gauge("dask_worker_memory_bytes", "Memory breakdown")
    .labels(&["type"])
    .states(&["managed", "unmanaged", "spilled"])
    .sampling(Sampling::ManagedMemory)
    .from(
        Sample,
        "`state.nbytes`, `data.spilled_total`; the rest of `process_resident_memory_bytes`",
    );

const TICK_MEDIAN: Entry = Entry::gauge(
    "dask_worker_tick_duration_median_seconds",
    "Median time between two ticks of the worker's event loop, over the window",
)
.from(
    Event,
    "`digests[\"tick-duration\"]`; Dask's own is a maximum",
);

const TICK_MAXIMUM: Entry = Entry::gauge(
    "dask_worker_tick_duration_maximum_seconds",
    "Longest time between two ticks of the event loop over the window, the current one included",
)
.from(
    Event,
    "`digests[\"tick-duration\"]`; Dask's own is reset by each scrape",
);

const TICK_AGE: Entry = Entry::gauge(
    "dask_worker_tick_age_seconds",
    "Time since the last tick of the event loop: long while it is blocked",
)
.from(Event, "`digests[\"tick-duration\"]`");

const TICK_HISTOGRAM: Entry = Entry::histogram(
    "dask_worker_tick_duration_seconds",
    "Time between two ticks of the event loop",
)
.from(Event, "`digests[\"tick-duration\"]`");

const TASK_MEDIAN: Entry = Entry::gauge(
    "dask_worker_task_duration_median_seconds",
    "Median run time of the worker's tasks, over the window",
)
.from(
    Event,
    "`digests[\"task-duration\"]`; Dask's own is a maximum",
);

const TASK_HISTOGRAM: Entry = Entry::histogram(
    "dask_worker_task_duration_seconds",
    "Run time of the worker's tasks",
)
.from(Event, "`digests[\"task-duration\"]`");

const BANDWIDTH_MEDIAN: Entry = Entry::gauge(
    "dask_worker_transfer_bandwidth_median_bytes",
    "Median bytes a second of the worker's transfers from other workers, over the window",
)
.from(
    Event,
    "`digests[\"transfer-bandwidth\"]`; Dask's own is a maximum",
);

pub(super) const EXECUTING: Entry = Entry::gauge(
    "dask_worker_executing",
    "Number of tasks of each prefix that the worker executes at this instant",
)
.labels(&[PREFIX])
.from(
    Event,
    "`state.executing` and `state.long_running`; with `black-box`",
);

pub(super) const TICK: EventFamilies = EventFamilies {
    median: Some(TICK_MEDIAN),
    histogram: Some(TICK_HISTOGRAM),
    tick: Some(TickGauges {
        maximum: TICK_MAXIMUM,
        age: TICK_AGE,
    }),
};

pub(super) const TASK: EventFamilies = EventFamilies {
    median: Some(TASK_MEDIAN),
    histogram: Some(TASK_HISTOGRAM),
    ..EventFamilies::NONE
};

pub(super) const TRANSFER: EventFamilies = EventFamilies {
    median: Some(BANDWIDTH_MEDIAN),
    ..EventFamilies::NONE
};

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
    Entry::counter(
        "dask_worker_gil_contention_seconds_total",
        "Time that threads waited for the GIL",
    )
    .from(
        Sample,
        "`monitor.cumulative_gil_contention`, if gilknocker is installed",
    ),
    Entry::counter(
        "dask_worker_gc_collection_seconds_total",
        "Total time spent on garbage collection",
    )
    .from(Sample, "`distributed.gc.gc_collect_duration()`"),
    MEMORY,
    Entry::gauge(
        "dask_worker_memory_limit_bytes",
        "Memory that the worker may use, if it has a limit",
    )
    .from(Sample, "`memory_manager.memory_limit`"),
    Entry::gauge("dask_worker_status", "1 for the worker's current status")
        .labels(&["status"])
        .states(STATUSES)
        .from(Sample, "`status`"),
    Entry::gauge(
        "dask_worker_transfer_incoming_bytes",
        "Total size of open data transfers from other workers",
    )
    .from(Sample, "`state.transfer_incoming_bytes`"),
    Entry::gauge(
        "dask_worker_transfer_incoming_count",
        "Number of open data transfers from other workers",
    )
    .from(Sample, "`state.transfer_incoming_count`"),
    Entry::counter(
        "dask_worker_transfer_incoming_count_total",
        "Total number of data transfers from other workers since the worker was started",
    )
    .from(Sample, "`state.transfer_incoming_count_total`"),
    Entry::gauge(
        "dask_worker_transfer_outgoing_bytes",
        "Total size of open data transfers to other workers",
    )
    .from(Sample, "`transfer_outgoing_bytes`"),
    Entry::gauge(
        "dask_worker_transfer_outgoing_count",
        "Number of open data transfers to other workers",
    )
    .from(Sample, "`transfer_outgoing_count`"),
    Entry::counter(
        "dask_worker_transfer_outgoing_bytes_total",
        "Total size of data transfers to other workers since the worker was started, including those that \
         failed or are under way",
    )
    .from(Sample, "`transfer_outgoing_bytes_total`"),
    Entry::counter(
        "dask_worker_transfer_outgoing_count_total",
        "Total number of data transfers to other workers since the worker was started",
    )
    .from(Sample, "`transfer_outgoing_count_total`"),
    Entry::counter(
        "dask_worker_spill_bytes_total",
        "Total size of memory and disk accesses caused by managed data since the worker was \
         started",
    )
    .labels(&["activity"])
    .from(Sample, "`data.cumulative_metrics`"),
    Entry::counter(
        "dask_worker_spill_count_total",
        "Total number of memory and disk accesses caused by managed data since the worker was \
         started",
    )
    .labels(&["activity"])
    .from(Sample, "`data.cumulative_metrics`"),
    Entry::counter(
        "dask_worker_spill_time_seconds_total",
        "Total time spent spilling and unspilling since the worker was started",
    )
    .labels(&["activity"])
    .from(Sample, "`data.cumulative_metrics`"),
    Entry::counter(
        "dask_worker_tick_count_total",
        "Total number of ticks observed since the server started",
    )
    .from(Sample, "`_tick_counter`"),
    TICK_MEDIAN,
    TICK_MAXIMUM,
    TICK_AGE,
    TICK_HISTOGRAM,
    TASK_MEDIAN,
    TASK_HISTOGRAM,
    BANDWIDTH_MEDIAN,
    EXECUTING,
];
