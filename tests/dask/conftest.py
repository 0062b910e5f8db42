"""Fixtures: clusters of real processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import Cluster


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "newest: only on the newest Dask, to keep the run short")
    config.addinivalue_line(
        "markers", "soak: takes a minute or more; `make soak` and `make test-all`"
    )


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
        # Shown where the test has failed.
        print(cluster.logs())


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A scheduler and two workers under nannies, shared by the tests of a module."""
    # Spills from 51 MiB on.
    environment = {"DASK_DISTRIBUTED__WORKER__MEMORY__TARGET": "0.1"}
    with Cluster(tmp_path_factory.mktemp("cluster"), environment) as cluster:
        cluster.start_scheduler()
        cluster.start_workers(2)
        yield cluster


@pytest.fixture
def accepts(promtool: Callable[..., None]) -> Callable[[str], None]:
    """Fails on a page that `promtool check metrics` does not accept."""
    # Exit 3 is lint: names that are Dask's own, such as gauges ending in _count.
    return lambda text: promtool("check", "metrics", input=text, accept=(0, 3))
