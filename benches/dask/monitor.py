"""How long an event loop does not come round. Runs in the process of the loop."""

from __future__ import annotations

import asyncio
import time

#: Shorter turns are not worth a word: an idle one takes some 20 us.
WORTH = 100e-6


class Monitor:
    """Comes round as often as the loop does, and writes down when that took long.

    It keeps the loop from ever sleeping, so each long turn is one in which
    something else ran, or in which the machine did.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._running = True
        self._long: list[tuple[float, float, float]] = []
        self._last = time.perf_counter()
        self._last_cpu = time.thread_time()
        self._loop.call_soon(self._turn)

    def stop(self) -> list[tuple[float, float, float]]:
        """Each long turn: from when to when by `perf_counter`, and the CPU time of it."""
        self._running = False
        return self._long

    def _turn(self) -> None:
        now, cpu = time.perf_counter(), time.thread_time()
        if now - self._last > WORTH:
            self._long.append((self._last, now, cpu - self._last_cpu))
        self._last, self._last_cpu = now, cpu
        if self._running:
            self._loop.call_soon(self._turn)


def start(dask_scheduler) -> None:
    """For `run_on_scheduler`."""
    dask_scheduler._monitor = Monitor()


def stop(dask_scheduler) -> list[tuple[float, float, float]]:
    """For `run_on_scheduler`: what the monitor has seen."""
    return dask_scheduler._monitor.stop()
