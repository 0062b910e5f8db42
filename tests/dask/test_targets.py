"""The list of targets of a scheduler, with which Prometheus finds a cluster."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from harness import (
    HOST,
    Cluster,
    Process,
    eventually,
    fetch,
    free_port,
    is_listening,
    own_tracebacks,
    prometheus_server,
    query,
    scrape,
    tls,
)

import stethoscope.dask

PATH = "/metrics/targets"


def targets(scheduler_url: str, **options) -> dict[str, dict[str, str]]:
    """The labels of each server's target, by where it is."""
    response = fetch(scheduler_url, PATH, **options)
    assert response.status == 200
    assert response.getheader("Content-Type") == "application/json"
    listed = json.loads(response.body)
    # Pages of the dead and the frozen are the scheduler's: see test_black_box.py.
    servers = [group for group in listed if group["labels"]["role"] in ("scheduler", "worker")]
    return {target: group["labels"] for group in servers for target in group["targets"]}


def expected(cluster: Cluster) -> dict[str, dict[str, str]]:
    def names(dask_scheduler) -> dict[str, str]:
        return {address: str(worker.name) for address, worker in dask_scheduler.workers.items()}

    workers = cluster.client.run_on_scheduler(names)
    return {cluster.scheduler_url.removeprefix("http://"): {"role": "scheduler"}} | {
        url.removeprefix("http://"): {
            "role": "worker",
            "worker_name": workers[address],
            "worker_address": address,
        }
        for address, url in cluster.workers().items()
        # Workers may come and go between the two questions.
        if address in workers
    }


