"""Where each number is among Dask's objects.

A probe takes the server and returns what its family shows now: a number, or
for a family with a label a mapping from the label's values to numbers. It runs
on the event loop at every sample, so it must be cheap, and must change nothing.

Which families there are, with their help, type, labels and the states that are
always shown, is the catalogue in Rust (`src/dask/`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from distributed.core import Status

Value = float | Mapping[str, float]
Probe = Callable[[Any], Value]


def _scheduler_workers(scheduler: Any) -> Mapping[str, float]:
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


def _scheduler_clients(scheduler: Any) -> float:
    # The scheduler counts its own fire-and-forget tasks as a client's.
    return len(scheduler.clients) - ("fire-and-forget" in scheduler.clients)


def _scheduler_tasks(scheduler: Any) -> Mapping[str, float]:
    counts: dict[str, float] = {}
    for prefix in scheduler.task_prefixes.values():
        for state, count in prefix.states.items():
            counts[state] = counts.get(state, 0) + count
    counts.pop("forgotten", None)
    return counts


def _worker_tasks(worker: Any) -> Mapping[str, float]:
    counts = worker.state.task_counter.current_count(by_prefix=False)
    # Without a memory limit the data is a plain dict, and nothing is spilled.
    slow = getattr(worker.data, "slow", None)
    if slow is not None:
        counts["disk"] = len(slow)
        counts["memory"] -= counts["disk"]
    return counts


def _worker_connections(worker: Any) -> float:
    return len(worker.state.in_flight_workers)


def _worker_threads(worker: Any) -> float:
    return worker.state.nthreads


def _worker_latency(worker: Any) -> float:
    return worker.latency


PROBES: Mapping[str, Mapping[str, Probe]] = {
    "scheduler": {
        "dask_scheduler_workers": _scheduler_workers,
        "dask_scheduler_clients": _scheduler_clients,
        "dask_scheduler_tasks": _scheduler_tasks,
    },
    "worker": {
        "dask_worker_tasks": _worker_tasks,
        "dask_worker_connections": _worker_connections,
        "dask_worker_threads": _worker_threads,
        "dask_worker_latency_seconds": _worker_latency,
    },
}
