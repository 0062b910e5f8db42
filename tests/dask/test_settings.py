"""The effect of each setting below `distributed.stethoscope`, on real servers."""

from __future__ import annotations

import json
import re
import socket

import pytest
from harness import (
    HOST,
    Cluster,
    eventually,
    fetch,
    free_port,
    own_tracebacks,
    prometheus_server,
    query,
    scrape,
    scraping,
)
from tasks import count_with_labels_of_the_page, nap

from stethoscope.dask.attachment import BACKGROUND_SHARE, LONGEST_PAUSE, pause_after

DEDICATED_PORT = {"DASK_DISTRIBUTED__STETHOSCOPE__SERVE": "dedicated-port"}


def targets(cluster: Cluster) -> dict[str, str]:
    """The role of each target by its URL, from the list at the dashboard's port."""
    listed = json.loads(fetch(cluster.scheduler_url, "/metrics/targets").body)
    return {f"http://{entry['targets'][0]}": entry["labels"]["role"] for entry in listed}


def test_dedicated_port_serves_the_page_and_leaves_the_dashboard_alone(new_cluster) -> None:
    cluster = new_cluster(**DEDICATED_PORT)
    scheduler = cluster.start_scheduler()
    workers = cluster.start_workers(2)
    dashboards = {cluster.scheduler_url, *cluster.workers().values()}
    found = eventually(lambda: len(targets(cluster)) == 3 and targets(cluster))
    assert sorted(found.values()) == ["scheduler", "worker", "worker"]
    assert not found.keys() & dashboards
    for url, role in found.items():
        assert scrape(url).has(f"dask_{role}_tick_count_total")
        assert scrape(url).value("stethoscope_sample_age_seconds") < 1
        assert scrape(url).value("stethoscope_http_responses_total", code="200") >= 2
        assert fetch(url, "/status").status == 404
        listed = fetch(url, "/metrics/targets")
        assert listed.status == (200 if role == "scheduler" else 404)
    for url in dashboards:
        # Dask's own port is Dask's, and has the page as well, by its event loop.
        assert fetch(url, "/health").body == b"ok"
        assert scrape(url).has("stethoscope_sample_age_seconds")
    workers.stop()
    eventually(lambda: list(targets(cluster).values()) == ["scheduler"])
    cluster.client.close()
    scheduler.stop()
    for process in (scheduler, workers):
        assert not own_tracebacks(process.log.read_text())
    for url in found:
        with pytest.raises(OSError, match="refused"):
            fetch(url)


def test_dedicated_port_that_is_taken_is_replaced_by_a_free_one(new_cluster) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        address = {"DASK_DISTRIBUTED__STETHOSCOPE__ADDRESS": f"{HOST}:{port}"}
        cluster = new_cluster(**DEDICATED_PORT, **address)
        scheduler = cluster.start_scheduler()
        (url,) = targets(cluster)
        assert scrape(url).has("dask_scheduler_clients")
        assert f"{port}" in scheduler.log.read_text()
    assert url != f"http://{HOST}:{port}"


def test_dedicated_port_at_a_foreign_address_falls_back_to_the_route(new_cluster) -> None:
    # Of a network that is kept for examples.
    address = {"DASK_DISTRIBUTED__STETHOSCOPE__ADDRESS": "192.0.2.1:0"}
    cluster = new_cluster(**DEDICATED_PORT, **address)
    scheduler = cluster.start_scheduler()
    assert list(targets(cluster)) == [cluster.scheduler_url]
    assert scrape(cluster.scheduler_url).has("dask_scheduler_clients")
    log = scheduler.log.read_text()
    assert "/metrics is served by Dask's event loop: " in log
    assert "'192.0.2.1', in distributed.stethoscope.address" in log


def test_scheduler_lists_a_worker_with_a_dedicated_port(new_cluster) -> None:
    port = free_port()
    address = {"DASK_DISTRIBUTED__STETHOSCOPE__ADDRESS": f"localhost:{port}"}
    cluster = new_cluster()
    cluster.start_scheduler()
    cluster.environment |= DEDICATED_PORT | address
    cluster.start_worker()
    found = eventually(lambda: len(targets(cluster)) == 2 and targets(cluster))
    assert found == {cluster.scheduler_url: "scheduler", f"http://localhost:{port}": "worker"}


