"""Ways to start a cluster, and to load this package into it."""

from __future__ import annotations

import asyncio
import http.client
import os
import subprocess
import sys
import urllib.parse
from pathlib import Path

import dask
import pytest
from distributed import Client, LocalCluster
from harness import HOST, Cluster, dashboards, eventually, fetch, is_listening, scrape

import stethoscope.dask


def test_servers_in_one_process_have_separate_pages() -> None:
    with (
        LocalCluster(
            n_workers=3, threads_per_worker=1, processes=False, dashboard_address=f"{HOST}:0"
        ) as cluster,
        Client(cluster),
    ):
        scheduler, workers = dashboards(cluster)
        page = scrape(scheduler)
        assert sum(page.by("state", "dask_scheduler_workers").values()) == 3
        assert not any(name.startswith("dask_worker") for name, _ in page.samples)
        assert len(workers) == 3
        for number, worker in enumerate(cluster.workers.values()):
            worker.state.nthreads = 10 + number
        for number, worker in enumerate(cluster.workers.values()):
            url, threads = workers[worker.address], 10 + number
            # On a busy machine the first scrape may come before the loop has had its turn.
            eventually(lambda u=url, n=threads: scrape(u).value("dask_worker_threads") == n)
            page = scrape(url)
            assert not any(name.startswith("dask_scheduler") for name, _ in page.samples)


@pytest.mark.parametrize(
    ("number", "arguments"),
    # Dask starts no more than one worker in a process of its own.
    [pytest.param(3, [], id="nannies"), pytest.param(1, ["--no-nanny"], id="no-nanny")],
)
def test_workers_of_one_command_have_separate_pages(
    new_cluster, number: int, arguments: list[str]
) -> None:
    cluster = new_cluster()
    cluster.start_scheduler()
    cluster.start_workers(number, *arguments)
    urls = list(cluster.workers().values())
    assert len(set(urls)) == number
    for url in urls:
        assert scrape(url).value("dask_worker_threads") == 2


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_workers_of_a_nanny_are_attached(method: str, tmp_path: Path) -> None:
    # In a process of its own: forking from pytest's would copy its threads' locks.
    script = tmp_path / "cluster.py"
    script.write_text(
        f"""
import dask
from distributed import Client, LocalCluster
from harness import HOST, dashboards, eventually, scrape

if __name__ == "__main__":
    dask.config.set({{"distributed.worker.multiprocessing-method": "{method}"}})
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=HOST + ":0") as cluster,
        Client(cluster) as client,
    ):
        scheduler, workers = dashboards(cluster)
        assert len(workers) == 2
        for url in workers.values():
            page = scrape(url)
            assert page.value("dask_worker_threads") == 1
            assert not page.has("dask_scheduler_clients")
        eventually(lambda: scrape(scheduler).value("dask_scheduler_clients") == 1)
    print("all served")
"""
    )
    result = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )
    assert result.stdout.endswith("all served\n"), result.stdout + result.stderr
    assert "Traceback" not in result.stderr


def test_forked_child_serves_nothing_and_disturbs_nothing(cluster: Cluster) -> None:
    def fork_and_end(dask_worker) -> int:
        import os

        child = os.fork()
        if child == 0:
            # What a child's interpreter may do with objects it has inherited.
            try:
                dask_worker.http_server.stop()
                os._exit(0)
            except BaseException:
                os._exit(1)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    address, url = next(iter(cluster.workers().items()))
    assert cluster.of_worker(address, fork_and_end) == 0
    before = scrape(url)
    assert before.value("dask_worker_threads") == 2
    assert fetch(url, "/health").status == 200
    # The event loop still answers: nothing of the link to it was lost.
    assert scrape(url).value("stethoscope_sample_age_seconds") < 1


OWN_PRELOAD = {
    "DASK_DISTRIBUTED__SCHEDULER__PRELOAD": "[]",
    "DASK_DISTRIBUTED__WORKER__PRELOAD": "[]",
}
ROUTES = {
    "DASK_DISTRIBUTED__SCHEDULER__HTTP__ROUTES": "['stethoscope.dask', 'distributed.http.health']",
    "DASK_DISTRIBUTED__WORKER__HTTP__ROUTES": "['stethoscope.dask', 'distributed.http.health']",
}


