"""Every family that Dask's own handler has, with what it says in the same moment.

The oracle is Dask's collectors, run in the server's process. Where we differ, the
difference is named in METRICS.md, and so is what a version of Dask lacks.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import distributed
import pytest
from distributed import Event, Semaphore, wait
from harness import Cluster, Page, eventually, same_moment, scrape
from tasks import block, fail, lengths, measured, nap, use, wait_for

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]

METRICS = (Path(__file__).parents[2] / "src/python/METRICS.md").read_text()


def rows(headline: str) -> list[list[str]]:
    """The cells of the document's table with this first line."""
    table = METRICS[METRICS.index(f"\n{headline}\n") + 1 :].split("\n\n")[0]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]


def families(cell: str) -> set[str]:
    return set(re.findall(r"`([a-z_]+)(?:\{[a-z_,]+\})?`", cell))


def catalogue(role: str) -> set[str]:
    headline = "| metric | help | scheduler | worker | source |"
    column = {"scheduler": 2, "worker": 3}[role]
    return set().union(*(families(row[0]) for row in rows(headline) if row[column]))


#: Families that say something else than Dask's, on purpose.
DIFFERENT = set().union(*(families(row[0]) for row in rows("| metric | here | Dask's own |")))
#: Names that Dask has given up for those that it has had beside them since.
GIVEN_UP = {"dask_worker_concurrent_fetch_requests"}
#: States that Dask once counted together.
APART = {"paused_or_retiring": ["paused", "retiring"]}
#: Families that move while nothing happens.
MOVING = {
    "dask_scheduler_last_time_total",
    "dask_scheduler_tick_count_total",
    "dask_scheduler_gc_collection_seconds_total",
    "dask_scheduler_gil_contention_seconds_total",
    "dask_worker_tick_count_total",
    "dask_worker_gc_collection_seconds_total",
    "dask_worker_gil_contention_seconds_total",
    "dask_worker_latency_seconds",
    "dask_worker_memory_bytes",
}


def absent() -> set[str]:
    """Families that this version of Dask lacks, or has only with packages not installed."""
    version = tuple(map(int, distributed.__version__.split(".")[:2]))
    lacking = set()
    for since, lacked in rows("| before Dask | missing families |"):
        if version < tuple(map(int, since.split("."))):
            lacking |= families(lacked)
    if importlib.util.find_spec("gilknocker") is None:
        lacking |= {f"dask_{role}_gil_contention_seconds_total" for role in ("scheduler", "worker")}
    return lacking


