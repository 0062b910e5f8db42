"""Ties a page to one server, and takes it off again."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from contextlib import ExitStack
from typing import Any

from stethoscope._native import Document, Page
from stethoscope.dask import digests, settings, shared
from stethoscope.dask.probes import PROBES
from stethoscope.dask.route import add_route
from stethoscope.dask.sampling import Sampler
from stethoscope.dask.settings import Settings
from stethoscope.dask.takeover import TakeOver, Unavailable
from stethoscope.dask.targets import Targets

logger = logging.getLogger("stethoscope.dask")

#: Dask's names of the values that arrive as events, and their families.
DIGESTS = {
    "scheduler": {},
    "worker": {
        "tick-duration": "dask_worker_tick_duration_median_seconds",
        "task-duration": "dask_worker_task_duration_median_seconds",
        "transfer-bandwidth": "dask_worker_transfer_bandwidth_median_bytes",
    },
}

#: Where a server keeps its attachment.
_ATTRIBUTE = "_stethoscope"


def attach(server: Any) -> Attachment | None:
    """Serve the metrics of a scheduler or worker, until it closes.

    Attaching again gives the same attachment. None where the configuration
    says no, and for what is neither scheduler nor worker or has no HTTP server. Must be
    called on the server's event loop.
    """
    attachment = getattr(server, _ATTRIBUTE, None)
    if attachment is not None:
        return attachment
    role = _role(server)
    wanted = settings.load()
    if role is None or not wanted.enabled:
        return None
    if not hasattr(server, "http_application"):
        logger.warning("this %s has no HTTP server to serve /metrics from", role)
        return None
    attachment = Attachment(server, role, wanted)
    setattr(server, _ATTRIBUTE, attachment)
    return attachment


def detach(server: Any) -> None:
    """Leave the server as it was before `attach`."""
    attachment = server.__dict__.pop(_ATTRIBUTE, None)
    if attachment is not None:
        attachment.close()


def _role(server: Any) -> str | None:
    from distributed import Scheduler, Worker

    if isinstance(server, Scheduler):
        return "scheduler"
    if isinstance(server, Worker):
        return "worker"
    return None


class Attachment:
    """All that is tied to one server.

    Each step that changes something of Dask's leaves its way back on a stack,
    so that a step that fails, and `close`, take back exactly what was done.
    """

    def __init__(self, server: Any, role: str, wanted: Settings) -> None:
        self._process = os.getpid()
        self._page = Page(role, wanted.window)
        self._sampler = Sampler(server, self._page, PROBES[role])
        self.targets: Targets | None = None
        with ExitStack() as undo:
            self._watch_gc(undo)
            self._tap_digests(undo, server, DIGESTS[role])
            shared.join(role, self._page)
            undo.callback(shared.leave, self._page)
            if role == "scheduler":
                self._list_targets(server)
            self.sample()
            self._sample_in_background(undo, wanted.background_interval)
            self._serve(undo, server, wanted)
            self._undo = undo.pop_all()

    def close(self) -> None:
        """Take everything off the server. May be called twice.

        A forked child has no such thread, and shares the selector of its
        parent's event loop: there it does nothing.
        """
        if os.getpid() == self._process:
            self._undo.close()

    def sample(self) -> None:
        """Bring page and targets up to date. On the event loop."""
        self._sampler.sample()
        if self.targets is not None:
            try:
                self.targets.refresh()
            except Exception as error:
                self._lose_targets(error)

    def render(self, accept: str) -> tuple[bytes, str]:
        """A page of fresh values, and its content type. On the event loop."""
        self.sample()
        return self._page.render(accept)

    def _watch_gc(self, undo: ExitStack) -> None:
        watcher = self._page.gc_watcher()
        gc.callbacks.append(watcher)
        undo.callback(gc.callbacks.remove, watcher)
        # Nothing that happens between the two is counted twice or lost: the
        # watcher counts from its first call on, and seeds what was before.
        watcher.seed(gc.get_stats)

    def _tap_digests(self, undo: ExitStack, server: Any, keys: dict[str, str]) -> None:
        if not hasattr(server, "digests"):
            logger.warning("%s: not shown, this server has no digests", ", ".join(keys.values()))
            return
        digests.tap(server, self._page, keys)
        undo.callback(digests.untap, server)

    def _sample_in_background(self, undo: ExitStack, interval: float) -> None:
        loop = asyncio.get_running_loop()

        def sample() -> None:
            self.sample()
            again()

        def again() -> None:
            self._timer = loop.call_later(interval, sample)

        again()
        undo.callback(lambda: self._timer.cancel())

    def _list_targets(self, scheduler: Any) -> None:
        try:
            self.targets = Targets(scheduler)
        except Exception as error:
            self._lose_targets(error)

    def _lose_targets(self, error: Exception) -> None:
        if self.targets is not None:
            # Better none than some that may be gone.
            self.targets.document.replace(b"[]")
            self.targets = None
        logger.warning("no list of targets: %s: %s", type(error).__name__, error)

    def _documents(self) -> list[Document]:
        return [] if self.targets is None else [self.targets.document]

    def _serve(self, undo: ExitStack, server: Any, wanted: Settings) -> None:
        add_route(undo, server)
        if wanted.serve == settings.TAKE_OVER:
            try:
                take_over = TakeOver(
                    server, self._page, self.sample, wanted.freshness, self._documents()
                )
            except Unavailable as why:
                logger.warning("/metrics is served by Dask's event loop: %s", why)
            else:
                undo.callback(take_over.give_back)
        # A server that was attached to by its routes alone tells nobody but
        # its HTTP server that it closes.
        http = server.http_server
        stop = http.stop

        def detach_and_stop() -> None:
            detach(server)
            stop()

        http.stop = detach_and_stop
        undo.callback(delattr, http, "stop")