@pytest.mark.parametrize(
    ("environment", "arguments"),
    [
        pytest.param({}, [], id="installed"),
        pytest.param(OWN_PRELOAD, ["--preload", "stethoscope.dask"], id="preload"),
        pytest.param({**OWN_PRELOAD, **ROUTES}, [], id="routes"),
        pytest.param(ROUTES, ["--preload", "stethoscope.dask"], id="all-at-once"),
    ],
)
def test_attaches_once_however_it_is_loaded(
    new_cluster, environment: dict[str, str], arguments: list[str]
) -> None:
    cluster = new_cluster(**environment)
    scheduler = cluster.start_scheduler(*arguments)
    workers = cluster.start_workers(1, *arguments)
    url = next(iter(cluster.workers().values()))
    for _ in range(2):
        assert scrape(cluster.scheduler_url).has("dask_scheduler_clients")
        assert scrape(url).has("dask_worker_connections")
    assert fetch(url, "/health").status == 200

    def native_threads(dask_worker) -> int:
        from pathlib import Path

        names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
        return sum(name.startswith("stethoscope") for name in names)

    # One that listens, and one that keeps the black box.
    assert cluster.client.run(native_threads) == dict.fromkeys(cluster.workers(), 2)
    for process in (scheduler, workers):
        assert "Traceback" not in process.log.read_text()


def clients_configuration() -> dict[str, str]:
    """The configuration of this process, as SSHCluster gives it to remote servers."""
    return {"DASK_INTERNAL_INHERIT_CONFIG": dask.config.serialize(dask.config.global_config)}


def test_environment_without_the_package_starts_with_the_clients_configuration(
    new_cluster, new_environment
) -> None:
    inherited = clients_configuration()
    preload = dask.config.get("distributed.worker.preload")
    assert any("stethoscope" in text for text in preload)
    cluster = new_cluster(**inherited)
    cluster.python = new_environment(False)
    scheduler = cluster.start_scheduler()
    workers = cluster.start_workers(2)

    def preloads(dask_worker) -> list[str]:
        return [preload.name for preload in dask_worker.preloads]

    # It was told to load the package, and has started without it.
    assert list(cluster.client.run(preloads).values()) == [preload, preload]
    assert cluster.client.submit(sum, [1, 2]).result(timeout=30) == 3
    for url in (cluster.scheduler_url, *cluster.workers().values()):
        assert b"stethoscope" not in fetch(url).body
        assert fetch(url, "/health").status == 200
    for process in (scheduler, workers):
        log = process.log.read_text()
        assert "Traceback" not in log
        assert "Creating preload: # stethoscope: " in log


def test_uninstalling_under_a_running_nanny_leaves_workers_that_restart(
    new_cluster, new_environment
) -> None:
    cluster = new_cluster()
    cluster.python = new_environment(True)
    cluster.start_scheduler()
    process = cluster.start_workers(2)
    for url in cluster.workers().values():
        assert scrape(url).has("dask_worker_threads")

    uninstall = [cluster.python, "-m", "pip", "uninstall", "--yes", "stethoscope"]
    subprocess.run(uninstall, check=True, capture_output=True, timeout=60)
    before = set(cluster.workers())
    cluster.client.restart(timeout=60)
    cluster.client.wait_for_workers(2, timeout=60)
    assert len(cluster.workers()) == 2
    assert cluster.client.submit(sum, [1, 2]).result(timeout=30) == 3
    for address, url in cluster.workers().items():
        if address not in before:
            assert b"stethoscope" not in fetch(url).body
    # The scheduler loaded it before, and goes on serving.
    assert scrape(cluster.scheduler_url).has("stethoscope_sample_age_seconds")
    assert "Traceback" not in process.log.read_text()


@pytest.mark.parametrize(
    "module",
    [
        pytest.param("", id="without-the-functions"),
        pytest.param("raise ImportError('libpython is missing')", id="that-cannot-be-loaded"),
    ],
)
def test_older_version_on_the_worker_starts_with_the_clients_preload(
    new_cluster, tmp_path: Path, module: str
) -> None:
    package = tmp_path / "older" / "stethoscope" / "dask"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").write_text("__version__ = '0.0.1'\n")
    (package / "__init__.py").write_text(f"{module}\n")
    cluster = new_cluster(**clients_configuration())
    cluster.start_scheduler()
    cluster.first_on_path = str(tmp_path / "older")
    process = cluster.start_workers(1)
    (url,) = cluster.workers().values()
    assert b"stethoscope" not in fetch(url).body
    assert cluster.client.submit(sum, [1, 2]).result(timeout=30) == 3
    assert "Traceback" not in process.log.read_text()


