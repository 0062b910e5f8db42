"""Real clusters for the tests, and a strict reader of their pages."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from distributed import Client, LocalCluster
from prometheus_client.parser import text_string_to_metric_families

HERE = Path(__file__).parent
HOST = "127.0.0.1"
ACCEPT_TEXT = "text/plain;version=0.0.4"


class Page:
    """A page, read strictly: what is said twice or out of place is an error."""

    def __init__(self, text: str) -> None:
        self.text = text
        #: The type of each family, by its name in the text.
        self.types: dict[str, str] = {}
        self.samples: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        for family in text_string_to_metric_families(text):
            # The reader drops the _total of counters, which may tell them from a gauge.
            name = family.name + ("_total" if family.type == "counter" else "")
            assert name not in self.types, f"family twice: {name}"
            self.types[name] = family.type
            for sample in family.samples:
                key = (sample.name, tuple(sorted(sample.labels.items())))
                assert key not in self.samples, f"series twice: {key}"
                self.samples[key] = sample.value

    def value(self, name: str, /, **labels: str) -> float:
        series = name, tuple(sorted(labels.items()))
        # An AssertionError, so that `eventually` waits for the series.
        assert series in self.samples, f"no series {series}"
        return self.samples[series]

    def by(self, label: str, name: str) -> dict[str, float]:
        """The values of a family with one label, by that label's value."""
        return {
            dict(labels)[label]: value
            for (sample, labels), value in self.samples.items()
            if sample == name
        }

    def has(self, name: str) -> bool:
        return any(sample == name for sample, _ in self.samples)


def fetch(
    url: str, path: str = "/metrics", *, method: str = "GET", timeout: float = 30, **headers: str
) -> http.client.HTTPResponse:
    """One request on a connection of its own, its body read into `.body`."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=timeout)
    try:
        connection.request(
            method, path, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )
        response = connection.getresponse()
        response.body = response.read()
        return response
    finally:
        connection.close()


def scrape(url: str, **options: Any) -> Page:
    response = fetch(url, Accept=ACCEPT_TEXT, **options)
    assert response.status == 200, (response.status, response.body[:200])
    return Page(response.body.decode())


def eventually(check: Callable[[], Any], timeout: float = 30) -> Any:
    """Call `check` until it neither raises an AssertionError nor returns False."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            result = check()
            assert result is not False
            return result
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def own_tracebacks(log: str) -> list[str]:
    """The frames of this package in the tracebacks of a log.

    Dask logs some of its own while processes are killed, or close in any order.
    """
    return re.findall(r'^ *File ".*/stethoscope/.*', log, re.MULTILINE)


def free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        return probe.getsockname()[1]


def is_listening(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=5):
        return True
    return False


class Process:
    """A process that leads a group of its own, and is gone afterwards with all its children."""

    def __init__(
        self, arguments: list[str], log: Path, first_on_path: str = "", **environment: str
    ) -> None:
        self.log = log
        paths = [*filter(None, [first_on_path]), str(HERE)]
        paths += filter(None, [os.environ.get("PYTHONPATH")])
        with log.open("wb") as output:
            self._popen = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **environment},
            )

    def stop(self, patience: float = 15) -> None:
        """Ask the process to end, and kill it after `patience` seconds."""
        if self._popen.poll() is None:
            self._popen.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(patience)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait(15)

    @property
    def pid(self) -> int:
        return self._popen.pid

    def running(self) -> bool:
        return self._popen.poll() is None


