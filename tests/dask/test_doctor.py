"""`python -m stethoscope.dask doctor`, on real clusters."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import dask
import pytest
from distributed import Client, LocalCluster
from harness import HOST, Cluster, dashboards, eventually, free_port, tls

import stethoscope.dask

ENABLED = "DASK_DISTRIBUTED__STETHOSCOPE__ENABLED"


def doctor(*arguments: str) -> tuple[int, str, dict[str, str]]:
    """The exit code, the report, and its paragraphs by the server's role and name."""
    command = [sys.executable, "-m", "stethoscope.dask", "doctor", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "Traceback" not in result.stderr, result.stderr
    servers = re.split(r"^(?=scheduler|worker)", result.stdout, flags=re.MULTILINE)[1:]
    by_name = {re.split(" (?:tcp|inproc):", text.splitlines()[0])[0]: text for text in servers}
    return result.returncode, result.stdout + result.stderr, by_name


def test_healthy_cluster_gets_a_clean_report(new_cluster) -> None:
    cluster = new_cluster()
    cluster.start_scheduler()
    cluster.start_workers(2, "--name", "w")
    code, report, servers = doctor(cluster.scheduler_url)
    assert code == 0, report
    assert servers.keys() == {"scheduler", "worker w-0", "worker w-1"}
    ours = f"handler  stethoscope {stethoscope.__version__}, by a native thread on the dashboard's"
    for text in servers.values():
        assert ours in text
        assert re.search(r"sample   0\.\d+ s old", text)
        assert "problem" not in text
    assert report.endswith("3 of 3 servers are served as configured.\n")
    for address, url in [(cluster.address, cluster.scheduler_url), *cluster.workers().items()]:
        assert address in report
        assert f"{url}/metrics\n" in report


def test_reason_of_each_unattached_worker_is_reported(new_cluster, new_environment) -> None:
    cluster = new_cluster()
    cluster.start_scheduler()
    cluster.environment[ENABLED] = "false"
    cluster.start_worker("--name", "disabled")
    del cluster.environment[ENABLED]
    cluster.environment["DASK_DISTRIBUTED__WORKER__PRELOAD"] = "[]"
    cluster.start_worker("--name", "own-preload")
    cluster.python = new_environment(False)
    cluster.start_worker("--name", "absent")
    code, report, servers = doctor(cluster.scheduler_url)
    assert code == 1
    assert "problem" not in servers["scheduler"]
    expected = {
        "worker disabled": ("distributed.stethoscope.enabled is false", "set it to true"),
        "worker own-preload": ("its list of preloads does not name the package", "add stethoscope"),
        "worker absent": ("No module named 'stethoscope'", "-m pip install stethoscope"),
    }
    assert servers.keys() == {"scheduler", *expected}, report
    for name, (problem, advice) in expected.items():
        assert "handler  Dask's own" in servers[name]
        assert re.search(rf"^  problem  .*{re.escape(problem)}", servers[name], re.MULTILINE)
        assert re.search(rf"^  to do    .*{re.escape(advice)}", servers[name], re.MULTILINE)
    assert report.endswith("1 of 4 servers are served as configured.\n")


def test_cluster_without_the_package_is_examined_too(new_cluster) -> None:
    cluster = new_cluster(**{ENABLED: "false"})
    cluster.start_scheduler()
    cluster.start_worker("--name", "w")
    code, report, servers = doctor(cluster.scheduler_url)
    assert code == 1
    assert servers.keys() == {"scheduler", "worker w"}, report
    for text in servers.values():
        assert "handler  Dask's own" in text
        assert "distributed.stethoscope.enabled is false" in text


def test_fallback_to_the_route_is_reported_with_its_reason(new_cluster, certificate) -> None:
    cluster = new_cluster(**tls(certificate))
    cluster.start_scheduler()
    url = cluster.scheduler_url.replace("http:", "https:")
    code, report, servers = doctor("--insecure", url)
    assert code == 1, report
    assert "by Dask's event loop" in servers["scheduler"]
    assert "configured was take-over: the dashboard speaks TLS" in servers["scheduler"]
    assert "set distributed.stethoscope.serve to dedicated-port" in servers["scheduler"]
    # Verified, the certificate of the test is refused.
    code, report, _ = doctor(url)
    assert code == 2
    assert "certificate" in report.lower()


def test_blocked_loop_shows_as_the_age_of_the_sample(cluster: Cluster) -> None:
    blocked = threading.Thread(
        target=cluster.client.run_on_scheduler, args=(lambda: time.sleep(14),), daemon=True
    )
    blocked.start()
    time.sleep(7)
    code, report, servers = doctor("--timeout", "2", cluster.scheduler_url)
    blocked.join()
    assert code == 1, report
    assert "the event loop is blocked" in servers["scheduler"], report


def test_dashboard_that_does_not_answer_ends_with_code_2() -> None:
    code, report, _ = doctor(f"http://{HOST}:{free_port()}")
    assert code == 2
    assert report.startswith("the scheduler does not answer: ")


def test_url_of_the_page_is_taken_too(cluster: Cluster) -> None:
    for page in ("/metrics", "/status"):
        code, report, _ = doctor(cluster.scheduler_url + page)
        assert code == 0, report
        assert report.endswith("3 of 3 servers are served as configured.\n")


def test_comm_port_is_told_with_the_url_to_try(cluster: Cluster) -> None:
    comm = cluster.address.replace("tcp:", "http:")
    dashboard = f"try {cluster.scheduler_url}, its dashboard"
    code, report, _ = doctor(comm)
    assert code == 2
    assert report == (
        f"{comm} is not an HTTP server, but the comm port of a Dask scheduler: {dashboard}\n"
    )
    comm = next(iter(cluster.workers())).replace("tcp:", "http:")
    code, report, _ = doctor(comm)
    assert code == 2
    assert report == (
        f"{comm} is not an HTTP server, but the comm port of a Dask worker; "
        f"its scheduler is {cluster.address}: {dashboard}\n"
    )


@pytest.fixture
def talks_nonsense() -> Iterator[str]:
    """The URL of a server that answers each connection with something else than HTTP."""
    with socket.create_server((HOST, 0)) as server:

        def answer() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1000)
                    connection.sendall(b"SSH-2.0-OpenSSH\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"http://{HOST}:{server.getsockname()[1]}"
        # Wakes the thread, which closing alone would not.
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_port_that_does_not_speak_http_is_told(talks_nonsense: str) -> None:
    code, report, _ = doctor(talks_nonsense)
    assert code == 2
    assert report == (
        f"{talks_nonsense} is not an HTTP server, but probably the scheduler's comm port: "
        f"try http://{HOST}:8787, by default the dashboard\n"
    )


def test_dashboard_of_a_worker_is_told_with_its_scheduler(cluster: Cluster) -> None:
    url = next(iter(cluster.workers().values()))
    code, report, _ = doctor(url)
    assert code == 2
    assert report == (
        f"{url} is the dashboard of a worker; its scheduler is {cluster.address}: "
        f"try {cluster.scheduler_url}, its dashboard\n"
    )


def test_dashboard_of_a_worker_without_the_package_is_told(new_cluster) -> None:
    cluster = new_cluster(**{ENABLED: "false"})
    cluster.start_scheduler()
    cluster.start_worker()
    (url,) = cluster.workers().values()
    code, report, _ = doctor(url)
    assert code == 2
    assert report == (
        f"{url} is the dashboard of a worker: give the URL of its scheduler's dashboard\n"
    )


def test_page_of_something_else_is_told() -> None:
    registry = stethoscope.Registry()
    registry.counter("a_total", "Help.")
    with registry.serve(host=HOST) as server:
        url = f"http://{HOST}:{server.port}"
        code, report, _ = doctor(url)
    assert code == 2
    assert report.startswith(f"{url} is not the dashboard of a Dask scheduler: ")


def test_detached_servers_are_told(new_cluster) -> None:
    cluster = new_cluster()
    cluster.start_scheduler()
    cluster.start_worker("--name", "w")
    stethoscope.dask.detach(cluster.client)
    code, report, servers = doctor(cluster.scheduler_url)
    assert code == 1, report
    assert servers.keys() == {"scheduler", "worker w"}
    for text in servers.values():
        assert "handler  Dask's own" in text
        assert "  problem  detached\n" in text
        assert "  to do    call stethoscope.dask.attach(client) to attach it again\n" in text
    stethoscope.dask.attach(cluster.client)
    code, report, _ = doctor(cluster.scheduler_url)
    assert code == 0, report


def move_package(source: Path, target: Path) -> None:
    """Move what the wheel has installed from one environment, or directory, to another."""
    for pattern in ("lib/python*/site-packages/stethoscope*", "etc/dask/stethoscope.yaml"):
        for entry in list(source.glob(pattern)):
            there = target / entry.relative_to(source)
            there.parent.mkdir(parents=True, exist_ok=True)
            entry.rename(there)


def says_that_it_started_without_the_package(cluster: Cluster) -> None:
    # Twice: that it is imported to look at it does not mean that it was loaded.
    for _ in range(2):
        code, report, servers = doctor(cluster.scheduler_url)
        assert code == 1, report
        assert "problem" not in servers["scheduler"]
        assert (
            "  problem  it started without the package, which was installed since\n"
            "  to do    restart it, or call stethoscope.dask.attach(client)\n"
        ) in servers["worker w"], report


def test_package_that_is_installed_after_the_start_needs_a_restart(
    new_cluster, new_environment
) -> None:
    cluster = new_cluster()
    cluster.start_scheduler()
    cluster.python = new_environment(False)
    cluster.start_worker("--name", "w")
    move_package(new_environment(True).parents[1], cluster.python.parents[1])
    says_that_it_started_without_the_package(cluster)


def test_package_that_was_away_when_a_nanny_restarted_needs_a_restart(
    new_cluster, new_environment, tmp_path: Path
) -> None:
    cluster = new_cluster()
    cluster.start_scheduler()
    cluster.python = new_environment(True)
    cluster.start_workers(1, "--name", "w")
    root = cluster.python.parents[1]
    move_package(root, tmp_path / "away")
    cluster.client.restart(timeout=60)
    cluster.client.wait_for_workers(1, timeout=60)
    move_package(tmp_path / "away", root)
    says_that_it_started_without_the_package(cluster)
    assert set(stethoscope.dask.attach(cluster.client).values()) == {"take-over"}
    code, report, _ = doctor(cluster.scheduler_url)
    assert code == 0, report


def test_reason_for_which_attaching_failed_is_told(new_cluster, tmp_path: Path) -> None:
    breaks = tmp_path / "breaks.py"
    breaks.write_text(
        "def dask_setup(server):\n"
        "    from stethoscope.dask import attachment\n"
        "    attachment.Status = lambda *arguments: 1 / 0\n"
    )
    cluster = new_cluster()
    cluster.start_scheduler()
    preloads = ("--preload", str(breaks), "--preload", "stethoscope.dask")
    cluster.start_worker("--name", "w", *preloads)
    code, report, servers = doctor(cluster.scheduler_url)
    assert code == 1, report
    assert re.search(
        r"^  problem  version \S+ was loaded, and attaching failed: ZeroDivisionError: division",
        servers["worker w"],
        re.MULTILINE,
    )


def test_page_that_is_out_of_reach_is_not_called_a_failure_to_attach(new_cluster) -> None:
    # Bound, so that no server takes the port, and without anybody who listens.
    with socket.socket() as nobody:
        nobody.bind((HOST, 0))
        address = f":{nobody.getsockname()[1]}"
        cluster = new_cluster(DASK_DISTRIBUTED__STETHOSCOPE__ADVERTISE_ADDRESS=address)
        cluster.start_scheduler()
        cluster.start_worker("--name", "w")
        code, report, servers = doctor(cluster.scheduler_url)
    assert code == 1, report
    text = servers["worker w"]
    assert "by a native thread on the dashboard's port" in text
    assert "cannot be read: " in text
    assert "attaching failed" not in text
    assert "set distributed.stethoscope.advertise-address" in text


def test_worker_whose_loop_is_blocked_is_not_waited_for(new_cluster, tmp_path: Path) -> None:
    cluster = new_cluster()
    cluster.start_scheduler()
    cluster.environment[ENABLED] = "false"
    cluster.start_worker("--name", "w")
    begun, release = tmp_path / "begun", tmp_path / "release"

    def block() -> None:
        begun.touch()
        while not release.exists():
            time.sleep(0.1)

    blocked = threading.Thread(target=cluster.client.run, args=(block,), daemon=True)
    blocked.start()
    try:
        eventually(begun.exists)
        code, report, servers = doctor("--timeout", "3", cluster.scheduler_url)
    finally:
        release.touch()
        blocked.join()
    assert code == 1, report
    assert "cannot be read: " in servers["worker w"]
    expected = "the reason is not known: its event loop has not answered within 3 s\n"
    assert expected in servers["worker w"]


def test_page_without_the_age_of_its_sample_is_recognized(new_cluster) -> None:
    exclude = "['stethoscope_sample_age_seconds']"
    cluster = new_cluster(DASK_DISTRIBUTED__STETHOSCOPE__EXCLUDE_FAMILIES=exclude)
    cluster.start_scheduler()
    code, report, servers = doctor(cluster.scheduler_url)
    assert code == 0, report
    assert "by a native thread" in servers["scheduler"]
    assert "sample" not in servers["scheduler"]


@pytest.fixture
def in_one_process() -> Iterator[LocalCluster]:
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=f"{HOST}:0"
    ) as cluster:
        yield cluster