@pytest.mark.parametrize("seconds", [0.0, 1e-6, 1e-4, 1e-3, 1e-2, 1.0, 1e3])
def test_background_samples_take_a_small_share_of_the_loop(seconds: float) -> None:
    pause = pause_after(seconds, interval=0.5)
    assert 0.5 <= pause <= LONGEST_PAUSE
    assert seconds <= pause * BACKGROUND_SHARE or pause == LONGEST_PAUSE
    # A longer interval is kept.
    assert pause_after(seconds, interval=60.0) == 60.0


def test_families_labels_buckets_and_namespace_follow_the_configuration(new_cluster) -> None:
    cluster = new_cluster(
        DASK_DISTRIBUTED__STETHOSCOPE__EXCLUDE_FAMILIES=(
            "['python_info', 'dask_worker_latency_seconds']"
        ),
        DASK_DISTRIBUTED__STETHOSCOPE__LABELS="{'cluster': 'blue', 'site': 'here'}",
        DASK_DISTRIBUTED__STETHOSCOPE__WORKER_NAME_LABEL="true",
        DASK_DISTRIBUTED__STETHOSCOPE__BUCKETS="[0.5, 5]",
        DASK_DISTRIBUTED__STETHOSCOPE__WINDOW="2s",
        DASK_DISTRIBUTED__STETHOSCOPE__REFRESH_INTERVAL="50ms",
        # A setting of Dask's own, which its handler heeds.
        DASK_DISTRIBUTED__DASHBOARD__PROMETHEUS__NAMESPACE="team",
    )
    cluster.start_scheduler()
    cluster.start_worker("--name", "alice")
    cluster.client.gather(cluster.client.map(nap, [0] * 10, range(10)))
    cluster.client.submit(count_with_labels_of_the_page).result()
    worker = next(iter(cluster.workers().values()))
    eventually(lambda: scrape(worker).has("library"))
    for url, role in [(cluster.scheduler_url, "scheduler"), (worker, "worker")]:
        page = scrape(url)
        assert "python_info" not in page.types
        assert not any("latency" in name or name.startswith("dask_") for name in page.types)
        assert page.has("python_gc_collections_total")
        chosen = {("cluster", "blue"), ("site", "here")}
        without = {name for name, labels in page.samples if not chosen <= set(labels)}
        # The metrics of the process have no labels of the page.
        own = {"own_total", "library"} if role == "worker" else set()
        assert without - {"stethoscope_prometheus_client_age_seconds"} == own
        if role == "worker":
            assert page.value("own_total", cluster="mine", worker_name="bob") == 1
            assert page.value("library", cluster="theirs") == 2
        assert not page.has("stethoscope_family_left_out")
        names = {
            dict(labels).get("worker_name") for name, labels in page.samples if name not in without
        }
        assert names == ({"alice"} if role == "worker" else {None})
        duration = f"team_{role}_task_duration_seconds_bucket"
        bounds = {dict(labels)["le"] for name, labels in page.samples if name == duration}
        assert bounds == {"0.5", "5", "+Inf"}

    def median() -> float:
        page = scrape(worker)
        labels = {"cluster": "blue", "site": "here", "worker_name": "alice"}
        return page.value("team_worker_task_duration_median_seconds", **labels)

    assert median() < 1
    # The window has passed over it: it has no task any more.
    eventually(lambda: median() != median() or None)


@pytest.mark.newest
def test_prometheus_stores_native_histograms_of_durations(
    new_cluster, prometheus, tmp_path
) -> None:
    cluster = new_cluster(DASK_DISTRIBUTED__STETHOSCOPE__NATIVE_HISTOGRAMS="true")
    cluster.start_scheduler()
    cluster.start_worker()
    (worker,) = cluster.workers().values()
    configuration = scraping(
        [url.removeprefix("http://") for url in (cluster.scheduler_url, worker)]
    )
    tasks = 50
    cluster.client.gather(cluster.client.map(nap, [0.02] * tasks, range(tasks)))

    with prometheus_server(tmp_path, configuration, "--enable-feature=native-histograms") as server:

        def value(expression: str) -> float:
            found = query(server, expression)
            assert len(found) == 1, (expression, found)
            return float(found[0]["value"][1])

        for role, url in [("scheduler", cluster.scheduler_url), ("worker", worker)]:
            name = f"dask_{role}_task_duration_seconds"

            def stored(name: str = name, url: str = url) -> bool:
                counted = scrape(url).value(f"{name}_count")
                return value(f"histogram_count({name})") == counted >= tasks

            eventually(stored)
            # Half of them took 20 ms or longer. Buckets are 9 % wide.
            assert value(f"histogram_quantile(0.5, {name})") > 0.018
            assert value(f"histogram_sum({name})") >= tasks * 0.02
            ticks = f"dask_{role}_tick_duration_seconds"
            assert value(f"histogram_count({ticks})") > 0
            for family in (name, ticks):
                assert query(server, f"{family}_bucket") == []
            page = scrape(url)
            bounds = {dict(labels).get("le") for series, labels in page.samples if name in series}
            assert bounds == {"+Inf", None}


