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
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from stethoscope._native import Page
from stethoscope.dask.probes import Probe, Value, task_moves

logger = logging.getLogger("distributed.stethoscope")

#: The most seconds for which prefixes are taken before others have their turn.
SLICE = 0.0005
#: Prefixes between two looks at the clock. One that is new takes some 25 us, for
#: each of its series is made; any other takes 0.2.
BATCH = 16
#: The most seconds for which they are left as they are: scattering the same data
#: to the same key again counts as a move that leaves no trace elsewhere.
LONGEST_REST = 1.0

_END = object()


class Sampler:
    """Takes samples of one server.

    What fails, because this version of Dask lacks what it reads or has something
    else there, costs no more than itself for as long as it fails, and the log
    says so once: a probe its family, and an attribute of a task prefix what the
    page says of it for that prefix.
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
        """Take no more. Who waits for a sample is told now."""
        self._stopped = True
        waiting, self._now, self._next = [*(self._now or ()), *self._next], None, []
        _call(waiting)

    def sample(self, done: Callable[[], None]) -> None:
        """Begin to read everything, and call `done` when it is on the page.

        `done` is called whatever becomes of the sample. While one is being taken,
        the next begins after it: this one may have read already what has changed
        since.
        """
        if self._stopped:
            _call([done])
        elif self._now is not None:
            self._next.append(done)
        else:
            self._now = [done]
            self.seconds = 0.0
            self._go_on(self._steps())

    def _steps(self) -> Iterator[None]:
        """A sample. Yields where others are to have their turn."""
        start = time.perf_counter()
        self._take_probes()
        if self._prefixes is None or not self._have_moved():
            return
        try:
            prefixes = iter(list(self._server.task_prefixes.values()))
            self._prefixes.begin()
            while batch := list(itertools.islice(prefixes, BATCH)):
                for attribute, prefix, error in self._prefixes.take(batch):
                    what = f"{attribute} of task prefixes"
                    self._tell(what, error, "not known of %r", prefix)
                if time.perf_counter() - start > SLICE:
                    yield
                    start = time.perf_counter()
            self._prefixes.finish()
        except Exception as error:
            # Not finished: what has not been reached is not gone.
            self._moves = None
            self._tell("the tasks by prefix", error, "not brought up to date")

    def _go_on(self, steps: Iterator[None]) -> None:
        if self._stopped:
            return
        start = time.perf_counter()
        has_ended = True
        try:
            has_ended = next(steps, _END) is _END
        finally:
            self.seconds += time.perf_counter() - start
            if has_ended:
                self._finish()
            else:
                self._loop.call_soon(self._go_on, steps)

    def _have_moved(self) -> bool:
        """Whether anything may be different of the prefixes since the last pass began."""
        try:
            moves = task_moves(self._server)
        except Exception as error:
            moves = None
            self._tell("the moves of tasks", error, "each prefix is looked at instead")
        now = time.monotonic()
        if moves is not None and moves == self._moves and now - self._begun_at < LONGEST_REST:
            return False
        self._moves, self._begun_at = moves, now
        return True

    def _finish(self) -> None:
        self.taken_at = time.monotonic()
        self._page.sampled(self.seconds)
        told, self._now = self._now, None
        _call(told)
        if self._next:
            waiting, self._next = self._next, []
            self.sample(lambda: _call(waiting))

    def _take_probes(self) -> None:
        server = self._server
        values: list[Value] = []
        for probe in self._probes:
            try:
                values.append(probe(server))
            except Exception as error:
                self._tell(self._families[len(values)], error)
                values.append(None)
        try:
            self._samples.publish(values)
        except Exception:
            self._publish_each(values)

    def _publish_each(self, values: list[Value]) -> None:
        for index, value in enumerate(values):
            try:
                self._samples.publish_one(index, value)
            except Exception as error:
                self._samples.withdraw(index)
                self._tell(self._families[index], error)

    def _tell(self, what: str, error: Exception, so: str = "not shown", *of: Any) -> None:
        if what not in self._told:
            self._told.add(what)
            logger.warning(f"%s: {so}: %s: %s", what, *of, type(error).__name__, error)


def _call(those: Iterable[Callable[[], None]]) -> None:
    """Call each, whatever becomes of the others."""
    for done in those:
        try:
            done()
        except Exception:
            logger.exception("%r cannot be told that a sample is taken", done)
