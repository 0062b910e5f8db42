//! What a scheduler shows.

use super::catalogue::{
    Entry,
    Source::{Event, Prefix, Sample},
};
use super::events::{EventFamilies, Lasting};

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

/// The label of what is told by task prefix.
pub(super) const PREFIX: &str = "task_prefix_name";

pub(super) const TASKS: Entry =
    Entry::gauge("dask_scheduler_tasks", "Number of tasks known by scheduler")
        .labels(&["state"])
        .states(TASK_STATES)
        .from(Prefix, "`states` of each of `task_prefixes`, added up");

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

pub(super) const SUSPICIOUS: Entry = Entry::counter(
    "dask_scheduler_tasks_suspicious_total",
    "Total number of times a task has been marked suspicious",
)
.labels(&[PREFIX])
.from(Prefix, "`suspicious` of each of `task_prefixes`");

pub(super) const COMPUTE: Entry = Entry::counter(
    "dask_scheduler_tasks_compute_seconds_total",
    "Total amount of compute time spent in each prefix",
)
.labels(&[PREFIX])
.from(
    Prefix,
    "`all_durations[\"compute\"]` of each of `task_prefixes`",
);

pub(super) const TRANSFER: Entry = Entry::counter(
    "dask_scheduler_tasks_transfer_seconds_total",
    "Total amount of transfer time spent in each prefix",
)
.labels(&[PREFIX])
.from(
    Prefix,
    "`all_durations[\"transfer\"]` of each of `task_prefixes`",
);

pub(super) const OUTPUT: Entry = Entry::gauge(
    "dask_scheduler_tasks_output_bytes",
    "Current number of bytes in memory (without duplicates) for each prefix",
)
.labels(&[PREFIX])
.from(Prefix, "`nbytes_total` of each of `task_prefixes`");

pub(super) const STATE_TOTALS: Entry = Entry::counter(
    "dask_scheduler_prefix_state_totals_total",
    "Accumulated count of task prefix in each state",
)
.labels(&[PREFIX, "state"])
.from(Prefix, "`state_counts` of each of `task_prefixes`");

pub(super) const FOLDED: Entry = Entry::gauge(
    "stethoscope_task_prefixes_folded",
    "Task prefixes beyond the cap, shown together as \"other\"",
)
.from(Prefix, "`distributed.stethoscope.max-task-prefixes`");

const TICK_MAXIMUM: Entry = Entry::gauge(
    "dask_scheduler_tick_duration_maximum_seconds",
    "Longest time between two ticks of the event loop, lately; the one that lasts included",
)
.from(
    Event,
    "`digests[\"tick-duration\"]`; Dask's own is reset by each scrape",
);

const TICK_AGE: Entry = Entry::gauge(
    "dask_scheduler_tick_age_seconds",
    "Time since the last tick of the event loop: long while it is blocked",
)
.from(Event, "`digests[\"tick-duration\"]`");

const TICK_HISTOGRAM: Entry = Entry::histogram(
    "dask_scheduler_tick_duration_seconds",
    "Time between two ticks of the event loop",
)
.from(Event, "`digests[\"tick-duration\"]`");

const TASK_HISTOGRAM: Entry = Entry::histogram(
    "dask_scheduler_task_duration_seconds",
    "Run time of the tasks that the workers finished",
)
.from(Event, "`stream_handlers[\"task-finished\"]`");

pub(super) const TICK: EventFamilies = EventFamilies {
    median: None,
    histogram: Some(TICK_HISTOGRAM),
    lasting: Some(Lasting {
        maximum: TICK_MAXIMUM,
        age: TICK_AGE,
    }),
};

pub(super) const TASK: EventFamilies = EventFamilies {
    histogram: Some(TASK_HISTOGRAM),
    ..EventFamilies::NONE
};

