"""The two that are compared: this package, and Dask's own handler.

Each has a scheduler and two workers, started alike and alive at the same time;
what is measured is measured in turns.
"""

from __future__ import annotations

import http.client
import os
import statistics
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
TESTS = HERE.parents[1] / "tests" / "dask"
sys.path.insert(0, str(TESTS))

from harness import Cluster  # noqa: E402
from tasks import nap  # noqa: E402

from stethoscope.dask.settings import Settings  # noqa: E402

OURS = "stethoscope"
THEIRS = "Dask's own"

#: As many series as Dask's handler shows, which has no such cap.
CAP = 10_000
DEFAULT_CAP = Settings().max_task_prefixes

_ENVIRONMENTS = {
    OURS: {"DASK_DISTRIBUTED__STETHOSCOPE__MAX_TASK_PREFIXES": str(CAP)},
    THEIRS: {"DASK_DISTRIBUTED__STETHOSCOPE__ENABLED": "false"},
}


@dataclass
class Side:
    """One of the two, with its cluster."""

    name: str
    cluster: Cluster
    prefixes: int = 0
    #: Prefixes that have series.
    cap: int = CAP
    _kept: list = field(default_factory=list)

    @property
    def scheduler(self) -> str:
        """The address of the scheduler's page."""
        return self.cluster.scheduler_url

    def worker(self) -> tuple[str, str]:
        """A worker's address, and that of its page."""
        return next(iter(self.cluster.workers().items()))

    def grow(self, prefixes: int) -> None:
        """Have the scheduler know so many task prefixes."""
        client = self.cluster.client
        while self.prefixes < prefixes:
            some = range(self.prefixes, min(prefixes, self.prefixes + 500))
            keys = [f"prefix{number}-0" for number in some]
            futures = client.map(nap, [0] * len(keys), key=keys)
            client.gather(futures)
            # The task of every other is done and gone, and else it stays.
            self._kept += futures[::2]
            self.prefixes = some.stop
            self._check()

    def _check(self) -> None:
        """The page has them all, unless they are beyond a cap."""
        scrape = Scraper(self.scheduler)
        # The first may be answered before the loop has taken thousands.
        for _ in range(20):
            scrape()
            shown = scrape.page().count(b"\ndask_scheduler_tasks_compute_seconds_total{")
            if shown >= min(self.prefixes, self.cap):
                return
        raise AssertionError(f"{self.name}: {shown} of {self.prefixes} prefixes are on the page")


@contextmanager
def both() -> Iterator[list[Side]]:
    """Ours and theirs."""
    with ExitStack() as stack:
        yield [
            Side(name, stack.enter_context(_cluster(environment)))
            for name, environment in _ENVIRONMENTS.items()
        ]


@contextmanager
def capped() -> Iterator[Side]:
    """Ours as it comes, with the cap on prefixes that it has by default."""
    with _cluster({}) as cluster:
        yield Side(OURS, cluster, cap=DEFAULT_CAP)


@contextmanager
def _cluster(environment: dict[str, str]) -> Iterator[Cluster]:
    # What is run on a scheduler is imported there.
    paths = os.pathsep.join([str(TESTS), str(HERE)])
    with (
        tempfile.TemporaryDirectory() as directory,
        Cluster(Path(directory), {"PYTHONPATH": paths, **environment}) as cluster,
    ):
        cluster.start_scheduler()
        cluster.start_workers(2)
        yield cluster


class Scraper:
    """Scrapes one page over a connection that it keeps."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(
            urllib.parse.urlsplit(url).netloc, timeout=120
        )
        self._buffer = bytearray(16 << 20)
        #: The size of the last page.
        self.bytes = 0

    def __call__(self) -> tuple[float, float]:
        """Scrape; from when to when, by `perf_counter`, which processes share."""
        start = time.perf_counter()
        self._connection.request("GET", "/metrics", headers={"Accept": "text/plain;version=0.0.4"})
        response = self._connection.getresponse()
        self.bytes = 0
        while read := response.readinto(memoryview(self._buffer)[self.bytes :]):
            self.bytes += read
        end = time.perf_counter()
        assert response.status == 200
        assert self._buffer.startswith(b"# HELP ")
        return start, end

    def page(self) -> bytes:
        """The response that was read last."""
        return bytes(memoryview(self._buffer)[: self.bytes])

    def value(self, series: str) -> float:
        """A value on it."""
        start = self._buffer.index(f"\n{series} ".encode(), 0, self.bytes) + len(series) + 2
        return float(self._buffer[start : self._buffer.index(b"\n", start)])


@dataclass
class Figure:
    """One line of the table: the same measured of both, and what it should be."""

    question: str
    unit: str
    #: None for what is there to be compared with.
    goal: float | None = None
    at_least: bool = False
    #: The goal for the worst value, if there is one.
    worst_goal: float | None = None
    measured: dict[str, list[float]] = field(default_factory=dict)

    def median(self, side: str) -> float | None:
        values = self.measured.get(side)
        return statistics.median(values) if values else None

    def worst(self, side: str) -> float | None:
        values = self.measured.get(side)
        return (min if self.at_least else max)(values) if values else None

    def reached(self, side: str) -> bool:
        """Whether it is as it should be."""
        median, worst = self.median(side), self.worst(side)
        if self.goal is None:
            return True
        if self.at_least:
            return median >= self.goal
        return median <= self.goal and (self.worst_goal is None or worst <= self.worst_goal)
