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

OURS = "stethoscope"
THEIRS = "Dask's own"

_ENVIRONMENTS = {
    # As many series as Dask's handler shows: without a cap on prefixes.
    OURS: {"DASK_DISTRIBUTED__STETHOSCOPE__MAX_TASK_PREFIXES": "1000000"},
    THEIRS: {"DASK_DISTRIBUTED__STETHOSCOPE__ENABLED": "false"},
}


@dataclass
class Side:
    """One of the two, with its cluster."""

    name: str
    cluster: Cluster
    prefixes: int = 0
    _kept: list = field(default_factory=list)

    @property
    def scheduler(self) -> str:
        """Where the scheduler's page is."""
        return self.cluster.scheduler_url

    def worker(self) -> tuple[str, str]:
        """A worker's address, and where its page is."""
        return next(iter(self.cluster.workers().items()))

    def grow(self, prefixes: int) -> None:
        """Have the scheduler know so many task prefixes, with a few tasks each."""
        client = self.cluster.client
        while self.prefixes < prefixes:
            some = range(self.prefixes, min(prefixes, self.prefixes + 500))
            keys = [f"prefix{number}-{task}" for number in some for task in range(3)]
            futures = client.map(nap, [0] * len(keys), key=keys)
            client.gather(futures)
            # Some are done and gone, some stay.
            self._kept += futures[::3]
            self.prefixes = some.stop


@contextmanager
def both() -> Iterator[list[Side]]:
    """Ours and theirs."""
    with ExitStack() as stack:
        sides = []
        for name, environment in _ENVIRONMENTS.items():
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            # What is run on a scheduler is imported there.
            paths = os.pathsep.join([str(TESTS), str(HERE)])
            cluster = stack.enter_context(Cluster(directory, {"PYTHONPATH": paths, **environment}))
            cluster.start_scheduler()
            cluster.start_workers(2)
            sides.append(Side(name, cluster))
        yield sides


class Scraper:
    """Scrapes one page over a connection that it keeps."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(
            urllib.parse.urlsplit(url).netloc, timeout=120
        )
        self._buffer = bytearray(16 << 20)
        #: Of the last page.
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


@dataclass
class Figure:
    """One line of the table: the same measured of both, and what it should be."""

    question: str
    unit: str
    goal: float
    at_least: bool = False
    measured: dict[str, list[float]] = field(default_factory=dict)

    def median(self, side: str) -> float | None:
        values = self.measured.get(side)
        return statistics.median(values) if values else None

    def worst(self, side: str) -> float | None:
        values = self.measured.get(side)
        return (min if self.at_least else max)(values) if values else None