def test_cluster_in_one_process_is_examined(in_one_process: LocalCluster) -> None:
    url, workers = dashboards(in_one_process)
    code, report, servers = doctor(url)
    assert code == 0, report
    assert servers.keys() == {"scheduler", "worker 0", "worker 1"}
    code, report, _ = doctor(next(iter(workers.values())))
    assert code == 2
    assert report == (
        f"{next(iter(workers.values()))} is the dashboard of a worker; "
        f"its scheduler is {in_one_process.scheduler.address}: give the URL of its dashboard\n"
    )


def test_cluster_in_one_process_has_no_port_to_ask(in_one_process: LocalCluster) -> None:
    with Client(in_one_process) as client:
        stethoscope.dask.detach(client)
    code, report, servers = doctor(dashboards(in_one_process)[0])
    assert code == 1, report
    assert servers.keys() == {"scheduler", "worker 0", "worker 1"}
    for text in servers.values():
        assert "handler  Dask's own" in text
        assert "the reason is known only in the process of this cluster" in text


def test_setting_that_was_changed_after_the_start_is_told() -> None:
    with (
        dask.config.set({"distributed.stethoscope.enabled": False}),
        LocalCluster(
            n_workers=0,
            processes=False,
            protocol="tcp",
            host=HOST,
            dashboard_address=f"{HOST}:0",
        ) as cluster,
    ):
        dask.config.set({"distributed.stethoscope.enabled": True})
        code, report, servers = doctor(dashboards(cluster)[0])
    assert code == 1, report
    assert "enabled was false when it started" in servers["scheduler"], report


@pytest.mark.parametrize("arguments", [[], ["ftp://host"], ["http://host:99999"]])
def test_invalid_url_is_refused(arguments: list[str]) -> None:
    code, report, _ = doctor(*arguments)
    assert code == 2
    assert "doctor: error: " in report
