"""Tasks for the tests' clusters. Importable on the workers."""

from __future__ import annotations

import os
import time
from typing import Any

from dask.sizeof import sizeof
from distributed import Event, Semaphore


def nap(seconds: float, _: Any = None) -> float:
    time.sleep(seconds)
    return seconds


def wait_for(event: str, _: Any = None) -> None:
    Event(event).wait()


def use(semaphore: Semaphore, _: Any = None) -> None:
    with semaphore:
        time.sleep(0.01)


def fail(_: Any = None) -> None:
    raise ValueError("as the test wants it")


def block(size: int, _: Any = None) -> bytes:
    return os.urandom(size)


def count_with_labels_of_the_page() -> None:
    """Count in two libraries, with labels that the page may have as well."""
    import prometheus_client

    import stethoscope

    own = stethoscope.counter("own", labels=["cluster", "worker_name"])
    own.labels("mine", "bob").inc()
    prometheus_client.Gauge("library", "", ["cluster"]).labels("theirs").set(2)


class Measured:
    """An object that has, to Dask, any size it is given."""

    def __init__(self, size: Any) -> None:
        self.size = size


def measured(size: Any, _: Any = None) -> Measured:
    return Measured(size)


@sizeof.register(Measured)
def _measure(result: Measured) -> Any:
    return result.size


def lengths(*blocks: bytes) -> int:
    return sum(map(len, blocks))


def hold_gil(seconds: float) -> tuple[float, float]:
    """Hold the GIL for at least `seconds` without a break; return when that was.

    One power of a big integer is one call into C that never lets go. The
    exponent grows by half, and so the time about doubles, until a power lasts.
    """
    exponent = 100_000
    while True:
        start = time.time()
        7**exponent
        end = time.time()
        if end - start >= seconds:
            return start, end
        exponent += exponent // 2


def count_rows(kind: str) -> None:
    """Count in this process."""
    import stethoscope

    stethoscope.counter("child_rows", "Rows.", labels=["kind"]).labels(kind).inc(3)
    stethoscope.histogram("child_seconds", buckets=[1, 60]).observe(2)
    stethoscope.gauge("child_depth").set(1)


def count_in_pool(method: str, times: int, counter: str = "") -> None:
    """Count in the processes of a pool: rows, or in another counter."""
    import concurrent.futures
    import multiprocessing

    context = multiprocessing.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        function, argument = (count, counter) if counter else (count_rows, method)
        list(pool.map(function, [argument] * times))


def count(counter: str) -> None:
    import stethoscope

    stethoscope.counter(counter).inc()
