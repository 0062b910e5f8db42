"""The scheduler's view of a cluster: its workers, and where the time goes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
import tasks
from distributed import Event
from harness import Cluster, Page, eventually, scrape


def truth(dask_scheduler: Any) -> dict[str, float]:
    workers = dask_scheduler.workers.values()
    return {
        "limit": sum(worker.memory_limit for worker in workers),
        "threads": sum(worker.nthreads for worker in workers),
        "spilled": sum(worker.memory.spilled for worker in workers),
        "process": sum(worker.memory.process for worker in workers),
    }


def test_workers_are_summed_from_their_heartbeats(cluster: Cluster) -> None:
    blocks = cluster.client.map(tasks.block, [1_000_000] * 4, range(4), pure=False)
    napping = cluster.client.submit(tasks.nap, 4, pure=False)
    cluster.client.gather(blocks)

    def check() -> None:
        known = cluster.client.run_on_scheduler(truth)
        page = scrape(cluster.scheduler_url)
        assert page.value("dask_scheduler_workers_memory_limit_bytes") == known["limit"] > 0
        assert page.value("dask_scheduler_workers_threads") == known["threads"] == 4
        memory = page.by("type", "dask_scheduler_workers_memory_bytes")
        assert memory["spilled"] == known["spilled"]
        assert memory["managed"] >= 4_000_000
        total = memory["managed"] + memory["unmanaged"]
        assert total == pytest.approx(known["process"], rel=0.1)
        assert page.value("dask_scheduler_workers_executing") == 1
        assert page.value("dask_scheduler_workers_cpu_percent") >= 0
        assert 0 <= page.value("dask_scheduler_worker_heartbeat_age_seconds") < 30

    eventually(check)
    napping.result()
    eventually(lambda: scrape(cluster.scheduler_url).value("dask_scheduler_workers_executing") == 0)


def test_stuck_tasks_show_as_ages(cluster: Cluster) -> None:
    def ages() -> tuple[float, float, float]:
        page = scrape(cluster.scheduler_url)
        names = ["last_transition_age", "oldest_processing_age", "idle"]
        found = [page.value(f"dask_scheduler_{name}_seconds") for name in names]
        return found[0], found[1], found[2]

    cluster.client.submit(tasks.nap, 0, pure=False).result()

    def comes_to_rest() -> None:
        transition, processing, idle = ages()
        assert transition >= 1
        assert processing == 0
        assert idle >= 1

    eventually(comes_to_rest)
    stuck = cluster.client.submit(tasks.wait_for, "go on", pure=False)

    def is_stuck() -> None:
        transition, processing, idle = ages()
        # An age counts from the first sample that saw the change, and a task of an earlier test
        # may be forgotten meanwhile, which is a transition as well.
        assert transition > 2
        assert processing > 2
        assert idle == 0

    eventually(is_stuck)
    page = scrape(cluster.scheduler_url)
    tasks_now = page.value(
        "dask_scheduler_prefix_tasks", task_prefix_name="wait_for", state="processing"
    )
    assert tasks_now == 1
    Event("go on", client=cluster.client).set()
    stuck.result()
    eventually(lambda: ages()[1] == 0)


@pytest.mark.newest
def test_activities_are_those_of_the_scheduler(cluster: Cluster) -> None:
    cluster.client.gather(cluster.client.map(tasks.nap, [0.05] * 20, range(20), pure=False))

    def known(dask_scheduler: Any) -> dict[str, float]:
        metrics = dask_scheduler.cumulative_worker_metrics
        return {
            f"{key[0]}/{key[1]}/{key[2]}": value
            for key, value in metrics.items()
            if isinstance(key, tuple) and len(key) == 4 and key[3] == "seconds"
        }

    def shown(page: Page) -> dict[str, float]:
        return {
            "/".join(dict(labels)[name] for name in ("context", "task_prefix_name", "activity")): v
            for (name, labels), v in page.samples.items()
            if name == "dask_scheduler_activity_seconds_total" and dict(labels)["task_prefix_name"]
        }

    def check() -> None:
        before = cluster.client.run_on_scheduler(known)
        page = shown(scrape(cluster.scheduler_url))
        after = cluster.client.run_on_scheduler(known)
        assert before
        assert before == after
        assert page == pytest.approx({key: value for key, value in before.items() if value > 0})

    eventually(check)
    assert any(key.startswith("execute/nap/") for key in cluster.client.run_on_scheduler(known))


def test_worker_page_has_limit_and_status(cluster: Cluster) -> None:
    url = next(iter(cluster.workers().values()))
    page = scrape(url)
    assert page.value("dask_worker_memory_limit_bytes") == 512 * 2**20
    status = page.by("status", "dask_worker_status")
    assert {name for name, value in status.items() if value} == {"running"}
    assert set(status) >= {"init", "running", "paused", "closing"}


def eat_memory() -> None:
    time.sleep(0.2)
    blocks = []
    while True:
        blocks.append(b"x" * 2**24)
        time.sleep(0.01)


@pytest.mark.newest
def test_departures_have_their_reasons(new_cluster: Callable[..., Cluster]) -> None:
    cluster = new_cluster(DASK_DISTRIBUTED__WORKER__MEMORY__TERMINATE="0.9")
    cluster.start_scheduler()

    def departures() -> dict[str, float]:
        name = "dask_scheduler_worker_departures_total"
        shown = scrape(cluster.scheduler_url).by("reason", name)
        return {reason: times for reason, times in shown.items() if times}

    # Closed by its nanny, which was told to by SIGTERM, before any sample has seen it.
    cluster.start_workers(1).stop()
    eventually(lambda: departures() == {"closed": 1}, 60)
    # Killed without a word.
    killed = cluster.start_worker()
    os.kill(killed.pid, signal.SIGKILL)
    eventually(lambda: departures() == {"closed": 1, "lost": 1}, 60)
    cluster.start_worker()
    cluster.client.retire_workers(list(cluster.workers()))
    eventually(lambda: departures() == {"closed": 1, "lost": 1, "retired": 1}, 60)
    cluster.start_workers(1)
    cluster.client.restart()
    expected = {"closed": 1, "lost": 1, "retired": 1, "restarted": 1}
    eventually(lambda: departures() == expected, 60)
    cluster.client.submit(eat_memory, pure=False)
    eventually(lambda: departures().get("memory", 0) >= 1, 60)


def test_forgotten_prefix_frees_its_series(new_cluster: Callable[..., Cluster]) -> None:
    cluster = new_cluster(DASK_DISTRIBUTED__STETHOSCOPE__MAX_TASK_PREFIXES="1")
    cluster.start_scheduler()
    cluster.start_workers(1)
    compute = "dask_scheduler_tasks_compute_seconds_total"
    cluster.client.submit(tasks.nap, 0.1, pure=False).result()
    eventually(
        lambda: set(scrape(cluster.scheduler_url).by("task_prefix_name", compute)) == {"nap"}
    )
    before = sum(scrape(cluster.scheduler_url).by("task_prefix_name", compute).values())
    cluster.client.restart()
    blocks = cluster.client.submit(tasks.block, 10, pure=False)
    blocks.result()

    def check() -> None:
        shown = scrape(cluster.scheduler_url).by("task_prefix_name", compute)
        assert set(shown) == {"block", "other"}, shown
        assert sum(shown.values()) >= before

    eventually(check)


def test_client_at_full_speed_takes_little_of_an_idle_loop(cluster: Cluster) -> None:
    def samples() -> float:
        page = scrape(cluster.scheduler_url)
        return page.value("stethoscope_sampling_seconds_total")

    time.sleep(1)
    before, start = samples(), time.perf_counter()
    scrapes = 0
    while time.perf_counter() - start < 3:
        scrape(cluster.scheduler_url)
        scrapes += 1
    share = (samples() - before) / (time.perf_counter() - start)
    assert scrapes > 50
    assert share < 0.1, share


def test_workers_have_series_of_their_own_if_asked(new_cluster: Callable[..., Cluster]) -> None:
    cluster = new_cluster(DASK_DISTRIBUTED__STETHOSCOPE__MAX_WORKERS="1")
    cluster.start_scheduler()
    cluster.start_workers(2)

    def check() -> None:
        threads = scrape(cluster.scheduler_url).by("worker_name", "dask_scheduler_workers_threads")
        assert len(threads) == 2
        assert threads["other"] == 2

    eventually(check)
