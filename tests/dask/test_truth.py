"""Every metric against what Dask's objects say in the same moment."""

from __future__ import annotations

import gc
import platform
import sys
from collections.abc import Iterator

import pytest
from distributed import Client, Event
from harness import Cluster, eventually, prometheus_server, query, same_moment, scrape, scraping
from tasks import block, fail, lengths, nap, wait_for

SCHEDULER_STATES = {"released", "waiting", "no-worker", "queued", "processing", "memory", "erred"}
WORKER_STATES = {
    *("released", "waiting", "fetch", "missing", "flight", "ready", "constrained", "executing"),
    *("long-running", "memory", "disk", "error", "cancelled", "resumed", "rescheduled"),
}


def scheduler_truth(dask_scheduler) -> dict:
    tasks: dict[str, int] = {}
    for task in dask_scheduler.tasks.values():
        tasks[task.state] = tasks.get(task.state, 0) + 1
    statuses = [worker.status.name for worker in dask_scheduler.workers.values()]
    idle, saturated = len(dask_scheduler.idle), len(dask_scheduler.saturated)
    return {
        "clients": len(set(dask_scheduler.clients) - {"fire-and-forget"}),
        "tasks": tasks,
        "workers": {
            "idle": idle,
            "saturated": saturated,
            "partially_saturated": statuses.count("running") - idle - saturated,
            "paused": statuses.count("paused"),
            "retiring": len(statuses) - statuses.count("running") - statuses.count("paused"),
        },
    }


def worker_truth(dask_worker) -> dict:
    state = dask_worker.state
    spilled = set(getattr(dask_worker.data, "slow", ()))
    tasks: dict[str, int] = {}
    for task in state.tasks.values():
        shown = "disk" if task.key in spilled else task.state
        tasks[shown] = tasks.get(shown, 0) + 1
    return {
        "tasks": tasks,
        "connections": len(state.in_flight_workers),
        "threads": state.nthreads,
        "latency": dask_worker.latency,
    }


def python_truth() -> dict:
    return {
        "gc": gc.get_stats(),
        "info": {
            "implementation": platform.python_implementation(),
            "major": str(sys.version_info.major),
            "minor": str(sys.version_info.minor),
            "patchlevel": str(sys.version_info.micro),
            "version": platform.python_version(),
        },
    }


# The two tests that need threads to spare come before the fixture that takes them all.


def test_transfers_under_way_count_as_connections(cluster: Cluster) -> None:
    first, second = cluster.workers().items()

    def hold_back(dask_worker) -> None:
        # A peer that is slow to answer keeps the connection busy.
        import asyncio
        import functools

        original = dask_worker.handlers["get_data"]

        @functools.wraps(original)
        async def slow(*args, **kwargs):
            await asyncio.sleep(3)
            dask_worker.handlers["get_data"] = original
            return await original(*args, **kwargs)

        dask_worker.handlers["get_data"] = slow

    cluster.of_worker(first[0], hold_back)
    data = cluster.client.submit(block, 1000, pure=False, workers=[first[0]])
    moved = cluster.client.submit(lengths, data, pure=False, workers=[second[0]])
    eventually(lambda: scrape(second[1]).value("dask_worker_connections") == 1, timeout=3)
    assert moved.result() == 1000
    eventually(lambda: scrape(second[1]).value("dask_worker_connections") == 0)
    bandwidth = scrape(second[1]).value("dask_worker_transfer_bandwidth_median_bytes")
    assert bandwidth > 0


def test_scheduler_counts_its_clients(cluster: Cluster) -> None:
    with Client(cluster.address):
        eventually(lambda: scrape(cluster.scheduler_url).value("dask_scheduler_clients") == 2)
    eventually(lambda: scrape(cluster.scheduler_url).value("dask_scheduler_clients") == 1)


