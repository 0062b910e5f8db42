"""Each expression of the dashboard, on a real Prometheus, with each kind of scrape job."""

from __future__ import annotations

import contextlib
import functools
import gc
import json
import re
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from demo import work
from harness import HOST, Cluster, eventually, fetch, prometheus_server, query
from tasks import nap, use

pytestmark = [pytest.mark.newest, pytest.mark.timeout(400)]

INTERVAL = "1s"
#: Grafana's variables, with everything chosen.
VARIABLES = {"$__rate_interval": "10s", "$__range": "1m", "$cluster": ".*", "$worker": ".*"}

#: Families without a sample: gilknocker, which measures them, is not installed.
ABSENT = {
    "dask_scheduler_gil_contention_seconds_total",
    "dask_worker_gil_contention_seconds_total",
}
#: Families that are 0 unless something is wrong that this workload does not bring about.
STILL = {
    "python_gc_objects_uncollectable_total",
    "stethoscope_http_connections_dropped_total",
    "stethoscope_task_prefixes_folded",
    # Many transfers are too short to be seen under way.
    "dask_worker_transfer_outgoing_count",
    "dask_worker_transfer_outgoing_bytes",
    "dask_worker_transfer_incoming_count",
    "dask_worker_transfer_incoming_bytes",
    "dask_worker_connections",
}
#: Panels that select a state in which nothing is here.
STILL_SELECTORS = ('state="paused"', 'state="no-worker"', 'status!="running"', "process_alive")
#: Kinds of scrape jobs that learn of the pages of dead workers.
WITH_POSTMORTEMS = ("http_sd", "file_sd")


