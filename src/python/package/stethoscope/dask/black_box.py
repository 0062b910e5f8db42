"""Keeps a server's page in a file that outlives its process.

Unless the key `black-box` is false, the numbers of the page are words of a file in memory, which
others read while the process is stopped and after it has died: a worker's nanny
(`nanny.py`), and `stethoscope read`. A native thread brings it up to date every
second, with what only a scrape computes: memory, ages, medians.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

from stethoscope._native import BlackBox, Executing, Page
from stethoscope._signals import blocked_signals

logger = logging.getLogger("distributed.stethoscope")

#: Seconds between two heartbeats.
INTERVAL = 1.0

#: The failure that was logged last: of several servers in a process, one says it.
_logged: str | None = None


def make(*, is_asked_for: bool) -> tuple[BlackBox | None, str | None]:
    """Make the file of a server, or return the reason why there is none.

    The reason is a warning if the file was asked for.
    """
    global _logged
    try:
        box = BlackBox()
    except (OSError, ValueError) as error:
        reason = str(error)
        if reason != _logged:
            _logged = reason
            level = logging.WARNING if is_asked_for else logging.INFO
            logger.log(level, "the black box is unavailable: %s", reason)
        return None, reason
    return box, None


def keep(box: BlackBox, page: Page) -> None:
    """Bring the file up to date from now on, and count what children of the process count."""
    box.include_process()
    with blocked_signals():
        page.keep_in(box, INTERVAL)


#: The directory in which processes keep their metrics, for those that a task starts.
_DIRECTORY = "STETHOSCOPE_SEGMENT_DIR"


def pass_on(box: BlackBox) -> Callable[[], None]:
    """Have processes that tasks start keep their metrics beside this file. Return the reversal.

    Forked ones do anyway. `keep` adds what they count to the metrics of this process.
    """
    if os.environ.get(_DIRECTORY):
        return lambda: None
    os.environ[_DIRECTORY] = str(box.path.parent)

    def take_back() -> None:
        os.environ.pop(_DIRECTORY, None)

    return take_back


async def announce(worker: Any, box: BlackBox, instance: str) -> None:
    """Have a worker's nanny watch its process, if it has a nanny.

    `instance` is the host and port of its page.
    """
    if not worker.nanny:
        return
    from distributed.protocol.pickle import dumps

    def watch(dask_worker: Any, **about: str) -> str | None:
        # Sent as code, so that a nanny without this package says so without a traceback.
        try:
            from stethoscope.dask.nanny import watch
        except ImportError as error:
            return str(error)
        watch(**about, dask_worker=dask_worker)
        return None

    about = {
        "path": str(box.path),
        "name": str(worker.name),
        "address": worker.address,
        "instance": instance,
    }
    try:
        # The nanny's own handler: it need not have been attached to, and is of the same
        # environment, since it has started this process.
        answer = await worker.rpc(worker.nanny).run(function=dumps(watch), kwargs=dumps(about))
        if answer["status"] != "OK":
            raise RuntimeError(str(answer.get("exception_text", answer["status"])))
        if isinstance(missing := answer.get("result"), str):
            raise RuntimeError(f"it cannot load this package: {missing}")
    except Exception as error:
        if worker.status.name in ("closing", "closed"):
            return
        logger.warning("the nanny cannot read the black box: %s: %s", type(error).__name__, error)


class _Watched(set):
    """A set of a worker's tasks that are executing, which counts them on the page."""

    def __init__(self, tasks: set, executing: Executing) -> None:
        super().__init__()
        self._executing = executing
        for task in tasks:
            self.add(task)

    def add(self, task: Any) -> None:
        if task not in self:
            super().add(task)
            self._executing.begin(task.prefix)

    def discard(self, task: Any) -> None:
        if task in self:
            super().discard(task)
            self._executing.end(task.prefix)

    def remove(self, task: Any) -> None:
        super().remove(task)
        self._executing.end(task.prefix)


#: The sets of executing tasks of a worker's state.
_SETS = ("executing", "long_running")


def tap(worker: Any, page: Page) -> Callable[[], None]:
    """Count the tasks that a worker executes, as they begin and end. Return the reversal.

    Raises `AttributeError` if this version of Dask has no such sets.
    """
    from distributed.worker_state_machine import TaskState

    state = worker.state
    before = {name: getattr(state, name) for name in _SETS}
    if "prefix" not in TaskState.__annotations__:
        raise AttributeError("prefix")
    executing = page.executing()
    for name, tasks in before.items():
        setattr(state, name, _Watched(tasks, executing))

    def untap() -> None:
        for name in _SETS:
            setattr(state, name, set(getattr(state, name)))

    return untap
