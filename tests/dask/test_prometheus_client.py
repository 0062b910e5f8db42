"""Metrics of prometheus_client on the pages of real clusters."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from distributed import Client, LocalCluster
from harness import HOST, Cluster, dashboards, eventually, fetch, scrape


def count(table: str, number: int) -> None:
    """Use a counter of prometheus_client as libraries do: a global of the process."""
    import prometheus_client

    try:
        counter = prometheus_client.Counter("library_rows", "Rows.", ["table"])
        prometheus_client.library_rows = counter
    except ValueError:
        counter = prometheus_client.library_rows
    counter.labels(table).inc(number, exemplar={"trace": "t1"})


def define_slow_and_failing() -> None:
    import prometheus_client
    from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily

    class Slow:
        def describe(self) -> list:
            return []

        def collect(self):
            time.sleep(1)
            yield GaugeMetricFamily("library_slow", "Slow.", value=1)
            yield InfoMetricFamily("library", "About it.", value={"version": "3"})

    class Failing:
        def describe(self) -> list:
            return []

        def collect(self):
            raise RuntimeError("as the test wants it")

    prometheus_client.REGISTRY.register(Slow())
    prometheus_client.REGISTRY.register(Failing())


@pytest.mark.parametrize("serve", ["take-over", "dedicated-port", "route"])
def test_prometheus_client_is_shown_however_the_page_is_served(
    new_cluster: Callable[..., Cluster], serve: str
) -> None:
    cluster = new_cluster(DASK_DISTRIBUTED__STETHOSCOPE__SERVE=serve)
    cluster.start_scheduler()
    cluster.start_worker()

    def ports(dask_scheduler) -> list[int]:
        servers = [*dask_scheduler.workers.values()]
        return [
            server.services.get("stethoscope", server.services["dashboard"]) for server in servers
        ]

    (port,) = cluster.client.run_on_scheduler(ports)
    worker = f"http://{HOST}:{port}"
    cluster.client.run(define_slow_and_failing)
    cluster.client.run_on_scheduler(count, "of the scheduler", 1)
    cluster.client.submit(count, "orders", 3, pure=False).result()
    if serve != "dedicated-port":
        page = eventually(
            lambda: (page := scrape(cluster.scheduler_url)).has("library_rows_total") and page
        )
        assert page.by("table", "library_rows_total") == {"of the scheduler": 1}
    expected = {"orders": 3}
    eventually(lambda: scrape(worker).by("table", "library_rows_total") == expected)
    page = scrape(worker)
    assert page.value("library_slow") == 1
    assert page.value("library_info", version="3") == 1
    assert page.value("stethoscope_prometheus_client_age_seconds") < 60
    # Not twice what is ours already, and nothing of Dask's own collectors.
    for name in ("process_open_fds", "dask_worker_threads"):
        assert sum(sample == name for sample, _ in page.samples) == 1
    accept = "application/openmetrics-text;version=1.0.0"
    openmetrics = fetch(worker, Accept=accept).body.decode()
    assert 'library_rows_total{table="orders"} 3 # {trace="t1"}' in openmetrics
    assert 'library_rows_created{table="orders"} 1' in openmetrics
    # A collector that takes a second delays neither a scrape nor the event loop.
    slowest = 0.0
    for _ in range(50):
        start = time.perf_counter()
        page = scrape(worker)
        slowest = max(slowest, time.perf_counter() - start)
        time.sleep(0.03)
    assert slowest < 0.5
    assert page.value("dask_worker_tick_duration_maximum_seconds") < 0.9
    assert "RuntimeError: as the test wants it" in eventually(
        lambda: "RuntimeError" in cluster.logs() and cluster.logs()
    )
    assert cluster.logs().count("RuntimeError: as the test wants it") == 1


def test_prometheus_client_can_be_switched_off(new_cluster: Callable[..., Cluster]) -> None:
    cluster = new_cluster(DASK_DISTRIBUTED__STETHOSCOPE__PROMETHEUS_CLIENT="false")
    cluster.start_scheduler()
    cluster.client.run_on_scheduler(count, "orders", 3)
    time.sleep(2)
    page = scrape(cluster.scheduler_url)
    assert not page.has("library_rows_total")
    assert not page.has("stethoscope_prometheus_client_age_seconds")


def test_process_with_several_servers_shows_prometheus_client_once() -> None:
    with (
        LocalCluster(n_workers=2, processes=False, dashboard_address=f"{HOST}:0") as cluster,
        Client(cluster),
    ):
        count("orders", 1)
        scheduler, workers = dashboards(cluster)
        urls = [scheduler, *workers.values()]

        def shown() -> bool:
            return sum(scrape(url).has("library_rows_total") for url in urls) == 1

        eventually(shown)
