"""Fixtures: clusters of real processes, and Debian's Prometheus."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import Cluster

_MISSING: set[str] = set()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "newest: only on the newest Dask, to keep the run short")


@pytest.fixture
def new_cluster(tmp_path: Path) -> Iterator[Callable[..., Cluster]]:
    """Make a cluster with some environment variables, without any process yet."""
    made: list[Cluster] = []

    def new(**environment: str) -> Cluster:
        made.append(Cluster(tmp_path, environment))
        return made[-1]

    yield new
    for cluster in made:
        cluster.__exit__()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A scheduler and two workers under nannies, shared by the tests of a module."""
    # Spills from 51 MiB on.
    environment = {"DASK_DISTRIBUTED__WORKER__MEMORY__TARGET": "0.1"}
    with Cluster(tmp_path_factory.mktemp("cluster"), environment) as cluster:
        cluster.start_scheduler()
        cluster.start_workers(2)
        yield cluster


def _debian_prometheus(tool: str) -> str:
    found = shutil.which(tool)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{tool} is missing, and must not be where CI is set")
        _MISSING.add(tool)
        pytest.skip(f"{tool} is missing: apt-get install prometheus")
    return found


@pytest.fixture
def promtool() -> Callable[[str], None]:
    """Fails on a page that `promtool check metrics` does not accept."""
    path = _debian_prometheus("promtool")

    def check(text: str) -> None:
        result = subprocess.run(
            [path, "check", "metrics"], input=text, capture_output=True, text=True, timeout=60
        )
        # Exit 3 is lint: names that are Dask's own, such as gauges ending in _count.
        assert result.returncode in (0, 3), result.stderr

    return check


@pytest.fixture
def prometheus() -> str:
    return _debian_prometheus("prometheus")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _MISSING:
        terminalreporter.write_line(
            f"NOT RUN: tests that need {', '.join(sorted(_MISSING))} (apt-get install prometheus)",
            red=True,
            bold=True,
        )
