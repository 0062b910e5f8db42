"""`python -m stethoscope.dask doctor`, on real clusters."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time

import pytest
from harness import HOST, Cluster, free_port, tls

import stethoscope.dask

ENABLED = "DASK_DISTRIBUTED__STETHOSCOPE__ENABLED"


def doctor(*arguments: str) -> tuple[int, str, dict[str, str]]:
    """The exit code, the report, and its paragraphs by the server's role and name."""
    command = [sys.executable, "-m", "stethoscope.dask", "doctor", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "Traceback" not in result.stderr, result.stderr
    servers = re.split(r"^(?=scheduler|worker)", result.stdout, flags=re.MULTILINE)[1:]
    by_name = {text.splitlines()[0].split(" tcp:")[0]: text for text in servers}
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
    cluster.start_workers(1, "--name", "disabled")
    del cluster.environment[ENABLED]
    cluster.environment["DASK_DISTRIBUTED__WORKER__PRELOAD"] = "[]"
    cluster.start_workers(1, "--name", "own-preload")
    cluster.python = new_environment(False)
    cluster.start_workers(1, "--name", "absent")
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
    cluster.start_workers(1, "--name", "w")
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


@pytest.mark.parametrize("arguments", [[], ["ftp://host"], ["http://host:99999"]])
def test_invalid_url_is_refused(arguments: list[str]) -> None:
    code, report, _ = doctor(*arguments)
    assert code == 2
    assert "doctor: error: " in report
