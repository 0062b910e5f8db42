"""Reads the black box of a nanny's worker: what it shows while it is frozen, and how it died.

The worker has its nanny run `watch` when it starts: nothing of this package is in a
nanny whose worker has no black box. A nanny has no HTTP server. It tells the
scheduler, which lists and serves the pages (`postmortem.py`): over Dask's own
connections, so that no port is added and Dask's TLS holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import time
import zlib
from collections.abc import Coroutine
from typing import Any

from stethoscope._native import BlackBoxReader, parse

logger = logging.getLogger("distributed.stethoscope")

#: The scheduler's handlers: of a death, and of a worker that freezes or thaws.
DEATH = "stethoscope_death"
FROZEN = "stethoscope_frozen"
#: The nanny's handler that returns the page of its worker.
PAGE = "stethoscope_page"

#: Seconds between two looks at the worker.
INTERVAL = 1.0
#: A worker without a heartbeat for so many seconds is frozen, whatever its state.
FROZEN_AFTER = 10.0
#: Seconds that the scheduler has to answer, and until it is told again of a frozen worker.
TIMEOUT = 10.0
PAUSE = 30.0

#: The attribute in which a nanny keeps its attachment.
_ATTRIBUTE = "_stethoscope"


def watch(path: str, name: str, address: str, instance: str, dask_worker: Any) -> None:
    """Watch the process of a nanny's worker. Its worker has the nanny run this.

    `path` is the file of its black box, `instance` the host and port of its page.
    Dask passes the nanny as `dask_worker`.
    """
    watcher = getattr(dask_worker, _ATTRIBUTE, None)
    if watcher is None:
        watcher = Watcher(dask_worker)
        setattr(dask_worker, _ATTRIBUTE, watcher)
    watcher.open(path, name, address, instance)


class Watcher:
    """Watches the worker of one nanny. Used on the nanny's event loop."""

    def __init__(self, nanny: Any) -> None:
        self._nanny = nanny
        #: The file of the worker's process.
        self._reader: BlackBoxReader | None = None
        self._path = ""
        self._name = ""
        self._address = ""
        self._instance = ""
        #: The address of the worker that the scheduler takes for frozen.
        self._frozen: str | None = None
        #: How it is frozen, for the log.
        self._how = ""
        self._telling = False
        self._retry_at = 0.0
        #: False if the scheduler does not have this package.
        self._is_understood = True
        self._was_stopping = False
        self._oom_kills = 0
        self._tasks: set[asyncio.Task] = set()
        nanny.handlers[PAGE] = self._page
        self._loop = asyncio.get_running_loop()
        self._loop.call_later(INTERVAL, self._look)

    def open(self, path: str, name: str, address: str, instance: str) -> None:
        """Watch a process from now on."""
        self._reader = BlackBoxReader(path)
        self._path, self._name = path, name
        self._address, self._instance = address, instance
        self._oom_kills = oom_kills()
        self._was_stopping = False
        process = self._nanny.process
        exited = process.on_exit
        if getattr(exited, "__func__", None) is not Watcher._exited:
            self._exited_before = exited
            process.on_exit = self._exited

    def _page(self) -> dict[str, Any]:
        """Return the page of the worker as it stands."""
        if self._reader is None:
            return {"page": None}
        return {"page": _compress(self._reader.page())}

    def _look(self) -> None:
        if self._nanny.status.name in ("closed", "failed"):
            return
        self._loop.call_later(INTERVAL, self._look)
        process = self._nanny.process
        if process is not None:
            self._was_stopping = process.status.name == "stopping"
        if self._reader is not None and not os.path.exists(self._path):
            # The worker has closed its black box.
            self._reader = None
        address = self._address if self._is_frozen() else None
        is_time = not self._telling and time.monotonic() >= self._retry_at
        if address != self._frozen and is_time:
            self._telling = True
            self._start(self._tell_frozen(address))

    def _is_frozen(self) -> bool:
        if self._reader is None:
            return False
        try:
            state, age = self._reader.state()
        except (OSError, ValueError):
            return False
        if state == "stopped":
            self._how = "stopped, by a signal or a debugger"
            return True
        self._how = f"no progress for {age:.0f} s"
        return state == "running" and age > FROZEN_AFTER

    async def _tell_frozen(self, address: str | None) -> None:
        frozen = address is not None
        about, how = address or self._frozen, self._how
        try:
            answer = await self._tell(
                FROZEN,
                worker=about,
                name=self._name,
                instance=self._instance,
                nanny=self._nanny.address,
                frozen=frozen,
            )
            if answer == "OK":
                if frozen:
                    logger.warning("worker %s is frozen: %s", about, how)
                elif self._reader is not None and about == self._address:
                    logger.warning("worker %s runs again", about)
                self._frozen = address
            else:
                self._retry_at = time.monotonic() + PAUSE
        finally:
            self._telling = False

    def _exited(self, exitcode: int) -> None:
        try:
            self._examine(exitcode)
        except Exception:
            logger.exception("the black box of a dead worker cannot be read")
        self._exited_before(exitcode)

    def _examine(self, exitcode: int) -> None:
        reader, self._reader = self._reader, None
        if reader is None:
            return
        nanny, now = self._nanny, time.time()
        try:
            if exitcode != 0 and nanny.status.name not in ("closing", "closed"):
                name = _signal(exitcode)
                death = {
                    "signal": name,
                    # As on the pages of `stethoscope serve`.
                    "code": "" if name else str(exitcode),
                    "reason": self._reason(exitcode),
                }
                reader.died(list(death.items()), now)
                page = reader.page()
                logger.warning("%s", describe(self._address, death, page))
                told = self._tell(
                    DEATH,
                    worker=self._address,
                    name=self._name,
                    death=death,
                    instance=self._instance,
                    page=_compress(rename(page)),
                )
                self._start(told)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(self._path)

    def _reason(self, exitcode: int) -> str:
        """Return why the worker died, in a word."""
        if self._ended_for_memory():
            return "memory-limit"
        if exitcode == -signal.SIGKILL and oom_kills() > self._oom_kills:
            return "out-of-memory"
        if self._was_stopping:
            return "stop-timeout"
        return "signal" if _signal(exitcode) else "exit"

    def _ended_for_memory(self) -> bool:
        """Return whether the nanny has ended the worker, since it was over its limit."""
        pid = getattr(self._nanny.memory_manager, "_last_terminated_pid", -1)
        # The file is named PID-START.
        return os.path.basename(self._path).startswith(f"{pid}-")

    def _start(self, coroutine: Coroutine) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self, operation: str, **message: Any) -> Any:
        """Tell the scheduler. Returns its answer, or None if there is none."""
        if not self._is_understood:
            return None
        call = getattr(self._nanny.scheduler, operation)
        try:
            answer = await asyncio.wait_for(call(**message), TIMEOUT)
        except Exception as error:
            logger.warning(
                "the scheduler was not told of its worker: %s: %s", type(error).__name__, error
            )
            return None
        if not isinstance(answer, str):
            self._is_understood = False
            logger.warning(
                "the scheduler does not keep last pages: install and enable stethoscope there"
            )
        return answer


