"""Passes over the many objects of a scheduler: task prefixes, activities, workers.

There may be thousands of each. A pass goes over them in batches, and the sampler
lets the event loop go between two of them. Rust reads the objects, since in
Python that takes five times as long.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from stethoscope._native import Page, Prefixes

#: Objects between two looks at the clock. A prefix that is new takes some 25 us,
#: since each of its series is made; any other takes 0.2.
BATCH = 16
#: Activities between two looks at the clock. Few of them change at a time, and one
#: that does not takes 0.1 us.
ACTIVITY_BATCH = 256
#: The longest that prefixes are left alone, in seconds, though nothing seems to
#: have changed: scattering the same data to the same key again leaves no trace.
MAX_STALENESS = 1.0
#: The least time between two passes over what heartbeats bring, in seconds.
HEARTBEATS = 1.0

#: Logs a failure once: what failed, the error, and the consequence.
Warn = Callable[..., None]


class Pass(Protocol):
    """Brings the families of many objects up to date."""

    #: The values that are not up to date if the pass fails.
    what: str

    def is_due(self, server: Any, warn: Warn) -> bool:
        """Say whether a pass may change anything."""

    def batches(self, server: Any, warn: Warn) -> Iterator[None]:
        """Go over the objects, and yield after each batch."""

    def failed(self) -> None:
        """Note that a pass has broken off."""


class PrefixPass:
    """Task prefixes: each is read if any task has moved since the pass before."""

    what = "the tasks by prefix"

    def __init__(self, prefixes: Prefixes) -> None:
        self._prefixes = prefixes
        self._moves: Any = None
        self._begun_at = float("-inf")

    def is_due(self, server: Any, warn: Warn) -> bool:
        try:
            moves = task_moves(server)
        except Exception as error:
            moves = None
            warn("the moves of tasks", error, "each prefix is looked at instead")
        now = time.monotonic()
        if moves is not None and moves == self._moves and now - self._begun_at < MAX_STALENESS:
            return False
        self._moves, self._begun_at = moves, now
        return True

    def batches(self, server: Any, warn: Warn) -> Iterator[None]:
        prefixes = iter(list(server.task_prefixes.values()))
        self._prefixes.begin()
        while batch := list(itertools.islice(prefixes, BATCH)):
            for attribute, prefix, error in self._prefixes.take(batch):
                warn(f"{attribute} of task prefixes", error, "not known of %r", prefix)
            yield
        self._prefixes.finish()

    def failed(self) -> None:
        # Not finished: prefixes that were not reached are not gone.
        self._moves = None


class _Throttled:
    """A pass over what heartbeats bring: once a second is enough."""

    def __init__(self) -> None:
        self._begun_at = float("-inf")

    def is_due(self, server: Any, warn: Warn) -> bool:
        now = time.monotonic()
        if now - self._begun_at < HEARTBEATS:
            return False
        self._begun_at = now
        return True

    def failed(self) -> None:
        pass


class ActivityPass(_Throttled):
    """The seconds and bytes that the workers spend on each activity."""

    what = "the activities of workers"

    def __init__(self, prefixes: Prefixes) -> None:
        super().__init__()
        self._prefixes = prefixes

    def batches(self, server: Any, warn: Warn) -> Iterator[None]:
        # A copy, since heartbeats change the mapping between two batches.
        items = list(server.cumulative_worker_metrics.items())
        for start in range(0, len(items), ACTIVITY_BATCH):
            self._prefixes.take_activities(items[start : start + ACTIVITY_BATCH], start)
            yield


class WorkerPass(_Throttled):
    """The workers, as the scheduler knows them from their heartbeats."""

    what = "the numbers of workers"

    def __init__(self, page: Page) -> None:
        super().__init__()
        self._workers = page.workers()

    def batches(self, server: Any, warn: Warn) -> Iterator[None]:
        workers = iter(list(server.workers.values()))
        self._workers.begin()
        while batch := list(itertools.islice(workers, BATCH)):
            for worker, error in self._workers.take(batch, time.time()):
                warn("a worker", error, "%r is left out", worker)
            yield
        self._workers.finish()


def passes(role: str, server: Any, page: Page) -> list[Pass]:
    """Return the passes of one server, in the order in which they are taken."""
    if role != "scheduler":
        return []
    from distributed.scheduler import TaskPrefix

    has_activities = hasattr(server, "cumulative_worker_metrics")
    prefixes = page.prefixes(TaskPrefix, activities=has_activities)
    found: list[Pass] = [PrefixPass(prefixes), WorkerPass(page)]
    if has_activities:
        # After the prefixes, which decide which of them have series of their own.
        found.append(ActivityPass(prefixes))
    return found


def task_moves(scheduler: Any) -> Any:
    """Return a value that changes whenever a task changes its state or a result its size.

    None if this version of Dask does not expose it, or if scanning every prefix
    would cost no more.
    """
    try:
        workers, prefixes = scheduler.workers, len(scheduler.task_prefixes)
        if prefixes <= len(workers):
            return None
        # Scattered data comes without a transition, and is some worker's.
        stored = sum(worker.nbytes for worker in workers.values())
        return scheduler.transition_counter, len(scheduler.tasks), prefixes, stored
    except AttributeError:
        return None
