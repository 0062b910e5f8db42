"""Probes to page: samples of a server, taken on its event loop.

A sample begins with the probes, which are cheap. A scheduler's task prefixes
may be thousands: they follow in slices, with the loop let go after each, and
only where a task has moved since they were taken.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from stethoscope._native import Page
from stethoscope.dask.probes import Probe, task_moves

logger = logging.getLogger("stethoscope.dask")

#: The most seconds for which prefixes are taken before others have their turn.
SLICE = 0.0005
#: Prefixes between two looks at the clock. One that is new takes some 25 us, for
#: each of its series is made; any other takes 0.2.
BATCH = 16
#: The most seconds for which they are left as they are: scattering the same data
#: to the same key again counts as a move that leaves no trace elsewhere.
LONGEST_REST = 1.0


class Sampler:
    """Takes samples of one server.

    A probe that fails, because this version of Dask lacks what it reads, costs
    its own family for as long as it fails and nothing else; the log says so
    once.
    """

    def __init__(
        self, server: Any, page: Page, probes: Mapping[str, Probe], columns: dict[str, str]
    ) -> None:
        """Take these probes, and of each task prefix these attributes.

        `columns` leads from what a column is to the attribute; empty for a
        server that has no prefixes.
        """
        self._server = server
        self._page = page
        self._families = list(probes)
        self._probes = list(probes.values())
        self._samples = page.samples(self._families)
        self._prefixes = page.prefixes(columns) if columns else None
        #: What there was to see of the tasks' moves when the prefixes were last
        #: taken, and when that began.
        self._moves: Any = None
        self._begun_at = float("-inf")
        self._told: set[str] = set()
        self._loop = asyncio.get_running_loop()
        #: Who is told when the sample that is being taken, and the next, is there.
        self._now: list[Callable[[], None]] | None = None
        self._next: list[Callable[[], None]] = []
        #: What the last sample took of the loop's time, and when it was there.
        self.seconds = 0.0
        self.taken_at = float("-inf")
        self._stopped = False

    def stop(self) -> None:
        """Take no more slices."""
        self._stopped = True

    def sample(self, done: Callable[[], None]) -> None:
        """Begin to read everything, and call `done` when it is on the page.

        While a sample is being taken, the next begins after it: this one may
        have read already what has changed since.
        """
        if self._now is not None:
            self._next.append(done)
            return
        self._now = [done]
        self.seconds = 0.0
        start = time.perf_counter()
        self._take_probes()
        if self._prefixes is not None and self._have_moved():
            self._prefixes.begin()
            self._take_slice(iter(list(self._server.task_prefixes.values())), start)
        else:
            self._finish(start)

    def _have_moved(self) -> bool:
        """Whether anything may be different of the prefixes since the last pass began."""
        moves, now = task_moves(self._server), time.monotonic()
        if moves is not None and moves == self._moves and now - self._begun_at < LONGEST_REST:
            return False
        self._moves, self._begun_at = moves, now
        return True

    def _take_slice(self, prefixes: Any, start: float | None = None) -> None:
        if self._stopped:
            return
        if start is None:
            start = time.perf_counter()
        try:
            while batch := list(itertools.islice(prefixes, BATCH)):
                self._prefixes.take(batch)
                if time.perf_counter() - start > SLICE:
                    self.seconds += time.perf_counter() - start
                    self._loop.call_soon(self._take_slice, prefixes)
                    return
        except Exception as error:
            self._moves = None
            self._tell("the tasks by prefix", error)
        self._prefixes.finish()
        self._finish(start)

    def _finish(self, start: float) -> None:
        self.seconds += time.perf_counter() - start
        self.taken_at = time.monotonic()
        self._page.sampled(self.seconds)
        told, self._now = self._now, None
        for done in told:
            done()
        if self._next:
            waiting, self._next = self._next, []
            self.sample(lambda: [done() for done in waiting])

    def _take_probes(self) -> None:
        server = self._server
        try:
            self._samples.publish([probe(server) for probe in self._probes])
        except Exception:
            for index, probe in enumerate(self._probes):
                try:
                    self._samples.publish_one(index, probe(server))
                except Exception as error:
                    self._samples.withdraw(index)
                    self._tell(self._families[index], error)

    def _tell(self, what: str, error: Exception) -> None:
        if what not in self._told:
            self._told.add(what)
            logger.warning("%s: not shown: %s: %s", what, type(error).__name__, error)