@functools.cache
def operator_prints(*arguments: str) -> str:
    """Run `python -m stethoscope.dask ARGUMENTS` and return its output."""
    command = [sys.executable, "-m", "stethoscope.dask", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def queries() -> Iterator[tuple[str, str, str]]:
    """The type and title of each panel with each of its expressions, variables replaced."""
    panels = json.loads(operator_prints("grafana"))["panels"]
    for panel in panels + [inner for row in panels for inner in row.get("panels", [])]:
        for target in panel.get("targets", []):
            expression = target["expr"]
            for variable, value in VARIABLES.items():
                expression = expression.replace(variable, value)
            yield panel["type"], panel["title"], expression


def families(expression: str) -> set[str]:
    """The families that an expression selects, but for the one that marks Dask's processes."""
    without_mark = expression.replace("stethoscope_sample_age_seconds)", ")")
    return {
        name.removesuffix("_bucket")
        for name in re.findall(
            r"\b((?:dask|postmortem|stethoscope|process|python)_[a-z_]+)\b", without_mark
        )
    }


def job(**discovery: object) -> str:
    scrape = {"job_name": "dask", "scrape_interval": INTERVAL, **discovery}
    return json.dumps({"scrape_configs": [scrape]})


def configurations(cluster: Cluster, files: Path) -> dict[str, str]:
    """A configuration of Prometheus for each kind of scrape job."""
    scheduler = cluster.scheduler_url.removeprefix("http://")
    workers = [url.removeprefix("http://") for url in cluster.workers().values()]
    printed = ("prometheus-config", "--interval", INTERVAL)
    named = (*printed, "--scheduler", f"blue={scheduler}")

    def pod(address: str, role: str, **labels: str) -> dict:
        # As the operator's monitors label them.
        monitored = {"namespace": "team", "pod": f"{role}-pod", "container": "dask", "role": role}
        return {"targets": [address], "labels": {**monitored, "cluster": "blue", **labels}}

    return {
        "http_sd": operator_prints(*named),
        "file_sd": operator_prints(*printed, "--kind", "file_sd", "--files", f"{files}/*.json"),
        "static": operator_prints(
            *named, "--kind", "static", *(f"--worker={address}" for address in workers)
        ),
        "static without labels": job(static_configs=[{"targets": [scheduler, *workers]}]),
        "PodMonitor": job(
            static_configs=[
                pod(scheduler, "scheduler"),
                *(pod(worker, "worker", worker_name=worker) for worker in workers),
            ]
        ),
        "ServiceMonitor": job(static_configs=[pod(scheduler, "scheduler", service="dask")]),
    }


def disturb(cluster: Cluster) -> None:
    """Bring about what the demo's work does not: clients, semaphores, deaths, hand-overs."""
    from distributed import Client, Semaphore

    with Client(cluster.address, set_as_default=False) as client:
        limit = Semaphore(max_leases=1, name="database", scheduler_rpc=client.scheduler)

        def die() -> None:
            import os

            os._exit(1)

        # Only one worker has these at first, and the others take some off it.
        first = next(iter(cluster.workers()))
        stolen = client.map(
            nap, [0.05] * 300, range(300), workers=[first], allow_other_workers=True, pure=False
        )
        held = client.map(use, [limit] * 200, range(200), pure=False)
        for _ in range(5):
            client.run(gc.collect)
            client.run_on_scheduler(gc.collect)
            time.sleep(1)
        client.gather(stolen)
        for url in (cluster.scheduler_url, *cluster.workers().values()):
            fetch(url, "/health")
        # It is tried on one worker after another, and given up.
        dies = client.submit(die, pure=False)
        client.gather(held, errors="skip")
        with contextlib.suppress(Exception):
            dies.result(timeout=60)


def expected_to_move(kind: str) -> Iterator[tuple[str, str]]:
    """The title and expression of each panel that this workload moves, with this scrape job."""
    for _, title, expression in queries():
        selected = families(expression)
        if selected & (ABSENT | STILL) or any(s in expression for s in STILL_SELECTORS):
            continue
        if kind == "ServiceMonitor" and any(f.startswith("dask_worker_") for f in selected):
            continue
        is_of_dead = "postmortem_" in expression or "stethoscope_process_death" in expression
        if not is_of_dead or kind in WITH_POSTMORTEMS:
            yield title, expression


def counts(_: float, text: str) -> bool:
    value = float(text)
    return value == value and value != 0


def moved(server: str, expression: str, since: float) -> bool:
    """Whether an expression has, or has had, any value that is neither 0 nor NaN."""
    if any(counts(*one["value"]) for one in query(server, expression)):
        return True
    window = {"query": expression, "start": since, "end": time.time(), "step": 1}
    path = "/api/v1/query_range?" + urllib.parse.urlencode(window)
    answer = json.loads(fetch(server, path).body)
    assert answer["status"] == "success", answer
    return any(counts(*point) for one in answer["data"]["result"] for point in one["values"])


def test_each_expression_moves_with_each_kind_of_scrape_job(
    new_cluster, prometheus, tmp_path: Path, record_property
) -> None:
    files = tmp_path / "targets"
    files.mkdir()
    cluster = new_cluster(
        DASK_DISTRIBUTED__WORKER__MEMORY__TARGET="0.1",
        DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="1",
        DASK_DISTRIBUTED__STETHOSCOPE__TARGETS_FILE=f"{files}/blue.json",
        DASK_DISTRIBUTED__STETHOSCOPE__BLACK_BOX="true",
    )
    cluster.start_scheduler()
    cluster.start_workers(3)
    since = time.time()
    with ExitStack() as stack:
        servers = {}
        for number, (kind, text) in enumerate(configurations(cluster, files).items()):
            directory = tmp_path / str(number)
            directory.mkdir()
            (directory / "stethoscope-alerts.yml").write_text(operator_prints("alerts"))
            servers[kind] = stack.enter_context(prometheus_server(directory, text))
        for kind, server in servers.items():
            expected = 1 if kind == "ServiceMonitor" else 4
            eventually(lambda s=server, n=expected: len(query(s, "up == 1")) >= n)
        still = {
            (kind, title, expression)
            for kind in servers
            for title, expression in expected_to_move(kind)
        }
        for kind in servers:
            counted = sum(kind == of for of, _, _ in still)
            assert counted > 0
            record_property(kind, counted)

        def all_move() -> None:
            still.difference_update([one for one in still if moved(servers[one[0]], one[2], since)])
            assert not still, "\n".join(map(": ".join, sorted(still)))

        with work(cluster.client):
            disturb(cluster)
            eventually(all_move, timeout=60)
        # No alert fires by a mistake in its expression.
        for server in servers.values():
            rules = json.loads(fetch(server, "/api/v1/rules").body)["data"]["groups"]
            assert all(rule["health"] != "err" for group in rules for rule in group["rules"])


def test_200_workers_do_not_draw_200_lines(new_cluster, prometheus, tmp_path: Path) -> None:
    cluster = new_cluster()
    cluster.start_scheduler()
    cluster.start_worker()
    (worker,) = cluster.workers().values()
    # One page, as the pages of 200 workers.
    groups = [
        {
            "targets": [worker.removeprefix("http://")],
            "labels": {"instance": f"w{number}:1", "worker_name": f"w{number}"},
        }
        for number in range(200)
    ]
    groups.append({"targets": [cluster.scheduler_url.removeprefix("http://")]})
    with prometheus_server(tmp_path, job(static_configs=groups)) as server:
        eventually(lambda: len(query(server, "up == 1")) == 201, timeout=60)
        eventually(lambda: len(query(server, "dask_worker_threads")) == 200)
        time.sleep(3)
        seen = 0
        for kind, title, expression in queries():
            series = len(query(server, expression))
            seen += series > 0
            # A heatmap has a series for each of its buckets.
            assert series <= 30, (kind, title, series)
        assert seen > 50
        assert f"{HOST}:" in worker
