"""Finds out, for each server of a cluster, which handler answers `/metrics` and why.

All that a server says over HTTP is asked there. The reason why a server is not
attached is known only inside of it: that is asked through a Dask client, if one can
connect to the scheduler.
"""

from __future__ import annotations

import json
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from stethoscope.dask.ops.prometheus import Scheduler

#: Seconds after which a sample counts as old.
OLD = 5.0
#: Servers that are asked at the same time.
_AT_ONCE = 16


class Unreachable(Exception):
    """The scheduler's dashboard does not answer."""


@dataclass
class Server:
    """A scheduler or worker, and what was found out about it."""

    role: str
    name: str
    #: Its address in Dask, if known.
    address: str | None
    url: str
    handler: str = "no answer"
    sample_age: float | None = None
    problems: list[str] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)
    #: The attachment's own report, if there is one.
    status: dict[str, Any] | None = None

    @property
    def is_ours(self) -> bool:
        """Whether this package answers."""
        return self.sample_age is not None


class Doctor:
    """Asks the servers of one cluster."""

    def __init__(self, scheduler: Scheduler, timeout: float, insecure: bool = False) -> None:
        self._scheduler = scheduler
        self._timeout = timeout
        self._tls = ssl._create_unverified_context() if insecure else ssl.create_default_context()

    def examine(self) -> list[Server]:
        """Return the scheduler and its workers. Raises `Unreachable`."""
        scheduler = Server("scheduler", "", None, self._scheduler.url)
        try:
            self._get(f"{scheduler.url}/metrics")
        except (OSError, ValueError) as error:
            raise Unreachable(f"{scheduler.url}/metrics: {error}") from error
        servers = [scheduler, *self._workers(scheduler)]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(self._examine, servers))
        strangers = [server for server in servers if not server.is_ours]
        if strangers:
            self._ask_inside(scheduler, strangers)
        return servers

    def _workers(self, scheduler: Server) -> Iterator[Server]:
        """The workers that the scheduler knows."""
        identity = self._json(f"{scheduler.url}/json/identity.json") or {}
        scheduler.address = identity.get("address")
        listed = {
            group["labels"].get("worker_address"): group
            for group in self._json(f"{scheduler.url}/metrics/targets") or []
        }
        for address, worker in identity.get("workers", {}).items():
            group = listed.pop(address, None)
            if group is not None:
                yield _listed(group)
            elif port := worker.get("services", {}).get("dashboard"):
                host = worker.get("host") or "localhost"
                host = f"[{host}]" if ":" in host else host
                url = f"{self._scheduler.scheme}://{host}:{port}"
                yield Server("worker", str(worker.get("name", address)), address, url)
        for address, group in listed.items():
            if address is not None:
                yield _listed(group)

    def _examine(self, server: Server) -> None:
        try:
            page = self._get(f"{server.url}/metrics").decode("utf-8", "replace")
        except (OSError, ValueError) as error:
            server.problems.append(f"{server.url}/metrics cannot be read: {error}")
            server.advice.append(
                "open the port, or set distributed.stethoscope.advertise-address to an address "
                "that is reachable from where Prometheus runs"
            )
            return
        age = re.search(r"^stethoscope_sample_age_seconds(?:\{.*\})? (\S+)", page, re.MULTILINE)
        if age is None:
            server.handler = (
                "Dask's own" if re.search("^# TYPE ", page, re.MULTILINE) else "unknown"
            )
            server.problems.append("stethoscope is not attached")
            return
        server.sample_age = float(age[1])
        server.status = self._json(f"{server.url}/metrics/status")
        self._judge(server)

    def _judge(self, server: Server) -> None:
        """Say what is wrong with a server that this package answers for."""
        if server.status is None:
            server.handler = "stethoscope, an older version"
            server.advice.append("upgrade the package there")
        else:
            mode, version = server.status["mode"], server.status["version"]
            server.handler = f"stethoscope {version}, {_MODES.get(mode, mode)}"
            if server.status["reason"]:
                server.problems.append(
                    f"configured was {server.status['serve']}: {server.status['reason']}"
                )
                server.advice.append(
                    "set distributed.stethoscope.serve to dedicated-port, which needs nothing of "
                    "the dashboard, or to route if this is as it should be"
                )
        if server.sample_age > OLD:
            server.problems.append("the event loop is blocked, and does not refresh the values")
            server.advice.append(
                "look for a task that holds the GIL, or for code that blocks the event loop"
            )

    def _ask_inside(self, scheduler: Server, strangers: list[Server]) -> None:
        """Ask servers that are not attached for the reason."""
        try:
            reasons = _reasons(scheduler.address, self._timeout)
        except Exception as error:
            for server in strangers:
                server.advice.append(
                    f"the reason is not known, because Dask's own port cannot be asked "
                    f"({type(error).__name__}): see the server's log, logger "
                    "distributed.stethoscope, and whether the package is installed there"
                )
            return
        for server in strangers:
            if server.address in reasons:
                _explain(server, reasons[server.address])

    def _json(self, url: str) -> Any:
        try:
            return json.loads(self._get(url))
        except (OSError, ValueError):
            return None

    def _get(self, url: str) -> bytes:
        with urllib.request.urlopen(url, timeout=self._timeout, context=self._tls) as response:
            return response.read()


