"""Ties a page to one server, and takes it off again."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import time
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from stethoscope._errors import Unavailable
from stethoscope._native import Document
from stethoscope.dask import black_box, digests, process_metrics, settings, targets
from stethoscope.dask.dedicated_port import DedicatedPort
from stethoscope.dask.passes import passes
from stethoscope.dask.postmortem import Postmortems
from stethoscope.dask.probes import probes
from stethoscope.dask.route import add_route
from stethoscope.dask.sampling import Sampler
from stethoscope.dask.settings import Settings
from stethoscope.dask.status import Status
from stethoscope.dask.takeover import TakeOver
from stethoscope.dask.targets import Targets

logger = logging.getLogger("distributed.stethoscope")

#: Dask's names of the values that arrive one by one, and the page's.
DIGESTS = {
    "scheduler": {"tick-duration": "tick"},
    "worker": {
        "tick-duration": "tick",
        "task-duration": "task",
        "transfer-bandwidth": "transfer",
    },
}

#: The share of the loop's time that samples may take that no scrape has asked for,
#: and the longest that they are put off for it, in seconds: the sample that meets
#: thousands of prefixes for the first time is expensive, and the next is not.
BACKGROUND_SHARE = 0.0005
LONGEST_PAUSE = 30.0

#: The share of the loop's time that samples for scrapes may take, and the least
#: time between two of them, in seconds.
SCRAPE_SHARE = 0.05
LEAST_REST = 0.01

#: The attribute in which a server keeps its attachment.
_ATTRIBUTE = "_stethoscope"

#: The reason why a server is not attached, as far as it was decided here. For the doctor.
_absences: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
DISABLED = "disabled"
DETACHED = "detached"


def pause_after(seconds: float, interval: float) -> float:
    """Return the pause before the next background sample, after one of so many seconds."""
    return max(interval, min(seconds / BACKGROUND_SHARE, LONGEST_PAUSE))


def rest_after(seconds: float) -> float:
    """Return how long scrapes do without a sample after one of so many seconds.

    So that a client which scrapes without pause takes little of the event loop.
    `Listener` keeps to the same rule before it wakes the loop.
    """
    return max(LEAST_REST, seconds / SCRAPE_SHARE)


def attach(server: Any, *, even_if_disabled: bool = False) -> Attachment | None:
    """Serve the metrics of a scheduler or worker until it closes.

    Attaching again returns the same attachment. Returns None if the configuration
    switches the metrics off, unless `even_if_disabled`, and for an object that is
    not a scheduler or worker or has no HTTP server. Must be called on the server's
    event loop.
    """
    attachment = attachment_of(server)
    if attachment is not None:
        return attachment
    role = _role(server)
    wanted = settings.load()
    if role is None:
        return None
    if not (wanted.enabled or even_if_disabled):
        _absences[server] = DISABLED
        return None
    if not hasattr(server, "http_application"):
        logger.warning("this %s has no HTTP server to serve /metrics from", role)
        return None
    try:
        attachment = Attachment(server, role, wanted)
    except Exception as error:
        _absences[server] = f"failed: {type(error).__name__}: {error}"
        raise
    setattr(server, _ATTRIBUTE, attachment)
    _absences.pop(server, None)
    return attachment


def detach(server: Any) -> None:
    """Leave the server as it was before `attach`."""
    attachment = server.__dict__.pop(_ATTRIBUTE, None)
    if attachment is not None:
        _absences[server] = DETACHED
        attachment.close()


def attachment_of(server: Any) -> Attachment | None:
    """Return the attachment of a server, or None if there is none."""
    return getattr(server, _ATTRIBUTE, None)


def absence_of(server: Any) -> str | None:
    """Return why a server is not attached: `DISABLED`, `DETACHED` or `"failed: ..."`.

    Returns None if it is attached, and if nothing has tried to attach to it.
    """
    return _absences.get(server)


def _role(server: Any) -> str | None:
    from distributed import Scheduler, Worker

    if isinstance(server, Scheduler):
        return "scheduler"
    if isinstance(server, Worker):
        return "worker"
    return None


def _worker_name(server: Any, role: str) -> str | None:
    return str(server.name) if role == "worker" else None


class Attachment:
    """All that is tied to one server.

    Each step that changes something of Dask's puts its reversal on a stack, so that
    a failing step, and `close`, undo exactly what was done.
    """

    def __init__(self, server: Any, role: str, wanted: Settings) -> None:
        self._process = os.getpid()
        self.status = Status(server, role, wanted.serve)
        self._box = None
        if wanted.black_box:
            is_asked_for = wanted.black_box is True
            self._box, reason = black_box.make(is_asked_for=is_asked_for)
            self.status.black_box(self._box, reason, is_asked_for=is_asked_for)
        self._page = settings.make_page(
            role, wanted, worker_name=_worker_name(server, role), black_box=self._box
        )
        self._sampler = Sampler(server, self._page, probes(role), passes(role, server, self._page))
        self.targets: Targets | None = None
        #: The last pages of workers that have died, which schedulers keep.
        self.postmortems: Postmortems | None = None
        #: How the page is served: as configured, or `"route"` if that has failed.
        self.mode = settings.ROUTE
        with ExitStack() as undo:
            if self._box is not None:
                undo.callback(self._box.close)
                black_box.keep(self._box, self._page)
                # The process is Dask's, and may have what Dask's tasks are to have.
                if role == "worker" and server.nanny:
                    undo.callback(black_box.pass_on(self._box))
            self._watch_gc(undo)
            self._tap(undo, server, role)
            process_metrics.join(role, self._page, wanted.prometheus_client)
            undo.callback(process_metrics.leave, self._page)
            if role == "scheduler":
                self._list_targets(undo, server, wanted)
            else:
                undo.callback(targets.announce(server, wanted))
            self.sample(lambda: None)
            self._sample_in_background(undo, wanted.refresh_interval)
            self._serve(undo, server, wanted)
            if role == "worker" and self._box is not None:
                instance = targets.host_and_port(targets.location(server, wanted), server.address)
                announcement = black_box.announce(server, self._box, instance)
                self._announcement = asyncio.create_task(announcement)
            self._undo = undo.pop_all()

    def close(self) -> None:
        """Take everything off the server. May be called twice.

        A forked child has no such thread, and shares the selector of its
        parent's event loop: there it does nothing.
        """
        if os.getpid() == self._process:
            self._undo.close()

    def sample(self, done: Callable[[], None]) -> None:
        """Bring page and targets up to date, and call `done` then. On the event loop."""
        if self.targets is not None:
            try:
                self.targets.refresh()
            except Exception as error:
                self._lose_targets(error)
        self._sampler.sample(done)

    async def up_to_date(self) -> None:
        """Return when page and targets are fresh."""
        if time.monotonic() - self._sampler.taken_at < rest_after(self._sampler.seconds):
            return
        there = asyncio.get_running_loop().create_future()
        self.sample(lambda: there.done() or there.set_result(None))
        await there

    def respond(
        self, query: str, accept: str, accept_encoding: str
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Answer a request for the page as it stands: status, headers, body."""
        return self._page.respond(query, accept, accept_encoding)

    def _watch_gc(self, undo: ExitStack) -> None:
        watcher = self._page.gc_watcher()
        gc.callbacks.append(watcher)
        undo.callback(gc.callbacks.remove, watcher)
        # Nothing that happens between the two is counted twice or lost: the
        # watcher counts from its first call on, and seeds what was before.
        watcher.seed(gc.get_stats)

    def _tap(self, undo: ExitStack, server: Any, role: str) -> None:
        if hasattr(server, "digests"):
            digests.tap(server, self._page, DIGESTS[role])
            undo.callback(digests.untap, server)
        else:
            logger.warning("tick and median metrics are unavailable: the server has no digests")
        if role == "worker" and self._box is not None:
            try:
                undo.callback(black_box.tap(server, self._page))
            except AttributeError as error:
                logger.warning("dask_worker_executing is unavailable: no %s", error)
        if role == "scheduler":
            try:
                undo.callback(digests.tap_finished_tasks(server, self._page))
            except (AttributeError, KeyError) as error:
                logger.warning("task duration metrics are unavailable: no %s", error)

    def _sample_in_background(self, undo: ExitStack, interval: float) -> None:
        loop = asyncio.get_running_loop()

        def turn() -> None:
            # A scrape may have asked for a sample meanwhile.
            if time.monotonic() - self._sampler.taken_at >= interval / 2:
                self.sample(again)
            else:
                again()

        def again() -> None:
            self._timer = loop.call_later(pause_after(self._sampler.seconds, interval), turn)

        again()
        undo.callback(lambda: self._timer.cancel())
        # Before that: it tells `again`, if a sample is being taken.
        undo.callback(self._sampler.stop)

    def _list_targets(self, undo: ExitStack, scheduler: Any, wanted: Settings) -> None:
        # A scheduler may learn of black boxes although it has none itself.
        self.postmortems = Postmortems(scheduler)
        undo.callback(self.postmortems.close)
        try:
            self.targets = Targets(scheduler, wanted, self.postmortems)
            undo.callback(self.targets.close)
        except Exception as error:
            self._lose_targets(error)

    def _lose_targets(self, error: Exception) -> None:
        if self.targets is not None:
            self.targets.close()
            self.targets = None
        logger.warning("the list of targets is unavailable: %s: %s", type(error).__name__, error)

    def _documents(self) -> list[Document]:
        documents = [self.status.document]
        return documents if self.targets is None else [*documents, self.targets.document]

    def _serve(self, undo: ExitStack, server: Any, wanted: Settings) -> None:
        add_route(undo, server, attach)
        try:
            if wanted.serve == settings.TAKE_OVER:
                take_over = TakeOver(
                    server, self._page, self.sample, wanted.refresh_timeout, self._documents()
                )
                undo.callback(take_over.restore_port)
                self.mode = wanted.serve
            elif wanted.serve == settings.DEDICATED_PORT:
                own = DedicatedPort(
                    server,
                    self._page,
                    wanted.address,
                    self.sample,
                    wanted.refresh_timeout,
                    self._documents(),
                )
                undo.callback(own.withdraw)
                self.mode = wanted.serve
                if self.targets is not None:
                    self.targets.relocate()
        except Unavailable as why:
            logger.warning("/metrics is served by Dask's event loop: %s", why)
            self.status.update(self.mode, str(why))
        # A server that was attached to by its routes alone tells only its HTTP
        # server that it closes.
        http = server.http_server
        stop = http.stop

        def detach_and_stop() -> None:
            detach(server)
            stop()

        http.stop = detach_and_stop
        undo.callback(delattr, http, "stop")