def _compress(page: bytes) -> bytes:
    # As gzip, so that the scheduler serves it as it is.
    compress = zlib.compressobj(wbits=31)
    return compress.compress(page) + compress.flush()


#: The beginnings of the families of a dead worker's page whose names stay as they are.
_OF_THE_DEAD = b"(?:process|death|heartbeat|segment)_"


def rename(page: bytes) -> bytes:
    """Put `postmortem_` before the names of what a dead worker has measured.

    No sum over the workers must count it, whatever its labels.
    """
    name = rb"(?m)^(# (?:HELP|TYPE) |)(?!stethoscope_" + _OF_THE_DEAD + rb")(?=[a-zA-Z_:])"
    return re.sub(name, rb"\1postmortem_", page)


def _signal(exitcode: int) -> str:
    """Return the name of the signal that a process died of, or an empty string."""
    try:
        return signal.Signals(-exitcode).name
    except ValueError:
        return ""


def oom_kills() -> int:
    """Return how many processes of this control group the kernel has killed for memory."""
    try:
        with open("/proc/self/cgroup") as file:
            groups = [line.rstrip("\n").split(":", 2) for line in file]
    except OSError:
        return 0
    for _, controllers, group in groups:
        # Version 2, or version 1 if that has the memory.
        if controllers not in ("", "memory"):
            continue
        file_name = "memory.oom_control" if controllers else "memory.events"
        root = os.path.join("/sys/fs/cgroup", controllers)
        # In a container the group's own name may not be below the root.
        for directory in (group.lstrip("/"), ""):
            try:
                with open(os.path.join(root, directory, file_name)) as file:
                    events = dict(line.split() for line in file)
                return int(events["oom_kill"])
            except (OSError, ValueError, KeyError):
                continue
    return 0


def describe(worker: str, death: dict[str, str], page: bytes) -> str:
    """Return a line for the log: how a worker died, and what it was doing."""
    from dask.utils import format_bytes

    values: dict[str, float] = {}
    executing = []
    for family in parse(page):
        # Without the namespace, which is configurable.
        for sample in family.samples:
            if sample.name.endswith("worker_executing") and sample.value:
                executing.append(f"{sample.labels.get('task_prefix_name')} ({sample.value:g})")
            elif not sample.labels or "process_" in sample.name:
                values[sample.name] = sample.value
    of = death["signal"] or f"exit code {death['code']}"
    text = f"worker {worker} died: {of} ({death['reason']})"
    resident = values.get("process_resident_memory_bytes")
    if resident is not None:
        text += f"; memory {format_bytes(int(resident))}"
        limits = [value for name, value in values.items() if name.endswith("memory_limit_bytes")]
        if limits:
            text += f" of {format_bytes(int(limits[0]))}"
    return f"{text}; executing {', '.join(executing) or 'nothing'}"