def _collected(collectors: list) -> tuple[dict[str, str], Series]:
    types, series = {}, {}
    for collector in collectors:
        for family in collector.collect():
            if family.samples:
                suffix = "_total" if family.type == "counter" else ""
                types[family.name + suffix] = family.type
            for sample in family.samples:
                series[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return types, series


def by_the_schedulers_handler(dask_scheduler):
    from distributed.http.scheduler.prometheus.core import SchedulerMetricCollector
    from distributed.http.scheduler.prometheus.semaphore import SemaphoreMetricCollector
    from distributed.http.scheduler.prometheus.stealing import WorkStealingMetricCollector
    from test_families import _collected

    collectors = [SchedulerMetricCollector, SemaphoreMetricCollector, WorkStealingMetricCollector]
    return _collected([collector(dask_scheduler) for collector in collectors])


def by_the_workers_handler(dask_worker):
    from distributed.http.worker.prometheus.core import WorkerMetricCollector
    from test_families import _collected

    return _collected([WorkerMetricCollector(dask_worker)])


@pytest.fixture(scope="module")
def lively(cluster: Cluster) -> Iterator[Cluster]:
    """A cluster that has done, and is doing, some of everything."""
    client = cluster.client
    first, second = cluster.workers()
    semaphore = Semaphore(max_leases=2, name='with "quotes"')
    kept = client.map(block, [1_000_000] * 80, range(80), pure=False, workers=[first])
    futures = [
        client.submit(lengths, *kept[:4], workers=[second]),
        *client.map(nap, [0.01] * 200, range(200), pure=False, workers=[first]),
        *client.map(nap, [0.01] * 20, range(20), pure=False),
        *client.map(fail, range(3), pure=False),
        *client.map(use, [semaphore] * 3, range(3), pure=False),
        *kept,
    ]
    eventually(lambda: all(future.status in ("finished", "error") for future in futures))
    # Read back from disk, and to the other worker.
    client.submit(lengths, *kept[-4:], workers=[second]).result()
    forgotten = client.submit(nap, 0, key="passing-through")
    forgotten.result()
    del forgotten
    running = client.map(wait_for, ["go"] * 8, range(8), pure=False)
    eventually(lambda: any(client.processing().values()))
    yield cluster
    Event("go", client=client).set()
    client.gather(running)


def compare(page: Page, types: dict[str, str], theirs: Series) -> None:
    shown = {(name, kind) for name, kind in page.types.items()}
    for name in GIVEN_UP:
        types.pop(name, None)
    assert set(types.items()) <= shown, "families, by name and type"
    for (name, labels), value in theirs.items():
        if name in GIVEN_UP:
            continue
        together = APART.get(dict(labels).get("state"), [])
        if together:
            shown = page.by("state", name)
            assert value == sum(shown[state] for state in together)
            continue
        ours = page.samples.get((name, labels))
        assert ours is not None, f"{name}{labels} is missing"
        if name in DIFFERENT:
            continue
        if name not in MOVING:
            assert ours == pytest.approx(value, rel=1e-9), f"{name}{labels}"


def steady(answer: tuple[dict[str, str], Series]) -> Series:
    return {series: value for series, value in answer[1].items() if series[0] not in MOVING}


def check(page, truth) -> None:
    latest = {}

    def resting() -> Series:
        latest["answer"] = truth()
        rest = steady(latest["answer"])
        return {series: v for series, v in rest.items() if series[0] not in DIFFERENT}

    def agree() -> None:
        seen, _ = same_moment(page, resting)
        compare(seen, *latest["answer"])

    # Values that are expensive to read are read once a second: they may be that old.
    eventually(agree)


def test_scheduler_page_has_the_families_of_dasks_handler(lively: Cluster) -> None:
    check(
        lambda: scrape(lively.scheduler_url),
        lambda: lively.client.run_on_scheduler(by_the_schedulers_handler),
    )


def test_worker_page_has_the_families_of_dasks_handler(lively: Cluster) -> None:
    for address, url in lively.workers().items():
        check(
            lambda url=url: scrape(url),
            lambda address=address: lively.of_worker(address, by_the_workers_handler),
        )


@pytest.mark.parametrize("role", ["scheduler", "worker"])
def test_families_missing_from_older_dask_are_documented(lively: Cluster, role: str) -> None:
    urls = {"scheduler": lively.scheduler_url, "worker": next(iter(lively.workers().values()))}
    known = catalogue(role)
    assert len(known) > 40
    assert known - scrape(urls[role]).types.keys() == known & absent()


def test_documented_differences_name_existing_families() -> None:
    known = catalogue("scheduler") | catalogue("worker")
    assert len(DIFFERENT) >= 6
    assert not DIFFERENT - known


def test_events_of_the_cluster_are_counted(lively: Cluster) -> None:
    """Each of these was moved by the work, so that the comparison compares something."""
    scheduler = scrape(lively.scheduler_url)
    first, second = (scrape(url) for url in lively.workers().values())
    semaphore = {"name": 'with "quotes"'}
    assert scheduler.value("dask_semaphore_max_leases", **semaphore) == 2
    assert scheduler.value("dask_semaphore_acquire_total", **semaphore) == 3
    if (name := "dask_scheduler_workers_added_total") not in absent():
        assert scheduler.value(name) == 2
    assert scheduler.value("dask_scheduler_tasks_forgotten_total") >= 1
    nap = {"task_prefix_name": "nap"}
    assert scheduler.value("dask_scheduler_tasks_compute_seconds_total", **nap) > 2
    state = {"task_prefix_name": "fail", "state": "erred"}
    assert scheduler.value("dask_scheduler_prefix_state_totals_total", **state) == 3
    assert scheduler.value("dask_scheduler_task_transitions_total", state="erred") == 3
    output = scheduler.value("dask_scheduler_tasks_output_bytes", task_prefix_name="block")
    assert output >= 80e6
    assert scheduler.value("dask_scheduler_task_duration_seconds_count") >= 300
    assert scheduler.value("dask_scheduler_desired_workers") >= 1

    assert first.value("dask_worker_spill_bytes_total", activity="disk-write") > 1e6
    assert first.value("dask_worker_spill_count_total", activity="disk-write") >= 1
    assert first.value("dask_worker_spill_time_seconds_total", activity="disk-write") > 0
    assert first.value("dask_worker_transfer_outgoing_bytes_total") > 4e6
    assert second.value("dask_worker_transfer_incoming_count_total") >= 1
    memory = second.by("type", "dask_worker_memory_bytes")
    assert memory.keys() == {"managed", "unmanaged", "spilled"}
    resident = second.value("process_resident_memory_bytes")
    assert memory["managed"] + memory["unmanaged"] == resident
    for page, role in ((scheduler, "scheduler"), (first, "worker")):
        ticks = page.value(f"dask_{role}_tick_duration_seconds_count")
        # Counted as they happen; the server's own count is as old as the sample.
        assert ticks > 10
        assert page.value(f"dask_{role}_tick_count_total") > 10
        assert 0 <= page.value(f"dask_{role}_tick_age_seconds") < 5
        assert page.value(f"dask_{role}_tick_duration_maximum_seconds") > 0.01
        assert page.value("stethoscope_sampling_seconds_total") > 0


def test_totals_survive_a_cluster_restart(new_cluster) -> None:
    cluster = new_cluster()
    cluster.start_scheduler()
    cluster.start_workers(1)
    client = cluster.client
    client.gather(client.map(nap, [0] * 50, range(50)))
    totals = ["dask_scheduler_tasks_forgotten_total", "dask_scheduler_task_duration_seconds_count"]
    count = "dask_scheduler_prefix_state_totals_total"
    naps = {"task_prefix_name": "nap", "state": "memory"}

    def forgotten() -> Page:
        page = scrape(cluster.scheduler_url)
        assert page.value(totals[0]) >= 50
        return page

    before = eventually(forgotten)
    client.restart()
    after = scrape(cluster.scheduler_url)
    assert after.value(count, **naps) == before.value(count, **naps) == 50
    client.gather(client.map(nap, [0] * 5, range(5)))
    final = scrape(cluster.scheduler_url)
    for name in totals:
        assert before.value(name) <= after.value(name) <= final.value(name)
    state = {"state": "memory"}
    name = "dask_scheduler_task_transitions_total"
    assert final.value(name, **state) == before.value(name, **state) + 5
    assert final.value(count, **naps) == 55


def test_activity_shows_at_once_with_many_prefixes(new_cluster) -> None:
    """Prefixes are looked at only when something has moved: nothing is missed for it."""
    cluster = new_cluster()
    cluster.start_scheduler()
    cluster.start_worker()
    client = cluster.client
    client.gather([client.submit(nap, 0, key=f"{chr(97 + i) * 3}-{i}") for i in range(20)])
    count = "dask_scheduler_prefix_state_totals_total"
    kept = []
    for number in range(1, 6):
        scrape(cluster.scheduler_url)
        kept.append(client.submit(nap, 0, key=f"nap-{number}"))
        kept[-1].result()

        # A scrape right after another is answered with its sample.
        def counted_nap(number: int = number) -> None:
            page = scrape(cluster.scheduler_url)
            assert page.value(count, task_prefix_name="nap", state="memory") == number

        eventually(counted_nap, timeout=5)
    for number in range(1, 6):
        scrape(cluster.scheduler_url)
        kept.append(client.scatter({f"data-{number}": b"x" * 1000}))
        expected = sum(client.run_on_scheduler(_nbytes, f"data-{n}") for n in range(1, number + 1))

        def counted_data(number: int = number, expected: float = expected) -> None:
            page = scrape(cluster.scheduler_url)
            assert page.value(count, task_prefix_name="data", state="memory") == number
            output = page.value("dask_scheduler_tasks_output_bytes", task_prefix_name="data")
            assert output == expected

        eventually(counted_data, timeout=5)
    # The same key again, with more in it, and once more with as much.
    kept.append(client.scatter({"data-1": b"x" * 5000}))
    expected = sum(client.run_on_scheduler(_nbytes, f"data-{n}") for n in range(1, 6))

    def grown() -> None:
        output = scrape(cluster.scheduler_url).value(
            "dask_scheduler_tasks_output_bytes", task_prefix_name="data"
        )
        assert output == expected

    eventually(grown, timeout=5)
    kept.append(client.scatter({"data-1": b"y" * 5000}))

    def counted() -> None:
        page = scrape(cluster.scheduler_url)
        assert page.value(count, task_prefix_name="data", state="memory") == 7

    eventually(counted, timeout=5)


def _known_tasks(dask_scheduler=None) -> int:
    return len(dask_scheduler.tasks)


def _nbytes(key: str, dask_scheduler=None) -> int:
    return dask_scheduler.tasks[key].nbytes


def test_result_size_may_be_fractional(new_cluster) -> None:
    cluster = new_cluster()
    process = cluster.start_scheduler()
    cluster.start_worker()
    client = cluster.client
    output = "dask_scheduler_tasks_output_bytes"
    # Once it was a float, the prefix' sum remains one.
    for size in (10.5, 4.25, 4):
        result = client.submit(measured, size, pure=False)
        wait(result)
        naps = client.map(nap, [0] * 5, pure=False)
        wait(naps)
        check(
            lambda: scrape(cluster.scheduler_url),
            lambda: client.run_on_scheduler(by_the_schedulers_handler),
        )
        page = scrape(cluster.scheduler_url)
        assert page.value(output, task_prefix_name="measured") == size
        del result, naps
        eventually(lambda: client.run_on_scheduler(_known_tasks) == 0)
    page = scrape(cluster.scheduler_url)
    assert page.value(output, task_prefix_name="measured") == 0
    assert page.value("dask_scheduler_task_transitions_total", state="memory") == 18
    assert set(page.by("state", "dask_scheduler_tasks").values()) == {0}
    assert "of task prefixes" not in process.log.read_text()


def test_prefixes_beyond_the_cap_have_no_series(new_cluster) -> None:
    cluster = new_cluster(DASK_DISTRIBUTED__STETHOSCOPE__MAX_TASK_PREFIXES="5")
    cluster.start_scheduler()
    cluster.start_worker()
    client = cluster.client
    client.gather([client.submit(nap, 0, key=f"{chr(97 + i) * 3}-{i}") for i in range(20)])
    page = scrape(cluster.scheduler_url)
    by_prefix = page.by("task_prefix_name", "dask_scheduler_tasks_suspicious_total")
    assert len(by_prefix) == 6
    assert "other" in by_prefix
    assert page.value("stethoscope_task_prefixes_folded") == 15
    assert page.value("dask_scheduler_task_transitions_total", state="memory") == 20


@pytest.mark.newest
def test_thousands_of_prefixes_are_shown(new_cluster) -> None:
    number = 3000
    cluster = new_cluster(DASK_DISTRIBUTED__STETHOSCOPE__MAX_TASK_PREFIXES=str(number))
    cluster.start_scheduler()

    def meet(dask_scheduler) -> None:
        from distributed.scheduler import TaskPrefix

        for i in range(number):
            prefix = TaskPrefix(f"prefix-{i}")
            prefix.suspicious = i
            dask_scheduler.task_prefixes[prefix.name] = prefix

    cluster.client.run_on_scheduler(meet)

    def all_there() -> bool:
        page = scrape(cluster.scheduler_url)
        shown = page.by("task_prefix_name", "dask_scheduler_tasks_suspicious_total")
        return shown == {f"prefix-{i}": i for i in range(number)}

    eventually(all_there)