def test_keys_and_values_of_a_newer_client_cost_only_themselves(new_cluster) -> None:
    with dask.config.set(
        {
            "distributed.stethoscope.serve": "by-magic",
            "distributed.stethoscope.a-later-key": {"of": "another kind"},
            "distributed.stethoscope.labels": {"cluster": "blue"},
        }
    ):
        inherited = clients_configuration()
    cluster = new_cluster(**inherited)
    cluster.start_scheduler()
    process = cluster.start_workers(1)
    (url,) = cluster.workers().values()
    page = scrape(url)
    assert page.value("dask_worker_threads", cluster="blue") == 2
    assert page.has("stethoscope_http_responses_total")
    log = process.log.read_text()
    assert "unknown key distributed.stethoscope.a-later-key is ignored" in log
    assert "distributed.stethoscope.serve: expected one of take-over, " in log


def test_running_cluster_is_switched_on_and_off(new_cluster, new_environment) -> None:
    cluster = new_cluster(DASK_DISTRIBUTED__STETHOSCOPE__ENABLED="false")
    cluster.start_scheduler()
    cluster.start_worker()
    present = [cluster.address, *cluster.workers()]
    urls = [cluster.scheduler_url, *cluster.workers().values()]
    # A worker in whose environment nothing can be switched on.
    cluster.python = new_environment(False)
    without = cluster.start_worker()
    (absent,) = cluster.workers().keys() - set(present)

    kept = http.client.HTTPConnection(urllib.parse.urlsplit(urls[0]).netloc)

    def ask() -> bytes:
        kept.request("GET", "/metrics")
        return kept.getresponse().read()

    for url in urls:
        assert b"stethoscope" not in fetch(url).body
    assert b"stethoscope" not in ask()
    missing = "failed: No module named 'stethoscope': install stethoscope there"
    for _ in range(2):
        switched = stethoscope.dask.attach(cluster.client)
        assert switched == {**dict.fromkeys(present, "take-over"), absent: missing}
    for url in urls:
        assert scrape(url).has("stethoscope_sample_age_seconds")
    # A connection from before is Dask's; the route answers it.
    assert b"stethoscope" in ask()
    for outcome in ("detached", "not attached"):
        switched = stethoscope.dask.detach(cluster.client)
        assert switched == {**dict.fromkeys(present, outcome), absent: missing}
    for url in urls:
        assert b"stethoscope" not in fetch(url).body
    kept.close()
    assert "Traceback" not in without.log.read_text()


def test_asynchronous_client_is_refused_on_its_loop_and_taken_in_a_thread(cluster: Cluster) -> None:
    async def attach() -> dict[str, str]:
        async with Client(cluster.address, asynchronous=True) as client:
            with pytest.raises(TypeError, match="found an asynchronous one"):
                stethoscope.dask.attach(client)
            return await asyncio.to_thread(stethoscope.dask.attach, client)

    assert set(asyncio.run(attach()).values()) == {"take-over"}


def test_disabled_by_the_configuration_leaves_dasks_own_page(new_cluster) -> None:
    cluster = new_cluster(DASK_DISTRIBUTED__STETHOSCOPE__ENABLED="false")
    cluster.start_scheduler()
    body = fetch(cluster.scheduler_url).body
    assert b"stethoscope" not in body
    # Dask's own page, as if this package were not there.
    assert b"dask_scheduler_tasks_forgotten" in body


def test_closing_a_worker_stops_its_thread_and_frees_its_port() -> None:
    # Other tests may serve metrics of their own from this process.
    others = native_threads_here()
    with LocalCluster(n_workers=0, processes=False, dashboard_address=f"{HOST}:0") as cluster:
        scheduler_port = cluster.scheduler.http_server.port
        with Client(cluster) as client:
            # One that listens, and one that keeps the black box. A thread has its name a
            # moment after it has begun.
            eventually(lambda: native_threads_here() == others + 2)
            cluster.scale(2)
            client.wait_for_workers(2)
            ports = [worker.http_server.port for worker in cluster.workers.values()]
            for _, url in dashboards(cluster)[1].items():
                assert scrape(url).has("dask_worker_threads")
            eventually(lambda: native_threads_here() == others + 6)
            cluster.scale(0)
            eventually(lambda: not any(is_listening(port) for port in ports))
            eventually(lambda: native_threads_here() == others + 2)
    eventually(lambda: not is_listening(scheduler_port))
    eventually(lambda: native_threads_here() == others)


def native_threads_here() -> int:
    names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
    return sum(name.startswith("stethoscope") for name in names)


def test_import_starts_no_thread() -> None:
    code = (
        "import stethoscope, stethoscope.dask, sys, threading;"
        "assert threading.active_count() == 1;"
        "assert not {'distributed', 'tornado'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
