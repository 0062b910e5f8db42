//! The families of schedulers, but for those by task prefix and by worker.

use super::entry::{
    Entry, Sampling,
    Source::{Event, Sample},
};
use super::event_families::{EventFamilies, TickGauges};

/// The reasons for which workers left: they closed themselves, were retired, lost their connection,
/// exceeded their memory, or were restarted.
const DEPARTURE_REASONS: &[&str] = &["closed", "retired", "lost", "memory", "restarted"];

const WORKER_STATES: &[&str] = &[
    "idle",
    "partially_saturated",
    "saturated",
    "paused",
    "retiring",
];

const TICK_MAXIMUM: Entry = Entry::gauge(
    "dask_scheduler_tick_duration_maximum_seconds",
    "Longest time between two ticks of the event loop over the window, the current one included",
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
    tick: Some(TickGauges {
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
    Entry::gauge(
        "dask_scheduler_last_transition_age_seconds",
        "Time since a task last changed its state, to within the time between two samples",
    )
    .sampling(Sampling::Age)
    .from(Sample, "`transition_counter`"),
    Entry::gauge(
        "dask_scheduler_idle_seconds",
        "Time since the scheduler last had anything to do; 0 while it has",
    )
    .sampling(Sampling::Age)
    .from(
        Sample,
        "`transition_counter`, `queued`, `unrunnable`, `processing` of each of `workers`",
    ),
    Entry::counter(
        "dask_scheduler_worker_departures_total",
        "Total number of workers that left, by reason as far as the scheduler knows it",
    )
    .labels(&["reason"])
    .states(DEPARTURE_REASONS)
    .from(Sample, "`events` of each worker that is gone"),
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
