"""Scrapes do not disturb each other, and change nothing in the cluster."""

from __future__ import annotations

import threading

from harness import HOST, Cluster, Page, eventually, fetch, scrape
from tasks import fail, nap

#: Parts of the names of families that change while a cluster rests.
MOVING = ("tick", "latency", "_age_", "idle_seconds", "cpu_percent", "workers_memory")


def steady(page: Page) -> dict:
    """The series that do not change while a cluster rests."""
    return {
        series: value
        for series, value in page.samples.items()
        if series[0].startswith("dask_") and not any(word in series[0] for word in MOVING)
    }


def test_two_scrapers_see_the_same(cluster: Cluster) -> None:
    cluster.client.gather(cluster.client.map(nap, [0.01] * 20, range(20), pure=False))
    for url in [cluster.scheduler_url, *cluster.workers().values()]:

        def both_agree(url: str = url) -> bool:
            first, second, third = (steady(scrape(url)) for _ in range(3))
            return str(first) == str(second) == str(third)

        eventually(both_agree)


def test_scrape_in_the_first_millisecond_takes_no_sample(tmp_path) -> None:
    # The handler of Dask loses a worker's metrics for good if it is asked
    # before the first tick. Here the scrape comes before the server is started.
    import asyncio

    from distributed import Scheduler, Worker

    async def first_and_second_page() -> tuple[bytes, bytes]:
        loop = asyncio.get_running_loop()
        async with Scheduler(dashboard_address=f"{HOST}:0", host=HOST, port=0) as scheduler:
            early: asyncio.Future[bytes] = loop.create_future()

            class Early(Worker):
                async def start_unsafe(self):
                    # Runs up to the preloads and beyond: a server that listens by then answers.
                    starting = asyncio.ensure_future(super().start_unsafe())
                    while not hasattr(self, "http_server"):
                        await asyncio.sleep(0)
                    url = f"http://{HOST}:{self.http_server.port}"
                    early.set_result((await loop.run_in_executor(None, lambda: fetch(url))).body)
                    return await starting

            async with Early(
                scheduler.address, dashboard_address=f"{HOST}:0", host=HOST,
                local_directory=str(tmp_path),
            ) as worker:  # fmt: skip
                url = f"http://{HOST}:{worker.http_server.port}"
                later = (await loop.run_in_executor(None, lambda: fetch(url))).body
            return await early, later

    early, later = asyncio.run(first_and_second_page())
    assert b"dask_worker_threads" in early
    names = {name for name, _ in Page(later.decode()).samples}
    assert names >= {"dask_worker_threads", "dask_worker_tick_duration_median_seconds"}


class Watcher:
    """Scrapes without a pause, and notes each counter that falls."""

    def __init__(self, url: str) -> None:
        self.fallen: list[str] = []
        self.scrapes = 0
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        last: dict = {}
        while not self._stop.is_set():
            page = scrape(self._url)
            counters = {s: v for s, v in page.samples.items() if s[0].endswith("_total")}
            for series, value in counters.items():
                if value < last.get(series, value):
                    self.fallen.append(f"{series}: {last[series]} then {value}")
            if missing := last.keys() - counters.keys():
                self.fallen.append(f"gone: {missing}")
            last |= counters
            self.scrapes += 1

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(60)


def test_counters_never_fall_during_the_life_of_a_task_group(cluster: Cluster) -> None:
    client = cluster.client
    watchers = [Watcher(url) for url in [cluster.scheduler_url, *cluster.workers().values()]]
    try:
        for number in range(3):
            futures = client.map(nap, [0.01] * 100, [number] * 100, pure=False)
            futures += client.map(fail, range(5), pure=False)
            eventually(lambda futures=futures: all(future.done() for future in futures))
            # The group is forgotten, and with it what the scheduler knew of it.
            del futures
            eventually(lambda: not client.run_on_scheduler(tasks_known))
    finally:
        for watcher in watchers:
            watcher.stop()
    for watcher in watchers:
        assert watcher.fallen == []
        assert watcher.scrapes > 10


def tasks_known(dask_scheduler) -> int:
    return len(dask_scheduler.tasks)


def test_page_shows_the_cost_of_serving_it(cluster: Cluster) -> None:
    for url in [cluster.scheduler_url, *cluster.workers().values()]:
        before = scrape(url)
        assert fetch(url, "/health").status == 200
        after = scrape(url)

        def grown(name: str, before: Page = before, after: Page = after, **labels: str) -> float:
            name = f"stethoscope_http_{name}"
            return after.value(name, **labels) - before.value(name, **labels)

        # A page is made before it is sent: the first is in the second, and no later one.
        assert grown("responses_total", code="200") == 1
        assert grown("connections_accepted_total") == 2
        assert grown("connections_handed_over_total") == 1
        assert 0 < grown("sent_bytes_total") - len(before.text.encode()) < 500
        assert grown("page_seconds_count") == grown("response_seconds_count") == 1
        assert grown("response_seconds_sum") >= grown("page_seconds_sum") > 0
        assert after.value("stethoscope_http_connections") >= 1
        assert after.by("reason", "stethoscope_http_connections_dropped_total")["hand_off"] == 0


def test_both_paths_answer_get_and_head(cluster: Cluster) -> None:
    for path in ("/metrics", "/metrics/"):
        got = fetch(cluster.scheduler_url, path)
        assert got.status == 200
        assert got.body.startswith(b"# HELP ")
        head = fetch(cluster.scheduler_url, path, method="HEAD")
        assert head.status == 200
        assert head.body == b""
        assert head.getheader("Content-Type") == got.getheader("Content-Type")


def test_openmetrics_is_served_on_request(cluster: Cluster) -> None:
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    response = fetch(
        cluster.scheduler_url, Accept="application/openmetrics-text;version=1.0.0,*/*;q=0.1"
    )
    assert response.getheader("Content-Type").startswith("application/openmetrics-text")
    names = {family.name for family in text_string_to_metric_families(response.body.decode())}
    assert {"dask_scheduler_clients", "python_gc_collections", "python"} <= names