@pytest.fixture(scope="module")
def busy(cluster: Cluster) -> Iterator[Cluster]:
    """A cluster with tasks in many states: done, erred, waiting, running, spilled, moved."""
    client = cluster.client
    first, second = cluster.workers()
    kept = client.map(block, [1_000_000] * 80, range(80), pure=False, workers=[first])
    futures = [
        # On the second worker, of data of the first: transfers.
        client.submit(lengths, *kept[:4], workers=[second]),
        *client.map(nap, [0.02] * 40, range(40), pure=False),
        *client.map(fail, range(3), pure=False),
        *kept,
    ]
    eventually(lambda: all(future.status in ("finished", "error") for future in futures))
    running = client.map(wait_for, ["go"] * 8, range(8), pure=False)
    waiting = client.map(nap, [0] * 8, running, pure=False)
    eventually(lambda: any(client.processing().values()))
    yield cluster
    Event("go", client=client).set()
    client.gather(waiting)


def test_scheduler_page_matches_the_schedulers_state(busy: Cluster) -> None:
    page, truth = same_moment(
        lambda: scrape(busy.scheduler_url), lambda: busy.client.run_on_scheduler(scheduler_truth)
    )
    assert page.by("state", "dask_scheduler_workers") == truth["workers"]
    assert page.value("dask_scheduler_clients") == truth["clients"] >= 1
    assert page.by("state", "dask_scheduler_tasks") == {
        state: truth["tasks"].get(state, 0) for state in SCHEDULER_STATES
    }
    assert truth["tasks"]["erred"] == 3
    assert truth["tasks"]["processing"] > 0
    assert truth["tasks"]["waiting"] > 0


def test_worker_page_matches_the_workers_state(busy: Cluster) -> None:
    seen: set[str] = set()
    for address, url in busy.workers().items():
        page, truth = same_moment(
            lambda url=url: scrape(url),
            lambda address=address: busy.of_worker(address, worker_truth),
        )
        assert page.by("state", "dask_worker_tasks") == {
            state: truth["tasks"].get(state, 0) for state in WORKER_STATES
        }
        assert page.value("dask_worker_connections") == truth["connections"]
        assert page.value("dask_worker_threads") == truth["threads"] == 2
        assert page.value("dask_worker_latency_seconds") == truth["latency"]
        seen |= truth["tasks"].keys()
    assert {"memory", "disk", "error", "executing", "ready"} <= seen


def test_garbage_collection_is_counted_exactly(cluster: Cluster) -> None:
    pages = {
        cluster.scheduler_url: lambda: cluster.client.run_on_scheduler(python_truth),
        **{
            url: lambda address=address: cluster.of_worker(address, python_truth)
            for address, url in cluster.workers().items()
        },
    }
    for url, truth_of in pages.items():
        # Asking for the truth makes garbage itself: hold the page between two truths.
        before = truth_of()
        page = scrape(url)
        after = truth_of()
        for generation, (low, high) in enumerate(zip(before["gc"], after["gc"], strict=True)):
            label = str(generation)
            collections = page.value("python_gc_collections_total", generation=label)
            assert low["collections"] <= collections <= high["collections"]
            collected = page.value("python_gc_objects_collected_total", generation=label)
            assert low["collected"] <= collected <= high["collected"]
            uncollectable = page.value("python_gc_objects_uncollectable_total", generation=label)
            assert low["uncollectable"] <= uncollectable <= high["uncollectable"]
        assert page.value("python_info", **before["info"]) == 1


def test_prometheus_accepts_every_page(busy: Cluster, accepts) -> None:
    for url in [busy.scheduler_url, *busy.workers().values()]:
        accepts(scrape(url).text)


def test_prometheus_server_stores_every_metric(busy: Cluster, prometheus, tmp_path) -> None:
    urls = [busy.scheduler_url, *busy.workers().values()]
    pages = [scrape(url) for url in urls]
    instances = [url.removeprefix("http://") for url in urls]
    with prometheus_server(tmp_path, scraping(instances)) as server:
        eventually(lambda: sum(float(s["value"][1]) for s in query(server, "up")) == len(urls))
        for instance, page in zip(instances, pages, strict=True):
            wanted = {name for name, _ in page.samples}
            stored = query(server, f'count by (__name__) ({{instance="{instance}"}})')
            assert wanted <= {series["metric"]["__name__"] for series in stored}
