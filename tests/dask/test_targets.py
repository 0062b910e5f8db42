"""How Prometheus finds a cluster: through its scheduler's list of targets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from harness import Cluster, eventually, fetch, prometheus_server, query

PATH = "/metrics/targets"


def targets(scheduler_url: str, **options) -> dict[str, dict[str, str]]:
    """The labels of each target, by where it is."""
    response = fetch(scheduler_url, PATH, **options)
    assert response.status == 200
    assert response.getheader("Content-Type") == "application/json"
    listed = json.loads(response.body)
    return {target: group["labels"] for group in listed for target in group["targets"]}


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
    }


def kill_worker(cluster: Cluster, address: str) -> None:
    os.kill(cluster.of_worker(address, os.getpid), signal.SIGKILL)


@pytest.mark.parametrize("serve", ["take-over", "route"])
def test_who_joins_is_listed_and_who_leaves_is_not(new_cluster, serve: str) -> None:
    cluster = new_cluster(DASK_DISTRIBUTED__STETHOSCOPE__SERVE=serve)
    cluster.start_scheduler()
    assert targets(cluster.scheduler_url) == expected(cluster)
    assert len(expected(cluster)) == 1

    # The scheduler knows them: the next request has them, without a pause.
    cluster.start_workers(2, "--name", 'the "first" pair')
    assert targets(cluster.scheduler_url) == expected(cluster)
    assert len(expected(cluster)) == 3
    for target in targets(cluster.scheduler_url):
        assert fetch(f"http://{target}").status == 200

    first, second = cluster.workers()
    cluster.client.retire_workers([first])
    assert targets(cluster.scheduler_url) == expected(cluster)
    assert not any(labels.get("worker_address") == first for labels in expected(cluster).values())

    # Killed, it may be started again by its nanny, with other ports: that is up to
    # Dask, and so is when.
    kill_worker(cluster, second)
    eventually(lambda: second not in cluster.workers())
    eventually(lambda: targets(cluster.scheduler_url) == expected(cluster))
    cluster.start_workers(1)
    eventually(lambda: targets(cluster.scheduler_url) == expected(cluster))
    assert len(expected(cluster)) > 1


def test_the_list_is_kept_right_while_nobody_asks_for_it(new_cluster) -> None:
    cluster = new_cluster(DASK_DISTRIBUTED__STETHOSCOPE__REFRESH_TIMEOUT="0s")
    cluster.start_scheduler()
    cluster.start_workers(2)
    # Nobody waits for the loop here: what is served is what was there before.
    eventually(lambda: targets(cluster.scheduler_url) == expected(cluster))


def test_the_list_is_there_while_the_loop_is_blocked(cluster: Cluster) -> None:
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


def test_only_a_scheduler_has_a_list(cluster: Cluster) -> None:
    for url in cluster.workers().values():
        assert fetch(url, PATH).status == 404
    head = fetch(cluster.scheduler_url, PATH, method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert int(head.getheader("Content-Length")) > 0


def test_prometheus_finds_a_cluster_by_the_configuration_that_is_printed(
    new_cluster, prometheus, tmp_path
) -> None:
    cluster = new_cluster()
    cluster.start_scheduler()
    cluster.start_workers(2)
    scheduler = cluster.scheduler_url.removeprefix("http://")

    def printed(*arguments: str) -> str:
        command = [sys.executable, "-m", "stethoscope.dask", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    (tmp_path / "alerts.yml").write_text(printed("alerts"))
    configuration = printed(
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