pub(super) const FAMILIES: &[Entry] = &[
    Entry::gauge("dask_scheduler_clients", "Number of clients connected")
        .from(Sample, "`clients`, without `fire-and-forget`"),
    Entry::counter(
        "dask_scheduler_client_connections_added_total",
        "Total number of client connections added",
    )
    .from(Sample, "`_client_connections_added_total`"),
    Entry::counter(
        "dask_scheduler_client_connections_removed_total",
        "Total number of client connections removed",
    )
    .from(Sample, "`_client_connections_removed_total`"),
    Entry::gauge(
        "dask_scheduler_desired_workers",
        "Number of workers scheduler needs for task graph",
    )
    .from(Sample, "`adaptive_target()`, at most once a second"),
    Entry::gauge(
        "dask_scheduler_workers",
        "Number of workers known by scheduler",
    )
    .labels(&["state"])
    .states(WORKER_STATES)
    .from(Sample, "`idle`, `saturated`, `running` and `workers`"),
    Entry::counter(
        "dask_scheduler_workers_added_total",
        "Total number of workers added",
    )
    .from(Sample, "`_workers_added_total`"),
    Entry::counter(
        "dask_scheduler_workers_removed_total",
        "Total number of workers removed",
    )
    .from(Sample, "`_workers_removed_total`"),
    Entry::counter(
        "dask_scheduler_gil_contention_seconds_total",
        "Time that threads waited for the GIL",
    )
    .from(
        Sample,
        "`monitor.cumulative_gil_contention`, if gilknocker is installed",
    ),
    Entry::counter(
        "dask_scheduler_gc_collection_seconds_total",
        "Total time spent on garbage collection",
    )
    .from(Sample, "`distributed.gc.gc_collect_duration()`"),
    Entry::counter(
        "dask_scheduler_last_time_total",
        "When the system monitor was last updated, on a monotonic clock",
    )
    .from(Sample, "`monitor.last_time`"),
    Entry::gauge(
        "dask_scheduler_task_groups",
        "Number of task groups known by scheduler",
    )
    .from(Sample, "`task_groups`"),
    Entry::counter(
        "dask_scheduler_tick_count_total",
        "Total number of ticks observed since the server started",
    )
    .from(Sample, "`_tick_counter`"),
    TASKS,
    TRANSITIONS,
    FORGOTTEN,
    SUSPICIOUS,
    COMPUTE,
    TRANSFER,
    OUTPUT,
    STATE_TOTALS,
    FOLDED,
    TICK_MAXIMUM,
    TICK_AGE,
    TICK_HISTOGRAM,
    TASK_HISTOGRAM,
    Entry::gauge(
        "dask_semaphore_max_leases",
        "Maximum leases allowed per semaphore",
    )
    .labels(&["name"])
    .from(Sample, "`extensions[\"semaphores\"].max_leases`"),
    Entry::gauge(
        "dask_semaphore_active_leases",
        "Amount of currently active leases per semaphore",
    )
    .labels(&["name"])
    .from(Sample, "`extensions[\"semaphores\"].leases`"),
    Entry::gauge(
        "dask_semaphore_pending_leases",
        "Amount of currently pending leases per semaphore",
    )
    .labels(&["name"])
    .from(Sample, "`extensions[\"semaphores\"].metrics`"),
    Entry::counter(
        "dask_semaphore_acquire_total",
        "Total number of leases acquired per semaphore",
    )
    .labels(&["name"])
    .from(Sample, "`extensions[\"semaphores\"].metrics`"),
    Entry::counter(
        "dask_semaphore_release_total",
        "Total number of leases released per semaphore; closing one releases its leases uncounted",
    )
    .labels(&["name"])
    .from(Sample, "`extensions[\"semaphores\"].metrics`"),
    Entry::gauge(
        "dask_semaphore_average_pending_lease_time_s",
        "Exponential moving average, by order of leases, of the time it took the scheduler to \
         grant one",
    )
    .labels(&["name"])
    .from(Sample, "`extensions[\"semaphores\"].metrics`"),
    Entry::counter(
        "dask_stealing_request_count_total",
        "Total number of stealing requests per cost multiplier",
    )
    .labels(&["cost_multiplier"])
    .from(Sample, "`extensions[\"stealing\"].metrics`"),
    Entry::counter(
        "dask_stealing_request_cost_total",
        "Total cost of stealing requests per cost multiplier",
    )
    .labels(&["cost_multiplier"])
    .from(Sample, "`extensions[\"stealing\"].metrics`"),
];
