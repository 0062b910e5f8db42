"""One page for several processes: pools, gunicorn, uvicorn."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import stethoscope


def eventually(check: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 60
    while True:
        try:
            result = check()
            if result:
                return result
        except OSError:
            result = None
        assert time.monotonic() < deadline, result
        time.sleep(0.05)


def page(url: str) -> dict[str, float]:
    """The samples of a page, by name and labels."""
    with urllib.request.urlopen(url, timeout=30) as response:
        lines = response.read().decode().splitlines()
    pairs = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
    return {series: float(value) for series, value in pairs}


def run(script: str, directory: Path) -> dict[str, Any]:
    environment = {**os.environ, "STETHOSCOPE_SEGMENT_DIR": str(directory)}
    path = directory.parent / f"{directory.name}.py"
    path.write_text(script)
    try:
        result = subprocess.run(
            [sys.executable, str(path)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
    finally:
        path.unlink()
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


POOL = """
import concurrent.futures, json, multiprocessing, os, sys, urllib.request
import stethoscope

def work(number):
    stethoscope.counter("items").inc(number)
    stethoscope.histogram("seconds", buckets=[1, 60]).observe(2)
    stethoscope.gauge("depth").set(number)
    return os.getpid()

def page(server):
    with urllib.request.urlopen(server.url) as response:
        lines = response.read().decode().splitlines()
    pairs = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
    return {series: float(value) for series, value in pairs}

if __name__ == "__main__":
    directory = os.environ["STETHOSCOPE_SEGMENT_DIR"]
    stethoscope.counter("items").inc(1000)
    with stethoscope.serve_processes(directory, gauge_rules={"depth": "max"}) as server:
        context = multiprocessing.get_context("METHOD")
        with concurrent.futures.ProcessPoolExecutor(3, mp_context=context) as pool:
            pids = set(pool.map(work, range(100)))
            during = page(server)
        print(json.dumps({"pids": len(pids), "during": during, "after": page(server)}))
"""


@pytest.mark.parametrize("switched_on", [True, False])
def test_group_is_sent_in_openmetrics_2_if_switched_on(directory: Path, switched_on: bool) -> None:
    accept = "application/openmetrics-text; version=2.0.0, text/plain; q=0.5"
    with stethoscope.serve_processes(directory, openmetrics2=switched_on) as server:
        request = urllib.request.Request(server.url, headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=30) as response:
            content_type = response.headers["Content-Type"]
    assert ("version=2.0.0" in content_type) == switched_on


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_pool_is_on_the_page_of_its_parent(directory: Path, method: str) -> None:
    seen = run(POOL.replace("METHOD", method), directory)
    assert seen["during"]["items_total"] == 1000 + sum(range(100))
    assert seen["during"]['seconds_bucket{le="60"}'] == 100
    assert 0 < seen["during"]["depth"] <= 99
    # The children have ended: their counts stay.
    assert seen["after"]["items_total"] == 1000 + sum(range(100))
    assert seen["after"]["seconds_count"] == 100
    segments = list(directory.glob("*.segment"))
    assert len(segments) <= 2, "the parent's, and perhaps the fork server's"


APPLICATION = """
import os
import stethoscope

requests = stethoscope.counter("requests", "Requests.", labels=["path"])
in_flight = stethoscope.gauge("in_flight", "Requests in flight.")

def wsgi(environment, start_response):
    requests.labels(environment["PATH_INFO"]).inc()
    in_flight.set(1)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]

async def asgi(scope, receive, send):
    if scope["type"] != "http":
        return
    requests.labels(scope["path"]).inc()
    in_flight.set(1)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
"""

GUNICORN = """
import os
import stethoscope

bind = "127.0.0.1:0"
workers = 3

def when_ready(server):
    directory = os.environ["STETHOSCOPE_SEGMENT_DIR"]
    metrics = stethoscope.serve_processes(directory, gauges="sum")
    print("metrics at", metrics.url, flush=True)
"""

#: Each of the servers that pass requests to several processes, and its arguments.
SERVERS = {
    "gunicorn": ["gunicorn", "--config", "gunicorn.conf.py", "application:wsgi"],
    "gunicorn-preload": [
        *("gunicorn", "--config", "gunicorn.conf.py", "--preload", "application:wsgi"),
    ],
    "uvicorn": ["uvicorn", "--workers", "3", "--port", "PORT", "application:asgi"],
}


@pytest.mark.parametrize("name", SERVERS)
def test_server_of_several_processes_has_one_page(
    name: str, directory: Path, tmp_path: Path
) -> None:
    (tmp_path / "application.py").write_text(APPLICATION)
    (tmp_path / "gunicorn.conf.py").write_text(GUNICORN)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    arguments = [argument.replace("PORT", port) for argument in SERVERS[name]]
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=tmp_path,
            env={**os.environ, "STETHOSCOPE_SEGMENT_DIR": str(directory)},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        if name == "uvicorn":
            # Its parent runs no code of the application: another process serves the page.
            metrics = stethoscope.serve_processes(directory, gauges="sum")
            url, base = metrics.url, f"http://127.0.0.1:{port}"
        else:
            metrics = None
            found = eventually(
                lambda: (
                    (
                        re.search(r"metrics at (\S+)", log.read_text()),
                        re.search(r"Listening at: (\S+)", log.read_text()),
                    )
                    if "metrics at" in log.read_text() and "Listening at" in log.read_text()
                    else None
                )
            )
            url, base = (match[1] for match in found)

        def ask(path: str) -> str:
            with urllib.request.urlopen(base + path, timeout=30) as response:
                return response.read().decode()

        first = eventually(lambda: ask("/first"))
        counted = 1
        pids = {first}
        while len(pids) < 2 and counted < 2000:
            pids.add(ask("/first"))
            counted += 1
        assert len(pids) > 1
        series = 'requests_total{path="/first"}'
        assert page(url)[series] == counted
        assert page(url)["in_flight"] == len(pids)

        # One that is killed stays in the sums, and the server starts another.
        victim = int(pids.pop())
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: not list(directory.glob(f"{victim}-*")) or not page(url))
        assert page(url)[series] == counted
        assert page(url)["in_flight"] == len(pids)
        if metrics is not None:
            metrics.stop()
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)
        print(log.read_text())


def test_wrong_arguments_are_named(directory: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='unknown rule "most": expected per-process'):
        stethoscope.serve_processes(directory, gauges="most")
    with pytest.raises(ValueError, match="unknown rule"):
        stethoscope.serve_processes(directory, gauge_rules={"depth": "most"})
    with pytest.raises(ValueError, match="invalid port -1: expected 0 to 65535"):
        stethoscope.serve_processes(directory, -1)
    with pytest.raises(ValueError, match="expected a directory in memory"):
        stethoscope.serve_processes(tmp_path)
    with (
        stethoscope.serve_processes(directory),
        pytest.raises((OSError, ValueError), match=str(directory)),
    ):
        stethoscope.serve_processes(directory)
