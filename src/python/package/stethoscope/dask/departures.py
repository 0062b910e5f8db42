"""Counts the workers that left a scheduler, by reason.

The scheduler does not keep why a worker left, but its events tell: the worker's
own farewell, the nanny's notice that the memory was exceeded, and the removal.
They arrive around the departure in any order, so it is judged some seconds later.
No plugin is needed, which would cost each transition of a task.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

#: Seconds from a departure to its judgement.
SETTLING = 3.0
#: Seconds before a departure was noticed within which its events are looked for.
LOOK_BACK = 60.0
#: The reasons, as the catalogue has them.
REASONS = ("closed", "retired", "lost", "memory", "restarted")


class Departures:
    """A probe of a scheduler that returns how many workers left, by reason."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(REASONS, 0)
        #: The workers of the sample before, by address.
        self._known: dict[str, Any] | None = None
        #: Addresses of workers that left, with the time when that was noticed.
        self._unjudged: list[tuple[float, str]] = []
        #: The scheduler's counts of workers that came and left, and when it was asked.
        self._changes: tuple[int | None, int | None] = (None, None)
        self._sampled_at = time.time()

    def __call__(self, scheduler: Any) -> dict[str, int]:
        now = time.time()
        changes = (
            getattr(scheduler, "_workers_added_total", None),
            getattr(scheduler, "_workers_removed_total", None),
        )
        if None in changes or changes != self._changes:
            gone = self._gone(scheduler, changes[1])
            self._unjudged += [(now, address) for address in gone]
            self._changes = changes
        self._sampled_at = now
        while self._unjudged and now - self._unjudged[0][0] >= SETTLING:
            noticed, address = self._unjudged.pop(0)
            self._counts[reason(scheduler, address, noticed - LOOK_BACK)] += 1
        return self._counts

    def _gone(self, scheduler: Any, removed: int | None) -> list[str]:
        """Return the addresses of the workers that left since the sample before."""
        known, self._known = self._known, dict(scheduler.workers)
        if known is None:
            return []
        # A restarted worker may have the address that it had.
        gone = [
            address for address, worker in known.items() if self._known.get(address) is not worker
        ]
        before = self._changes[1]
        if removed is not None and before is not None and removed - before > len(gone):
            # Some came and left between two samples: only the events know them.
            for event in _events(scheduler, "all", self._sampled_at):
                if event.get("action") == "remove-worker" and event.get("worker") not in gone:
                    gone.append(str(event.get("worker")))
        return gone


def reason(scheduler: Any, address: str, since: float) -> str:
    """Say why a worker left that was there after `since`, in seconds since 1970."""
    for event in _events(scheduler, "worker-restart-memory", since):
        if event.get("worker") == address:
            return "memory"
    # The causes that the worker and the scheduler give.
    causes: list[str] = []
    closed = expected = False
    for event in _events(scheduler, address, since):
        if event.get("action") == "closing-worker":
            closed = True
            causes.append(str(event.get("reason")))
        elif event.get("action") == "remove-worker":
            # Called `safe` before 2024.5.
            expected = bool(event.get("expected", event.get("safe", False)))
            causes.append(str(event.get("stimulus_id")))
    if any("worker-ttl" in cause for cause in causes):
        return "lost"
    if any("restart" in cause for cause in causes):
        return "restarted"
    if expected or any("retire" in cause for cause in causes):
        return "retired"
    return "closed" if closed else "lost"


def _events(scheduler: Any, topic: str, since: float) -> Iterator[dict[str, Any]]:
    """Yield the events of a topic."""
    for at, event in scheduler.get_events(topic) or ():
        if at >= since and isinstance(event, dict):
            yield event
