"""Keeps and serves the last pages of workers that have died, and those of frozen ones.

Nannies (`nanny.py`) tell the scheduler. `/metrics/targets` lists each page as a
target of its own:

    /postmortem/ID   the last page of a dead worker
    /frozen/ID       the page of a frozen worker, which its nanny reads when asked

Their `job` is `stethoscope-postmortem` and `stethoscope-frozen`, their `instance` that of
the worker. A frozen worker's own page does not answer, and this one takes its place in
sums over the workers. That of a dead one must not be added to them: its families are
renamed.
"""

from __future__ import annotations

import asyncio
import re
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from stethoscope.dask.nanny import DEATH, FROZEN, PAGE, TIMEOUT

#: A page stays on the list until it was scraped so often, and for so many seconds,
ENOUGH_SCRAPES = 2
SHORTEST = 300.0
#: but not longer.
LONGEST = 3600.0
#: It is served for a while after that: Prometheus may still have the old list.
GRACE = 120.0
#: The most pages, and the most bytes of them, compressed. The oldest give way.
MOST_PAGES = 200
MOST_BYTES = 16 << 20
#: The most bytes of a page that a client gets which does not want it compressed.
MOST_PLAIN = 64 << 20

#: The most frozen workers on the list.
MOST_FROZEN = 1000

#: Pages, by kind.
POSTMORTEM_PATH = "/postmortem/"
FROZEN_PATH = "/frozen/"


@dataclass
class Postmortem:
    """The last page of a worker."""

    labels: dict[str, str]
    page: bytes
    since: float
    scrapes: int = 0
    unlisted_at: float | None = None


@dataclass
class _Frozen:
    nanny: str
    labels: dict[str, str]
    #: The time of the first request that the nanny has not answered, if it has answered
    #: none since.
    silent_since: float | None = None


class Postmortems:
    """The pages of one scheduler. Used on its event loop."""

    def __init__(self, scheduler: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._scheduler = scheduler
        self._clock = clock
        self._pages: dict[str, Postmortem] = {}
        self._frozen: dict[str, _Frozen] = {}
        self._next = 0
        #: Rises whenever the list changes.
        self.version = 0
        scheduler.handlers[DEATH] = self.died
        scheduler.handlers[FROZEN] = self.froze

    def close(self) -> None:
        """Hear of no more workers."""
        for operation in (DEATH, FROZEN):
            self._scheduler.handlers.pop(operation, None)

    def died(
        self, worker: str, name: str, instance: str, death: dict[str, str], page: bytes
    ) -> str:
        """Keep the last page of a worker, compressed by gzip."""
        self._thaw(worker)
        if len(page) > MOST_BYTES:
            return "too large"
        self._next += 1
        labels = {
            "job": "stethoscope-postmortem",
            "role": "postmortem",
            **_of_worker(worker, name, instance),
            # Other names than on the page, whose own labels would have to give way.
            **{f"exit_{key}": str(death.get(key, "")) for key in ("signal", "code", "reason")},
        }
        # Told apart from those of the scheduler that was here before it.
        identifier = f"{self._next}-{int(time.time())}"
        self._pages[identifier] = Postmortem(labels, bytes(page), self._clock())
        self.version += 1
        self._make_room()
        return "OK"

    def froze(self, worker: str, name: str, instance: str, nanny: str, frozen: bool) -> str:
        """Note that a worker is frozen, or no longer."""
        self._thaw(worker)
        if frozen and len(self._frozen) < MOST_FROZEN:
            labels = {
                "job": "stethoscope-frozen",
                "role": "frozen",
                **_of_worker(worker, name, instance),
            }
            self._frozen[_identifier(worker)] = _Frozen(nanny, labels)
            self.version += 1
        return "OK"

    def _thaw(self, worker: str) -> None:
        if self._frozen.pop(_identifier(worker), None) is not None:
            self.version += 1

    def expire(self) -> None:
        """Take pages off the list that were there for long enough, or whose nanny is gone."""
        now = self._clock()
        for identifier, frozen in list(self._frozen.items()):
            if frozen.silent_since is not None and now - frozen.silent_since > SHORTEST:
                del self._frozen[identifier]
                self.version += 1
        for identifier, kept in list(self._pages.items()):
            age = now - kept.since
            if kept.unlisted_at is not None:
                if now - kept.unlisted_at > GRACE:
                    del self._pages[identifier]
            elif age > LONGEST or (age > SHORTEST and kept.scrapes >= ENOUGH_SCRAPES):
                kept.unlisted_at = now
                self.version += 1

    def _make_room(self) -> None:
        while (
            len(self._pages) > MOST_PAGES
            or sum(len(kept.page) for kept in self._pages.values()) > MOST_BYTES
        ):
            # The first is the oldest.
            del self._pages[next(iter(self._pages))]
            self.version += 1

    def listed(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield path and labels of each page that is to be scraped."""
        for identifier, kept in self._pages.items():
            if kept.unlisted_at is None:
                yield POSTMORTEM_PATH + identifier, kept.labels
        for identifier, frozen in self._frozen.items():
            yield FROZEN_PATH + identifier, frozen.labels

    def last_page(self, identifier: str, *, counts: bool) -> bytes | None:
        """Return the last page of a dead worker, compressed. `counts` for a scrape."""
        kept = self._pages.get(identifier)
        if kept is None:
            return None
        kept.scrapes += counts
        return kept.page

    async def frozen_page(self, identifier: str) -> bytes | None:
        """Ask a nanny for the page of its frozen worker, compressed."""
        frozen = self._frozen.get(identifier)
        if frozen is None:
            return None
        ask = getattr(self._scheduler.rpc(frozen.nanny), PAGE)
        try:
            answer = await asyncio.wait_for(ask(), TIMEOUT)
        except Exception:
            if frozen.silent_since is None:
                frozen.silent_since = self._clock()
            raise
        frozen.silent_since = None
        return answer["page"] if isinstance(answer, dict) else None


def plain(page: bytes) -> bytes:
    """Return a page uncompressed, cut off where it is too large to be a page."""
    return zlib.decompressobj(wbits=31).decompress(page, MOST_PLAIN)


def _of_worker(worker: str, name: str, instance: str) -> dict[str, str]:
    # The instance would otherwise be the scheduler, which serves the page.
    return {"worker_name": str(name), "worker_address": str(worker), "instance": str(instance)}


def _identifier(worker: str) -> str:
    return re.sub("[^A-Za-z0-9.]+", "-", str(worker))
