"""A part that a version of Dask lacks costs the metrics that depend on it, and nothing else."""

from __future__ import annotations

import ssl
import time
import urllib.request
from pathlib import Path

import pytest
from harness import HOST, Cluster, Page, eventually, fetch, scrape, tls

ROUTE_LOG = "/metrics is served by Dask's event loop"


def preload(directory: Path, code: str) -> str:
    """A preload that changes the server before this package attaches."""
    path = directory / "without.py"
    path.write_text(code)
    return str(path)


def start_worker(cluster: Cluster, *preloads: str) -> tuple[str, str, str]:
    """A scheduler, a worker with these preloads; the worker's address, URL and log."""
    cluster.start_scheduler()
    arguments = [word for name in preloads for word in ("--preload", name)]
    process = cluster.start_worker(*arguments, "--preload", "stethoscope.dask")
    address, url = next(iter(cluster.workers().items()))
    return address, url, process.log.read_text()


@pytest.mark.parametrize(
    ("attribute", "families"),
    [
        ("latency", ["dask_worker_latency_seconds"]),
        ("state.nthreads", ["dask_worker_threads"]),
        ("state.task_counter", ["dask_worker_tasks"]),
        # Dask itself counts the transfers that come in by it.
        (
            "state.in_flight_workers",
            ["dask_worker_connections", "dask_worker_transfer_incoming_count"],
        ),
    ],
)
def test_missing_attribute_costs_its_family(
    cluster: Cluster, attribute: str, families: list[str]
) -> None:
    # A heartbeat, or a search for missing data, that fails closes the worker.
    def rest(dask_worker) -> None:
        for callback in dask_worker.periodic_callbacks.values():
            callback.stop()

    def go_on(dask_worker) -> None:
        for callback in dask_worker.periodic_callbacks.values():
            callback.start()

    def take_away(dask_worker) -> None:
        owner, _, name = attribute.rpartition(".")
        holder = getattr(dask_worker, owner) if owner else dask_worker
        dask_worker._taken_away = (holder, name, getattr(holder, name))
        delattr(holder, name)

    def restore(dask_worker) -> None:
        setattr(*dask_worker._taken_away)

    def warnings(dask_worker) -> list[str]:
        return [record.getMessage() for record in dask_worker._told]

    def listen_to_the_log(dask_worker) -> None:
        import logging

        dask_worker._told = []

        class Keep(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                dask_worker._told.append(record)

        logging.getLogger("distributed.stethoscope").handlers = [Keep()]

    address, url = next(iter(cluster.workers().items()))
    whole = scrape(url)
    cluster.of_worker(address, listen_to_the_log)
    cluster.of_worker(address, rest)
    # For a heartbeat that is on its way.
    time.sleep(0.5)
    cluster.of_worker(address, take_away)
    lost = {series for series in whole.samples if series[0] in families}
    assert lost
    left = whole.samples.keys() - lost
    try:
        # A scrape right after a sample is answered with it.
        eventually(lambda: scrape(url).samples.keys() == left)
        pages = [scrape(url) for _ in range(3)]
        told = cluster.of_worker(address, warnings)
    finally:
        cluster.of_worker(address, restore)
        cluster.of_worker(address, go_on)
    for page in pages:
        assert page.samples.keys() == left
        assert not page.types.keys() & set(families)
    assert [line.split(":")[0] for line in told] == families
    # It is back with the attribute.
    eventually(lambda: scrape(url).samples.keys() == whole.samples.keys())


@pytest.mark.parametrize("taken", ["http_server._sockets", "http_server._handlers"])
def test_missing_part_of_tornado_makes_the_page_a_route(new_cluster, tmp_path, taken: str) -> None:
    owner, name = taken.split(".")
    without = preload(
        tmp_path, f"def dask_setup(server):\n    del server.{owner}.__dict__[{name!r}]\n"
    )
    cluster = new_cluster()
    # Without its table of sockets tornado itself cannot be stopped.
    cluster.patience = 0
    _, url, log = start_worker(cluster, without)
    page = scrape(url)
    assert page.has("dask_worker_threads")
    assert page.has("stethoscope_sample_age_seconds")
    assert fetch(url, "/health").body == b"ok"
    assert log.count(ROUTE_LOG) == 1
    assert name in log


def test_missing_digests_cost_only_the_medians(new_cluster, tmp_path) -> None:
    # As of a Dask that keeps none, and so does not feed any either.
    without = preload(
        tmp_path,
        "def dask_setup(server):\n"
        "    type(server).digest_metric = lambda self, name, value: None\n"
        "    del server.digests\n",
    )
    _, url, log = start_worker(new_cluster(), without)
    page = scrape(url)
    assert page.has("dask_worker_threads")
    assert "median" not in page.text
    assert log.count("the server has no digests") == 1


def test_tls_dashboard_serves_the_page_by_the_route(new_cluster, certificate) -> None:
    cluster = new_cluster(**tls(certificate))
    process = cluster.start_scheduler()
    unverified = ssl._create_unverified_context()
    url = cluster.scheduler_url.replace("http:", "https:")
    with urllib.request.urlopen(f"{url}/metrics", context=unverified, timeout=30) as response:
        page = Page(response.read().decode())
    assert page.value("dask_scheduler_clients") == 1
    assert process.log.read_text().count(f"{ROUTE_LOG}: the dashboard speaks TLS") == 1


def test_dedicated_port_works_beside_a_tls_dashboard(new_cluster, certificate) -> None:
    serve = {"DASK_DISTRIBUTED__STETHOSCOPE__SERVE": "dedicated-port"}
    cluster = new_cluster(**tls(certificate), **serve)
    process = cluster.start_scheduler()

    def own_port(dask_scheduler) -> int:
        return dask_scheduler.identity()["services"]["stethoscope"]

    url = f"http://{HOST}:{cluster.client.run_on_scheduler(own_port)}"
    # A scrape right after another sample is answered with it.
    eventually(lambda: scrape(url).value("dask_scheduler_clients") == 1)
    page = scrape(url)
    assert page.has("stethoscope_http_responses_total")
    assert ROUTE_LOG not in process.log.read_text()


def test_route_mode_serves_the_page_by_the_route(new_cluster) -> None:
    cluster = new_cluster(DASK_DISTRIBUTED__STETHOSCOPE__SERVE="route")
    process = cluster.start_scheduler()
    eventually(lambda: scrape(cluster.scheduler_url).value("dask_scheduler_clients") == 1)
    page = scrape(cluster.scheduler_url)
    # Nobody counts connections there.
    assert "stethoscope_http" not in page.text
    assert fetch(cluster.scheduler_url, "/metrics", method="HEAD").status == 200
    assert ROUTE_LOG not in process.log.read_text()


def test_dashboard_prefix_is_a_prefix_of_the_page(new_cluster) -> None:
    cluster = new_cluster()
    cluster.start_scheduler("--dashboard-prefix", "/my/dask")
    for path in ("/metrics", "/my/dask/metrics", "/my/dask/metrics/"):
        page = Page(fetch(cluster.scheduler_url, path).body.decode())
        assert page.has("stethoscope_sample_age_seconds")
