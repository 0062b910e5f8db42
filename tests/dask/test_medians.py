"""Known durations give known medians."""

from __future__ import annotations

import math

import pytest
from harness import Cluster, Page, eventually, scrape
from tasks import nap

MEDIANS = [
    "dask_worker_tick_duration_median_seconds",
    "dask_worker_task_duration_median_seconds",
    "dask_worker_transfer_bandwidth_median_bytes",
]


def feed(key: str, values: list[float]):
    """For a worker: what its server does with each value that it measures."""

    def run(dask_worker) -> None:
        for value in values:
            dask_worker.digests[key].add(value)

    return run


@pytest.fixture
def worker(new_cluster) -> tuple[Cluster, str, str]:
    cluster = new_cluster()
    cluster.start_scheduler()
    cluster.start_worker()
    address, url = next(iter(cluster.workers().items()))
    return cluster, address, url


def test_median_is_nan_until_the_first_task(worker) -> None:
    cluster, address, url = worker
    page = scrape(url)
    assert math.isnan(page.value("dask_worker_task_duration_median_seconds"))
    assert math.isnan(page.value("dask_worker_transfer_bandwidth_median_bytes"))
    # The event loop ticks, whatever happens.
    eventually(lambda: scrape(url).value("dask_worker_tick_duration_median_seconds") > 0)

    cluster.of_worker(address, feed("task-duration", [2.0]))
    assert scrape(url).value("dask_worker_task_duration_median_seconds") == pytest.approx(
        2.0, rel=0.01
    )


def test_median_ignores_one_long_task_among_many_short_ones(worker) -> None:
    cluster, _, url = worker
    client = cluster.client
    client.gather([client.submit(nap, 3, pure=False), *client.map(nap, [0.02] * 100, range(100))])
    median = scrape(url).value("dask_worker_task_duration_median_seconds")
    # A nap is never short, and on a busy machine somewhat longer than asked for.
    assert 0.02 * 0.99 <= median < 0.1


@pytest.mark.newest
@pytest.mark.parametrize(
    ("key", "family"), [("task-duration", MEDIANS[1]), ("transfer-bandwidth", MEDIANS[2])]
)
def test_median_is_within_one_percent(worker, key: str, family: str) -> None:
    cluster, address, url = worker
    values = [1.0003**i * 1e-3 for i in range(30_001)]
    cluster.of_worker(address, feed(key, values))
    assert scrape(url).value(family) == pytest.approx(values[15_000], rel=0.01)


@pytest.mark.newest
def test_median_follows_the_sliding_window(new_cluster) -> None:
    cluster = new_cluster(DASK_DISTRIBUTED__STETHOSCOPE__WINDOW="1s")
    cluster.start_scheduler()
    cluster.start_worker()
    address, url = next(iter(cluster.workers().items()))
    family = "dask_worker_task_duration_median_seconds"

    def median() -> float:
        return scrape(url).value(family)

    cluster.of_worker(address, feed("task-duration", [1.0] * 100))
    assert median() == pytest.approx(1.0, rel=0.01)

    def only_the_new_value() -> bool:
        cluster.of_worker(address, feed("task-duration", [5.0]))
        return median() == pytest.approx(5.0, rel=0.01)

    eventually(only_the_new_value)
    # And where nothing happens any more, the last that was seen stays.
    page: Page = scrape(url)
    assert page.value(family) == pytest.approx(5.0, rel=0.01)