_MODES = {
    "take-over": "by a native thread on the dashboard's port",
    "dedicated-port": "by a native thread on its own port",
    "route": "by Dask's event loop",
}


def _listed(group: dict[str, Any]) -> Server:
    labels = group["labels"]
    url = f"{labels.get('__scheme__', 'http')}://{group['targets'][0]}"
    return Server("worker", labels["worker_name"], labels["worker_address"], url)


def _reasons(address: str | None, timeout: float) -> dict[str, Any]:
    """Ask each server what it knows about this package; return answers by address."""
    from distributed import Client

    from stethoscope.dask.running import run_everywhere

    # A nested function, which is pickled by value: not every server has this package.
    def look(dask_scheduler: Any = None, dask_worker: Any = None) -> dict[str, Any]:
        import sys

        import dask

        found: dict[str, Any] = {"executable": sys.executable}
        try:
            import stethoscope
        except Exception as error:
            found["missing"] = f"{type(error).__name__}: {error}"
            return found
        found["version"] = getattr(stethoscope, "__version__", "unknown")
        enabled = dask.config.get("distributed.stethoscope.enabled", True)
        # Older versions of Dask leave the words of environment variables as they are.
        found["enabled"] = str(enabled).lower()
        server = dask_scheduler if dask_scheduler is not None else dask_worker
        found["preloads"] = [preload.name for preload in server.preloads]
        return found

    if address is None:
        raise ConnectionError("the scheduler's address is not known")
    with Client(address, timeout=timeout, set_as_default=False) as client:
        return run_everywhere(client, look)


def _explain(server: Server, found: Any) -> None:
    """Turn what a server knows into a problem and advice."""
    if not isinstance(found, dict):
        server.advice.append(f"the reason is not known: {found}")
    elif "missing" in found:
        server.problems = [f"the package cannot be imported there ({found['missing']})"]
        server.advice.append(
            f"{found['executable']} -m pip install stethoscope, and restart the server or call "
            "stethoscope.dask.attach(client)"
        )
    elif found["enabled"] != "true":
        server.problems = [f"distributed.stethoscope.enabled is {found['enabled']}"]
        server.advice.append("set it to true, or call stethoscope.dask.attach(client)")
    elif not any("stethoscope" in preload for preload in found["preloads"]):
        server.problems = ["its list of preloads does not name the package"]
        server.advice.append(
            "add stethoscope.dask to distributed.scheduler.preload and distributed.worker.preload, "
            "or call stethoscope.dask.attach(client)"
        )
    else:
        server.problems = [f"version {found['version']} was loaded, and attaching failed"]
        server.advice.append(
            "see the server's log, logger distributed.stethoscope, or call "
            "stethoscope.dask.attach(client)"
        )


def report(servers: list[Server]) -> str:
    """Format what was found out."""
    lines = []
    for server in servers:
        lines.append(" ".join(filter(None, [server.role, server.name, server.address])))
        lines.append(f"  page     {server.url}/metrics")
        lines.append(f"  handler  {server.handler}")
        if server.sample_age is not None:
            lines.append(f"  sample   {server.sample_age:.3f} s old")
        lines += [f"  problem  {problem}" for problem in server.problems]
        lines += [f"  to do    {advice}" for advice in server.advice]
    healthy = sum(not server.problems for server in servers)
    lines.append(f"{healthy} of {len(servers)} servers are served as configured.")
    return "\n".join(lines) + "\n"