@pytest.mark.newest
@pytest.mark.parametrize("serve", ["take-over", "route"])
def test_openmetrics_2_is_sent_to_scrapers_that_ask(new_cluster, serve: str) -> None:
    cluster = new_cluster(
        DASK_DISTRIBUTED__STETHOSCOPE__OPENMETRICS2="true",
        DASK_DISTRIBUTED__STETHOSCOPE__SERVE=serve,
    )
    cluster.start_scheduler()
    url = cluster.scheduler_url
    asked = "application/openmetrics-text; version=2.0.0, text/plain; q=0.5"
    eventually(lambda: scrape(url).has("dask_scheduler_tick_duration_seconds_count"))
    response = fetch(url, Accept=asked)
    assert response.status == 200
    content_type = response.headers["Content-Type"]
    assert content_type.startswith("application/openmetrics-text; version=2.0.0")
    page = response.body.decode()
    assert "\ndask_scheduler_tick_duration_seconds {count:" in page
    assert page.endswith("\n# EOF\n")
    # Everybody else gets what they get without the switch.
    assert fetch(url).headers["Content-Type"].startswith("text/plain")


def test_wrong_values_are_logged_and_the_metrics_are_served(new_cluster) -> None:
    cluster = new_cluster(
        DASK_DISTRIBUTED__STETHOSCOPE__REFRESH_TIMEOUT="soon",
        DASK_DISTRIBUTED__STETHOSCOPE__WINDOW="9999999999s",
        DASK_DISTRIBUTED__STETHOSCOPE__EXCLUDE_FAMILIES="['nothing', 'python_info']",
        DASK_DISTRIBUTED__STETHOSCOPE__LABELS="{'1st': 'a', 'cluster': 'blue'}",
        DASK_DISTRIBUTED__STETHOSCOPE__SERVE="carrier-pigeon",
        DASK_DISTRIBUTED__STETHOSCOPE__FRESHNES="1s",
        DASK_DISTRIBUTED__STETHOSCOPE__LEAVE_OUT="['python_info']",
    )
    process = cluster.start_scheduler()
    url = cluster.scheduler_url
    # A scrape right after another sample is answered with it.
    eventually(lambda: scrape(url).value("dask_scheduler_clients", cluster="blue") == 1)
    page = scrape(url)
    assert page.has("stethoscope_http_responses_total")
    assert "python_info" not in page.types
    log = process.log.read_text()
    assert "Traceback" not in log
    # As Dask formats and levels its own.
    for key in ("refresh-timeout", "window", "exclude-families", "labels", "serve"):
        logger, section = r"distributed\.stethoscope", r"distributed\.stethoscope"
        line = rf"^[-\d]+ [:,\d]+ - {logger} - ERROR - {section}\.{key}: "
        assert re.search(line, log, flags=re.MULTILINE), (key, log)
    for warning in (
        "freshnes is ignored: did you mean 'refresh-timeout'?",
        "leave-out is deprecated: use exclude-families",
    ):
        assert " - distributed.stethoscope - WARNING - " in log
        assert warning in log


def test_dedicated_port_is_logged_at_info(new_cluster) -> None:
    cluster = new_cluster(**DEDICATED_PORT)
    process = cluster.start_scheduler()
    (url,) = targets(cluster)
    assert f" - distributed.stethoscope - INFO - /metrics is served at {url}/metrics" in (
        process.log.read_text()
    )


def test_routes_attach_although_a_value_is_wrong(new_cluster) -> None:
    cluster = new_cluster(
        DASK_DISTRIBUTED__SCHEDULER__PRELOAD="[]",
        DASK_DISTRIBUTED__SCHEDULER__HTTP__ROUTES="['stethoscope.dask', 'distributed.http.health']",
        DASK_DISTRIBUTED__STETHOSCOPE__WINDOW="soon",
    )
    process = cluster.start_scheduler()
    assert scrape(cluster.scheduler_url).has("stethoscope_sample_age_seconds")
    assert "distributed.stethoscope.window: expected a number and a unit" in process.log.read_text()
    assert fetch(cluster.scheduler_url, "/health").status == 200
