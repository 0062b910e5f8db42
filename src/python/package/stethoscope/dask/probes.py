"""Reads each number from Dask's objects.

A probe takes the server and returns the present value of its family: a number, a
mapping from the values of the family's label to numbers, or None if there is
nothing to show. It runs on the event loop at every sample, so it must be cheap
and change nothing.

The catalogue in Rust (`src/python/dask/`) has the families, with their help, type,
labels and the states that are always shown. Numbers of task prefixes and of a
scheduler's workers are read in passes (`passes.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any

from distributed.core import Status

from stethoscope.dask.departures import Departures

Value = float | Mapping[str, float] | None
Probe = Callable[[Any], Value]


#: The share of the event loop's time that an expensive probe may take.
EXPENSIVE_SHARE = 0.001


class Throttled:
    """A probe that is too expensive for each sample.

    It keeps its value for some seconds, and for longer if reading it took long:
    with 1,000 workers, Dask takes 10 ms to work out how many it needs.
    """

    def __init__(self, seconds: float, probe: Probe) -> None:
        self._seconds = seconds
        self._probe = probe
        self._value: Value = None
        self._until = float("-inf")

    def __call__(self, server: Any) -> Value:
        start = time.monotonic()
        if start >= self._until:
            self._value = self._probe(server)
            end = time.monotonic()
            self._until = end + max(self._seconds, (end - start) / EXPENSIVE_SHARE)
        return self._value


def _gil_contention(server: Any) -> Value:
    # Measured only where gilknocker is installed.
    monitor = server.monitor
    return monitor.cumulative_gil_contention if monitor.monitor_gil_contention else None


def _gc_seconds(server: Any) -> Value:
    from distributed.gc import gc_collect_duration

    return gc_collect_duration()


def _scheduler_workers(scheduler: Any) -> Value:
    known = len(scheduler.workers)
    running = len(scheduler.running)
    idle = len(scheduler.idle)
    saturated = len(scheduler.saturated)
    paused = 0
    if known != running:
        paused = sum(worker.status is Status.paused for worker in scheduler.workers.values())
    return {
        "idle": idle,
        "partially_saturated": running - idle - saturated,
        "saturated": saturated,
        "paused": paused,
        "retiring": known - paused - running,
    }


def _scheduler_clients(scheduler: Any) -> Value:
    # The scheduler counts its own fire-and-forget tasks as a client's.
    return len(scheduler.clients) - ("fire-and-forget" in scheduler.clients)


class _Transitions:
    """Measures the time since a task last changed its state."""

    def __init__(self) -> None:
        self._counter: Any = None
        self._changed_at = time.monotonic()

    def age(self, scheduler: Any) -> Value:
        """Return the seconds since the last change that a sample has seen."""
        now = time.monotonic()
        if scheduler.transition_counter != self._counter:
            self._counter, self._changed_at = scheduler.transition_counter, now
        # The page takes 0 for something that has no age.
        return max(now - self._changed_at, 1e-9)

    def idle(self, scheduler: Any) -> Value:
        """Return the same, but 0 while there is anything to do."""
        has_work = (
            any(worker.processing for worker in scheduler.workers.values())
            or getattr(scheduler, "queued", ())
            or scheduler.unrunnable
        )
        age = self.age(scheduler)
        return 0.0 if has_work else age


def _worker_status(worker: Any) -> Value:
    return {worker.status.name: 1}


def _semaphores(read: Callable[[Any, str], float]) -> Probe:
    """Return a probe that reads each semaphore."""

    def probe(scheduler: Any) -> Value:
        extension = scheduler.extensions.get("semaphores")
        if extension is None:
            return None
        return {str(name): read(extension, name) for name in extension.max_leases}

    return probe


def _semaphore_metric(metric: str) -> Probe:
    return _semaphores(lambda extension, name: extension.metrics[metric][name])


def _stealing(metric: str) -> Probe:
    """Return a probe that reads each cost multiplier of work stealing."""

    def probe(scheduler: Any) -> Value:
        extension = scheduler.extensions.get("stealing")
        if extension is None:
            return None
        values = extension.metrics[metric]
        return {
            str(multiplier): values[level]
            for level, multiplier in enumerate(extension.cost_multipliers)
        }

    return probe


def _worker_tasks(worker: Any) -> Value:
    counts = worker.state.task_counter.current_count(by_prefix=False)
    # Without a memory limit the data is a plain dict, and nothing is spilled.
    slow = getattr(worker.data, "slow", None)
    if slow is not None:
        counts["disk"] = len(slow)
        counts["memory"] -= counts["disk"]
    return counts


def _worker_memory(worker: Any) -> Value:
    in_memory, on_disk = getattr(worker.data, "spilled_total", (0, 0))
    # The page adds the rest of the process's memory as unmanaged.
    return {"managed": worker.state.nbytes - in_memory, "spilled": on_disk}


def _spilling(unit: str) -> Probe:
    """Return a probe that reads the total of each activity of spilling."""

    def probe(worker: Any) -> Value:
        metrics: Iterable = getattr(worker.data, "cumulative_metrics", {}).items()
        return {activity: value for (activity, of), value in metrics if of == unit}

    return probe


def probes(role: str) -> Mapping[str, Probe]:
    """Return the probes of one server by family, in the order of the page."""
    if role == "scheduler":
        transitions = _Transitions()
        return {
            "dask_scheduler_clients": _scheduler_clients,
            "dask_scheduler_client_connections_added_total": attrgetter(
                "_client_connections_added_total"
            ),
            "dask_scheduler_client_connections_removed_total": attrgetter(
                "_client_connections_removed_total"
            ),
            "dask_scheduler_desired_workers": Throttled(1.0, lambda s: s.adaptive_target()),
            "dask_scheduler_workers": _scheduler_workers,
            "dask_scheduler_workers_added_total": attrgetter("_workers_added_total"),
            "dask_scheduler_workers_removed_total": attrgetter("_workers_removed_total"),
            "dask_scheduler_gil_contention_seconds_total": _gil_contention,
            "dask_scheduler_gc_collection_seconds_total": _gc_seconds,
            "dask_scheduler_last_time_total": attrgetter("monitor.last_time"),
            "dask_scheduler_task_groups": lambda s: len(s.task_groups),
            "dask_scheduler_tick_count_total": attrgetter("_tick_counter"),
            "dask_scheduler_last_transition_age_seconds": transitions.age,
            "dask_scheduler_idle_seconds": transitions.idle,
            "dask_scheduler_worker_departures_total": Departures(),
            "dask_semaphore_max_leases": _semaphores(lambda e, name: e.max_leases[name]),
            "dask_semaphore_active_leases": _semaphores(lambda e, name: len(e.leases[name])),
            "dask_semaphore_pending_leases": _semaphore_metric("pending"),
            "dask_semaphore_acquire_total": _semaphore_metric("acquire_total"),
            "dask_semaphore_release_total": _semaphore_metric("release_total"),
            "dask_semaphore_average_pending_lease_time_s": _semaphore_metric(
                "average_pending_lease_time"
            ),
            "dask_stealing_request_count_total": _stealing("request_count_total"),
            "dask_stealing_request_cost_total": _stealing("request_cost_total"),
        }
    return {
        "dask_worker_tasks": _worker_tasks,
        "dask_worker_connections": lambda w: len(w.state.in_flight_workers),
        "dask_worker_threads": attrgetter("state.nthreads"),
        "dask_worker_latency_seconds": attrgetter("latency"),
        "dask_worker_gil_contention_seconds_total": _gil_contention,
        "dask_worker_gc_collection_seconds_total": _gc_seconds,
        "dask_worker_memory_bytes": _worker_memory,
        "dask_worker_memory_limit_bytes": attrgetter("memory_manager.memory_limit"),
        "dask_worker_status": _worker_status,
        "dask_worker_transfer_incoming_bytes": attrgetter("state.transfer_incoming_bytes"),
        "dask_worker_transfer_incoming_count": attrgetter("state.transfer_incoming_count"),
        "dask_worker_transfer_incoming_count_total": attrgetter(
            "state.transfer_incoming_count_total"
        ),
        "dask_worker_transfer_outgoing_bytes": attrgetter("transfer_outgoing_bytes"),
        "dask_worker_transfer_outgoing_count": attrgetter("transfer_outgoing_count"),
        "dask_worker_transfer_outgoing_bytes_total": attrgetter("transfer_outgoing_bytes_total"),
        "dask_worker_transfer_outgoing_count_total": attrgetter("transfer_outgoing_count_total"),
        "dask_worker_spill_bytes_total": _spilling("bytes"),
        "dask_worker_spill_count_total": _spilling("count"),
        "dask_worker_spill_time_seconds_total": _spilling("seconds"),
        "dask_worker_tick_count_total": attrgetter("_tick_counter"),
    }
