"""Probes to page: samples of a server, taken on its event loop.

A sample begins with the probes, which are cheap. A scheduler's task prefixes and
workers may be thousands: passes over them follow in slices, with the event loop
let go after each, and only if anything may have changed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from stethoscope._native import Page
from stethoscope.dask.passes import Pass
from stethoscope.dask.probes import Probe, Value

logger = logging.getLogger("distributed.stethoscope")

#: The most seconds that a pass takes before the event loop is let go.
SLICE = 0.0005

_END = object()


class Sampler:
    """Takes samples of one server.

    A failing probe removes only its own family from the page, for as long as it
    fails, and is logged once. A failing attribute of a task prefix only costs
    what the page shows of it for that prefix.
    """

    def __init__(
        self,
        server: Any,
        page: Page,
        probes: Mapping[str, Probe],
        passes: Iterable[Pass] = (),
    ) -> None:
        self._server = server
        self._page = page
        self._families = list(probes)
        self._probes = list(probes.values())
        self._samples = page.samples(self._families)
        self._passes = list(passes)
        self._warned: set[str] = set()
        self._loop = asyncio.get_running_loop()
        #: Callbacks that wait for the sample that is being taken, and for the next.
        self._now: list[Callable[[], None]] | None = None
        self._next: list[Callable[[], None]] = []
        #: The loop's time that the last sample took, and when it was finished.
        self.seconds = 0.0
        self.taken_at = float("-inf")
        self._stopped = False

    def stop(self) -> None:
        """Take no more samples. Callbacks that wait for one are called now."""
        self._stopped = True
        waiting, self._now, self._next = [*(self._now or ()), *self._next], None, []
        _call(waiting)

    def sample(self, done: Callable[[], None]) -> None:
        """Begin to read everything, and call `done` when it is on the page.

        `done` is called even if the sample fails. If a sample is being taken, the
        next one begins after it, since this one may already have read a value that
        has changed since.
        """
        if self._stopped:
            _call([done])
        elif self._now is not None:
            self._next.append(done)
        else:
            self._now = [done]
            self.seconds = 0.0
            self._step(self._steps())

    def _steps(self) -> Iterator[None]:
        """Take a sample; yield whenever the event loop is to be let go."""
        start = time.perf_counter()
        self._take_probes()
        for each in self._passes:
            if not each.is_due(self._server, self._warn_once):
                continue
            try:
                for _ in each.batches(self._server, self._warn_once):
                    if time.perf_counter() - start > SLICE:
                        yield
                        start = time.perf_counter()
            except Exception as error:
                each.failed()
                self._warn_once(each.what, error, "not brought up to date")

    def _step(self, steps: Iterator[None]) -> None:
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
                self._loop.call_soon(self._step, steps)

    def _finish(self) -> None:
        self.taken_at = time.monotonic()
        self._page.sampled(self.seconds)
        waiting, self._now = self._now, None
        _call(waiting or ())
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
                self._warn_once(self._families[len(values)], error)
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
                self._warn_once(self._families[index], error)

    def _warn_once(
        self, what: str, error: Exception, consequence: str = "not shown", *of: Any
    ) -> None:
        if what not in self._warned:
            self._warned.add(what)
            logger.warning(f"%s: {consequence}: %s: %s", what, *of, type(error).__name__, error)


def _call(callbacks: Iterable[Callable[[], None]]) -> None:
    """Call each, even if others fail."""
    for callback in callbacks:
        try:
            callback()
        except Exception:
            logger.exception("%r cannot be told that a sample is taken", callback)