class Cluster:
    """A scheduler and workers as an operator starts them, on loopback."""

    def __init__(self, directory: Path, environment: dict[str, str], *, bokeh: bool = True) -> None:
        self._directory = directory
        #: Whether what is started from now on has Dask's dashboard. Without it, there are the
        #: other pages at the same port, and a process starts in half the time.
        self.bokeh = bokeh
        #: Seconds that a process has to end by itself.
        self.patience = 15.0
        #: The environment of processes that are started from now on.
        self.environment = environment
        #: The interpreter of what is started from now on.
        self.python = sys.executable
        #: A directory from which it imports before all others.
        self.first_on_path = ""
        self._exit = contextlib.ExitStack()
        self._started = 0
        self.client: Client

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def logs(self) -> str:
        """The logs of the cluster's processes."""
        logs = sorted(self._directory.glob("*.log"))
        return "\n".join(f"{log.name}:\n{log.read_text(errors='replace')}" for log in logs)

    def dask(self, *arguments: str) -> Process:
        """Start `dask ARGUMENTS`, stopped at the latest with the cluster."""
        self._started += 1
        log = self._directory / f"{self._started}-{arguments[0]}.log"
        dashboard = [] if self.bokeh else ["--no-dashboard"]
        process = Process(
            [self.python, "-m", "dask", *arguments, *dashboard],
            log,
            self.first_on_path,
            **self.environment,
        )
        self._exit.callback(lambda: process.stop(self.patience))
        return process

    def start_scheduler(self, *arguments: str) -> Process:
        path = self._directory / "scheduler.json"
        process = self.dask(
            "scheduler", "--host", HOST, "--port", "0", "--dashboard-address", f"{HOST}:0",
            "--scheduler-file", str(path), *arguments,
        )  # fmt: skip

        def described() -> dict:
            assert process.running(), process.log.read_text()
            assert path.exists()
            try:
                return json.loads(path.read_text())
            except ValueError as half_written:
                raise AssertionError from half_written

        identity = eventually(described)
        self.address = identity["address"]
        self.scheduler_url = f"http://{HOST}:{identity['services']['dashboard']}"
        self.client = self._exit.enter_context(Client(self.address))
        return process

    def start_workers(self, number: int, *arguments: str) -> Process:
        """Start workers in processes of their own, under nannies."""
        return self._start_workers(number, "--nanny", "--nworkers", str(number), *arguments)

    def start_worker(self, *arguments: str) -> Process:
        """Start a worker without a nanny, which takes half the time."""
        return self._start_workers(1, "--no-nanny", *arguments)

    def _start_workers(self, number: int, *arguments: str) -> Process:
        known = len(self.workers())
        process = self.dask(
            "worker", self.address, "--host", HOST, "--dashboard-address", f"{HOST}:0",
            "--nthreads", "2", "--memory-limit", "512MiB",
            "--local-directory", str(self._directory), *arguments,
        )  # fmt: skip
        self.client.wait_for_workers(known + number, timeout=60)
        return process

    def workers(self) -> dict[str, str]:
        """The address of each worker, and where its dashboard is."""

        def services(dask_scheduler: Any) -> dict[str, int]:
            return {
                address: worker.services["dashboard"]
                for address, worker in dask_scheduler.workers.items()
            }

        ports = self.client.run_on_scheduler(services)
        return {address: f"http://{HOST}:{port}" for address, port in ports.items()}

    def of_worker(self, address: str, function: Callable, *arguments: Any) -> Any:
        """Run `function` in that worker's event loop and return its result."""
        return self.client.run(function, *arguments, workers=[address])[address]


def dashboards(cluster: LocalCluster) -> tuple[str, dict[str, str]]:
    """The URLs of a LocalCluster's scheduler, and of its workers by address."""
    workers = {
        address: f"http://{HOST}:{worker.services['dashboard']}"
        for address, worker in cluster.scheduler.workers.items()
    }
    return f"http://{HOST}:{cluster.scheduler.http_server.port}", workers


def tls(certificate: Path) -> dict[str, str]:
    """The environment of servers whose dashboards speak TLS."""
    prefix = "DASK_DISTRIBUTED__SCHEDULER__DASHBOARD__TLS__"
    return {f"{prefix}CERT": str(certificate), f"{prefix}KEY": str(certificate)}


def same_moment(page: Callable[[], Page], truth: Callable[[], Any]) -> tuple[Page, Any]:
    """A page, and what Dask's objects say, with nothing changing from before it to after it."""

    def still() -> tuple[Page, Any]:
        before = truth()
        seen = page()
        assert truth() == before, "the cluster does not come to rest"
        return seen, before

    return eventually(still)


@contextlib.contextmanager
def prometheus_server(directory: Path, configuration: str, *arguments: str) -> Iterator[str]:
    """Debian's Prometheus with this configuration and these arguments; gives its URL."""
    port = free_port()
    path = directory / "prometheus.yml"
    path.write_text(configuration)
    process = Process(
        [
            "prometheus",
            f"--config.file={path}",
            f"--storage.tsdb.path={directory / 'tsdb'}",
            f"--web.listen-address={HOST}:{port}",
            *arguments,
        ],
        directory / "prometheus.log",
    )
    try:
        url = f"http://{HOST}:{port}"
        eventually(lambda: is_listening(port) and fetch(url, "/-/ready").status == 200)
        yield url
    finally:
        process.stop()


def scraping(targets: list[str]) -> str:
    """A configuration of Prometheus that scrapes these every second."""
    every_second = {"scrape_interval": "1s", "scrape_timeout": "1s"}
    job = {"job_name": "dask", "static_configs": [{"targets": targets}]}
    return json.dumps({"global": every_second, "scrape_configs": [job]})


def query(prometheus: str, expression: str) -> list[dict]:
    path = "/api/v1/query?" + urllib.parse.urlencode({"query": expression})
    answer = json.loads(fetch(prometheus, path).body)
    assert answer["status"] == "success", answer
    return answer["data"]["result"]
