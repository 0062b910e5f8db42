"""Metrics that users define, counted in tasks and read from pages of real clusters."""

from __future__ import annotations

from distributed import Client, LocalCluster
from harness import HOST, Cluster, Page, dashboards, eventually, scrape

import stethoscope


def read_table(table: str, number: int) -> None:
    import stethoscope

    stethoscope.counter("rows_read", "Rows read.", labels=["table"]).labels(table).inc(number)


def total(pages: list[Page], name: str, **labels: str) -> float:
    return sum(page.value(name, **labels) for page in pages if page.has(name))


def test_counts_of_tasks_are_on_their_workers_page(cluster: Cluster) -> None:
    first, second = cluster.workers()
    futures = [
        *cluster.client.map(read_table, ["orders"] * 10, range(10), workers=[first], pure=False),
        cluster.client.submit(read_table, "items", 5, workers=[second], pure=False),
    ]
    cluster.client.gather(futures)
    pages = {address: scrape(url) for address, url in cluster.workers().items()}
    assert pages[first].by("table", "rows_read_total") == {"orders": 45}
    assert pages[second].by("table", "rows_read_total") == {"items": 5}
    assert not scrape(cluster.scheduler_url).has("rows_read_total")


def test_metric_in_a_closure_travels_with_the_task(cluster: Cluster) -> None:
    # Pickled with the task, and that of the worker's process where it arrives.
    sizes = stethoscope.histogram("block_bytes", "Blocks.", ["kind"], buckets=[10, 100])
    plain = sizes.labels("plain")

    def observe(size: int) -> None:
        plain.observe(size)
        sizes.labels("other").observe(size)

    cluster.client.gather(cluster.client.map(observe, range(20), pure=False))
    pages = [scrape(url) for url in cluster.workers().values()]
    for kind in ("plain", "other"):
        assert total(pages, "block_bytes_count", kind=kind) == 20
    # Here nothing was observed.
    assert b'block_bytes_count{kind="plain"} 0\n' in stethoscope.page()[0]


def test_conflicting_metric_fails_the_task_and_not_the_worker(
    cluster: Cluster,
) -> None:
    def define(labels: list[str]) -> None:
        import stethoscope

        stethoscope.counter("redefined", labels=labels).labels("x").inc()

    cluster.client.run(define, ["a"])
    before = set(cluster.workers())
    redefined = stethoscope.counter("redefined", labels=["b"])
    future = cluster.client.submit(lambda: redefined.labels("x").inc(), pure=False)
    assert "registered already with labels" in str(future.exception(timeout=60))
    assert set(cluster.workers()) == before
    # Once it is redefined there, it is the same everywhere.
    cluster.client.run(lambda: stethoscope.unregister("redefined"))
    cluster.client.run(define, ["b"])
    cluster.client.submit(lambda: redefined.labels("x").inc(), pure=False).result(timeout=60)
    pages = [scrape(url) for url in cluster.workers().values()]
    assert total(pages, "redefined_total", b="x") == len(pages) + 1
    # A scheduler only passes it on.
    assert not scrape(cluster.scheduler_url).has("redefined_total")


def test_scheduler_shows_metrics_of_its_process(cluster: Cluster) -> None:
    def set_depth() -> None:
        import stethoscope

        stethoscope.gauge("plugin_depth", "Of a plugin.").set(7)

    cluster.client.run_on_scheduler(set_depth)
    assert scrape(cluster.scheduler_url).value("plugin_depth") == 7


def test_process_with_several_servers_shows_metrics_once() -> None:
    depth = stethoscope.gauge("shared_depth", "Of the process.")
    depth.set(7)

    def shown() -> list[str]:
        scheduler, workers = dashboards(cluster)
        urls = {"scheduler": scheduler, **workers}
        return [who for who, url in urls.items() if scrape(url).has("shared_depth")]

    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address=f"{HOST}:0") as cluster,
        Client(cluster) as client,
    ):
        assert shown() == ["scheduler"]
        cluster.scale(3)
        client.wait_for_workers(3)
        (first,) = eventually(lambda: shown() != ["scheduler"] and shown())
        assert first in client.scheduler_info()["workers"]
        # It closes: the next one shows them from then on.
        client.retire_workers([first])
        # Not at once: it leaves the list of workers first.
        (second,) = eventually(lambda: (first not in dashboards(cluster)[1] and shown()) or False)
        assert second not in ("scheduler", first)
        depth.set(8)
        assert scrape(dashboards(cluster)[1][second]).value("shared_depth") == 8
    assert depth.value == 8