def operator_prints(*arguments: str) -> str:
    """Run `python -m stethoscope.dask ARGUMENTS` and return its output."""
    command = [sys.executable, "-m", "stethoscope.dask", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def kill_worker(cluster: Cluster, address: str) -> None:
    os.kill(cluster.of_worker(address, os.getpid), signal.SIGKILL)


@pytest.mark.parametrize("serve", ["take-over", "route"])
def test_list_follows_workers_that_join_and_leave(new_cluster, serve: str) -> None:
    cluster = new_cluster(DASK_DISTRIBUTED__STETHOSCOPE__SERVE=serve)
    cluster.start_scheduler()
    assert targets(cluster.scheduler_url) == expected(cluster)
    assert len(expected(cluster)) == 1

    cluster.start_workers(2, "--name", 'the "first" pair')
    eventually(lambda: targets(cluster.scheduler_url) == expected(cluster))
    assert len(expected(cluster)) == 3
    for target in targets(cluster.scheduler_url):
        assert fetch(f"http://{target}").status == 200

    first, second = cluster.workers()
    cluster.client.retire_workers([first])
    # Older versions close it after they have answered. A request right after a sample
    # is answered with it, as is one that a busy loop keeps waiting.
    eventually(lambda: first not in cluster.workers())
    eventually(lambda: targets(cluster.scheduler_url) == expected(cluster))
    assert not any(labels.get("worker_address") == first for labels in expected(cluster).values())

    # Killed, it may be started again by its nanny, with other ports: that is up to
    # Dask, and so is when.
    kill_worker(cluster, second)
    eventually(lambda: second not in cluster.workers())
    eventually(lambda: targets(cluster.scheduler_url) == expected(cluster))
    cluster.start_worker()
    eventually(lambda: targets(cluster.scheduler_url) == expected(cluster))
    assert len(expected(cluster)) > 1


def test_list_is_up_to_date_without_waiting_for_the_loop(new_cluster) -> None:
    cluster = new_cluster(DASK_DISTRIBUTED__STETHOSCOPE__REFRESH_TIMEOUT="0s")
    cluster.start_scheduler()
    cluster.start_workers(2)
    # Nobody waits for the loop here: what is served is what was there before.
    eventually(lambda: targets(cluster.scheduler_url) == expected(cluster))


def test_list_is_served_while_the_loop_is_blocked(cluster: Cluster) -> None:
    before = targets(cluster.scheduler_url)
    assert len(before) == 3
    blocked = threading.Thread(
        target=cluster.client.run_on_scheduler, args=(lambda: time.sleep(3),), daemon=True
    )
    blocked.start()
    answered = 0
    while blocked.is_alive():
        assert targets(cluster.scheduler_url) == before
        answered += blocked.is_alive()
    blocked.join()
    assert answered > 10


def test_worker_has_no_list(cluster: Cluster) -> None:
    for url in cluster.workers().values():
        assert fetch(url, PATH).status == 404
    head = fetch(cluster.scheduler_url, PATH, method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert int(head.getheader("Content-Length")) > 0


def test_prometheus_finds_a_cluster_with_the_printed_configuration(
    new_cluster, prometheus, tmp_path
) -> None:
    cluster = new_cluster()
    cluster.start_scheduler()
    cluster.start_workers(2)
    scheduler = cluster.scheduler_url.removeprefix("http://")

    (tmp_path / "alerts.yml").write_text(operator_prints("alerts"))
    configuration = operator_prints(
        "prometheus-config",
        *("--scheduler", f"blue={scheduler}"),
        *("--interval", "1s", "--rules", "alerts.yml"),
    )

    def up(server: str) -> dict[str, dict[str, str]]:
        found = {}
        for series in query(server, "up == 1"):
            labels = series["metric"]
            assert (labels.pop("__name__"), labels.pop("job")) == ("up", "dask")
            assert labels.pop("cluster") == "blue"
            found[labels.pop("instance")] = labels
        return found

    with prometheus_server(tmp_path, configuration) as server:
        eventually(lambda: up(server) == expected(cluster))
        # What the dashboard's variables ask for.
        names = {s["metric"]["worker_name"] for s in query(server, "dask_worker_threads")}
        assert names == {
            labels["worker_name"] for labels in expected(cluster).values() if len(labels) > 1
        }
        rules = json.loads(fetch(server, "/api/v1/rules").body)["data"]["groups"]
        assert all(rule["health"] != "err" for group in rules for rule in group["rules"])

        first = next(iter(cluster.workers()))
        cluster.client.retire_workers([first])
        eventually(lambda: up(server) == expected(cluster))
        assert len(expected(cluster)) == 2


LOCALHOST_2 = "127.0.0.2"


def test_target_is_the_address_that_the_http_server_is_bound_to(new_cluster) -> None:
    cluster = new_cluster()
    cluster.start_scheduler("--dashboard-address", f"{LOCALHOST_2}:0")
    cluster.start_worker("--dashboard-address", f"{LOCALHOST_2}:0")
    listed = targets(cluster.scheduler_url.replace(HOST, LOCALHOST_2))
    assert len(listed) == 2
    for target in listed:
        assert target.startswith(f"{LOCALHOST_2}:")
        assert scrape(f"http://{target}").has("stethoscope_sample_age_seconds")


def test_target_of_a_wildcard_is_the_host_of_the_dask_address(new_cluster) -> None:
    cluster = new_cluster()
    cluster.start_scheduler("--dashboard-address", ":0")
    cluster.start_worker("--dashboard-address", ":0")
    listed = targets(cluster.scheduler_url)
    assert len(listed) == 2
    for target in listed:
        assert target.startswith(f"{HOST}:")
        assert scrape(f"http://{target}").has("stethoscope_sample_age_seconds")


def test_advertised_address_replaces_host_and_port(new_cluster) -> None:
    advertised = "DASK_DISTRIBUTED__STETHOSCOPE__ADVERTISE_ADDRESS"
    cluster = new_cluster(**{advertised: "scheduler.example"})
    cluster.start_scheduler()
    port = cluster.scheduler_url.rpartition(":")[2]
    cluster.environment[advertised] = "[2001:db8::1]:9000"
    cluster.start_worker()
    assert targets(cluster.scheduler_url).keys() == {
        f"scheduler.example:{port}",
        "[2001:db8::1]:9000",
    }


def test_worker_that_announces_nothing_is_listed_where_dask_says(new_cluster) -> None:
    cluster = new_cluster(DASK_DISTRIBUTED__STETHOSCOPE__ENABLED="false")
    cluster.start_scheduler()
    cluster.start_worker()
    stethoscope.dask.attach(cluster.client)
    assert targets(cluster.scheduler_url) == expected(cluster)
    assert len(expected(cluster)) == 2


def test_tls_dashboards_are_listed_with_their_scheme(new_cluster, certificate, prometheus) -> None:
    cluster = new_cluster(**tls(certificate))
    cluster.start_scheduler()
    cluster.start_worker()
    unverified = ssl._create_unverified_context()
    url = cluster.scheduler_url.replace("http:", "https:")
    with urllib.request.urlopen(f"{url}{PATH}", context=unverified, timeout=30) as response:
        listed = json.load(response)
    assert len(listed) == 2
    for group in listed:
        assert group["labels"]["__scheme__"] == "https"
        page = f"https://{group['targets'][0]}/metrics"
        with urllib.request.urlopen(page, context=unverified, timeout=30) as response:
            assert b"stethoscope_sample_age_seconds" in response.read()


def read_targets_file(path: Path) -> dict[str, dict[str, str]]:
    return {
        target: group["labels"]
        for group in json.loads(path.read_text())
        for target in group["targets"]
    }


def test_targets_file_follows_the_cluster_and_goes_with_the_scheduler(
    new_cluster, tmp_path: Path
) -> None:
    directory = tmp_path / "targets"
    directory.mkdir()
    cluster = new_cluster(
        DASK_DISTRIBUTED__STETHOSCOPE__TARGETS_FILE=f"{directory}/dask-{{id}}.json"
    )
    scheduler = cluster.start_scheduler()
    (path,) = directory.glob("*.json")
    assert path.name.startswith("dask-Scheduler-")
    eventually(lambda: read_targets_file(path) == expected(cluster))
    workers = cluster.start_workers(2)
    eventually(lambda: read_targets_file(path) == expected(cluster))
    assert len(expected(cluster)) == 3
    workers.stop()
    eventually(lambda: read_targets_file(path).keys() == {cluster.scheduler_url[7:]})
    cluster.client.close()
    scheduler.stop()
    assert list(directory.iterdir()) == []
    assert not own_tracebacks(scheduler.log.read_text())


def test_targets_file_that_cannot_be_written_costs_only_itself(new_cluster, tmp_path: Path) -> None:
    path = tmp_path / "missing" / "dask.json"
    cluster = new_cluster(DASK_DISTRIBUTED__STETHOSCOPE__TARGETS_FILE=str(path))
    scheduler = cluster.start_scheduler()
    cluster.start_worker()
    eventually(lambda: targets(cluster.scheduler_url) == expected(cluster))
    log = scheduler.log.read_text()
    assert log.count("the list of targets is not written to a file: ") == 1
    assert str(path.parent) in log


@pytest.mark.newest
def test_prometheus_finds_a_cluster_by_its_targets_file(new_cluster, prometheus, tmp_path) -> None:
    directory = tmp_path / "targets"
    directory.mkdir()
    cluster = new_cluster(DASK_DISTRIBUTED__STETHOSCOPE__TARGETS_FILE=f"{directory}/blue.json")
    cluster.start_scheduler()
    cluster.start_worker()
    (tmp_path / "stethoscope-alerts.yml").write_text(operator_prints("alerts"))
    configuration = operator_prints(
        *("prometheus-config", "--kind", "file_sd", "--interval", "1s"),
        *("--files", f"{directory}/*.json"),
    )
    with prometheus_server(tmp_path, configuration) as server:
        eventually(lambda: len(query(server, 'up{cluster="blue"} == 1')) == 2)


@pytest.mark.newest
def test_victoria_metrics_reads_the_same_samples_through_http_sd(
    new_cluster, victoria_metrics: str, tmp_path: Path
) -> None:
    cluster = new_cluster()
    cluster.start_scheduler()
    cluster.start_workers(2)
    job = {
        "job_name": "dask",
        "scrape_interval": "1s",
        "http_sd_configs": [{"url": f"{cluster.scheduler_url}{PATH}"}],
    }
    configuration = tmp_path / "scrape.yml"
    configuration.write_text(json.dumps({"scrape_configs": [job]}))
    port = free_port()
    server = f"http://{HOST}:{port}"
    process = Process(
        [
            victoria_metrics,
            f"-promscrape.config={configuration}",
            f"-storageDataPath={tmp_path / 'victoria'}",
            f"-httpListenAddr={HOST}:{port}",
            "-search.latencyOffset=0s",
        ],
        tmp_path / "victoria.log",
    )
    try:
        eventually(lambda: is_listening(port))
        eventually(lambda: len(query(server, 'up{job="dask"} == 1')) == 3)
        pages = {cluster.scheduler_url, *cluster.workers().values()}
        # Medians are NaN before there was anything to measure, which it does not store.
        scraped = {
            name
            for url in pages
            for (name, _), value in scrape(url).samples.items()
            if value == value
        }

        def missing() -> set[str]:
            names = json.loads(fetch(server, "/api/v1/label/__name__/values").body)["data"]
            return scraped - set(names)

        eventually(lambda: missing() == set())
        series = query(server, "dask_worker_threads")
        assert {one["metric"]["worker_name"] for one in series} == {
            labels["worker_name"] for labels in expected(cluster).values() if len(labels) > 1
        }
        assert {one["value"][1] for one in series} == {"2"}
    finally:
        process.stop()
