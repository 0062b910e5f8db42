"""Finds out, for each server of a cluster, which handler answers `/metrics` and why.

All that a server says over HTTP is asked there. The reason why a server is not
attached is known only inside of it: that is asked through a Dask client, if one can
connect to the scheduler.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from stethoscope.dask.ops.prometheus import DEFAULT_PORT, Scheduler

#: Seconds after which a sample counts as old.
OLD = 5.0
#: Servers that are asked at the same time.
_AT_ONCE = 16


class NoScheduler(Exception):
    """No scheduler's dashboard answers at the URL; says what does, if anything."""


class _NotHttp(OSError):
    """The answer is not HTTP."""


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
    #: How it is dead or frozen, if another process serves its page.
    absence: str | None = None

    @property
    def is_ours(self) -> bool:
        """Whether this package answers."""
        return self.status is not None or self.sample_age is not None


class Doctor:
    """Asks the servers of one cluster."""

    def __init__(self, scheduler: Scheduler, timeout: float, insecure: bool = False) -> None:
        self._scheduler = scheduler
        self._timeout = timeout
        self._tls = ssl._create_unverified_context() if insecure else ssl.create_default_context()

    def examine(self) -> list[Server]:
        """Return the scheduler and its workers. Raises `NoScheduler`."""
        scheduler = Server("scheduler", "", None, self._scheduler.url)
        try:
            page = self._get(f"{scheduler.url}/metrics").decode("utf-8", "replace")
        except _NotHttp as error:
            raise NoScheduler(self._about_comm_port()) from error
        except (OSError, ValueError) as error:
            hint = ""
            if isinstance(error, http.client.RemoteDisconnected):
                hint = ": if it speaks TLS, write https:// in place of http://"
            raise NoScheduler(
                f"the scheduler does not answer: {scheduler.url}/metrics: {error}{hint}"
            ) from error
        identity = self._json(f"{scheduler.url}/json/identity.json") or {}
        self._check_role(page, identity)
        targets = self._json(f"{scheduler.url}/metrics/targets") or []
        absent = [_absent(group) for group in targets if group["labels"].get("role") in _ABSENT]
        frozen = {server.address for server in absent if server.role == "frozen worker"}
        workers = self._workers(scheduler, identity, targets)
        # One that is frozen does not answer.
        servers = [scheduler, *(worker for worker in workers if worker.address not in frozen)]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(self._examine, servers))
        strangers = [server for server in servers if not server.is_ours]
        if strangers:
            self._ask_inside(scheduler, strangers)
        return servers + absent

    def _about_comm_port(self) -> str:
        """Tell what answers something else than HTTP, and which URL to try."""
        given = self._scheduler
        message = f"{given.url} is not an HTTP server"
        identity = _identity(f"tcp://{given.address}", self._timeout)
        if identity is None:
            return (
                f"{message}, but probably the scheduler's comm port: "
                f"try http://{given.host}:{DEFAULT_PORT}, by default the dashboard"
            )
        message += f", but the comm port of a Dask {str(identity['type']).lower()}"
        if identity["type"] != "Scheduler":
            return f"{message}{self._about_scheduler_of(identity.get('scheduler'))}"
        url = _dashboard(identity, given.host)
        return f"{message}: " + (f"try {url}, its dashboard" if url else "it has no dashboard")

    def _about_scheduler_of(self, address: str | None) -> str:
        """The end of a message about a server that is not a scheduler: where its scheduler is."""
        if address is None:
            return ": give the URL of its scheduler's dashboard"
        identity = _identity(address, self._timeout) or {}
        host = urllib.parse.urlsplit(address).hostname or ""
        url = _dashboard(identity, f"[{host}]" if ":" in host else host)
        found = f": try {url}, its dashboard" if url else ": give the URL of its dashboard"
        return f"; its scheduler is {address}{found}"

    def _check_role(self, page: str, identity: dict[str, Any]) -> None:
        """Raise `NoScheduler` unless the page is a scheduler's, as far as one can tell."""
        if identity.get("type") == "Scheduler":
            return
        status = self._status(self._scheduler.url) or {}
        role = status.get("role")
        if role is None:
            # The first word of the names depends on the configuration.
            found = re.search(r"^# TYPE (?:\w+?_)??(scheduler|worker)_", page, re.MULTILINE)
            role = found and found[1]
        if role == "worker":
            raise NoScheduler(
                f"{self._scheduler.url} is the dashboard of a worker"
                f"{self._about_scheduler_of(status.get('scheduler'))}"
            )
        if role is None:
            raise NoScheduler(
                f"{self._scheduler.url} is not the dashboard of a Dask scheduler: neither "
                "/json/identity.json nor /metrics there tells of one"
            )

    def _workers(
        self, scheduler: Server, identity: dict[str, Any], targets: list[dict[str, Any]]
    ) -> Iterator[Server]:
        """The workers that the scheduler knows, the frozen ones included."""
        scheduler.address = identity.get("address")
        listed = {
            group["labels"].get("worker_address"): group
            for group in targets
            if group["labels"].get("role") not in _ABSENT
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
        server.sample_age = float(age[1]) if age else None
        # The family of the age can be excluded from the page.
        server.status = self._status(server.url)
        if not server.is_ours:
            server.handler = (
                "Dask's own" if re.search("^# TYPE ", page, re.MULTILINE) else "unknown"
            )
            server.problems.append("stethoscope is not attached")
            return
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
            reason = server.status.get("black_box_reason")
            if reason and server.status.get("black_box_asked_for", True):
                server.problems.append(f"there is no black box: {reason}")
                server.advice.append(
                    "set STETHOSCOPE_SEGMENT_DIR to a directory in memory that is this user's "
                    "alone, or distributed.stethoscope.black-box to false"
                )
        if server.sample_age is not None and server.sample_age > OLD:
            server.problems.append("the event loop is blocked, and does not refresh the values")
            server.advice.append(
                "look for a task that holds the GIL, or for code that blocks the event loop"
            )

    def _ask_inside(self, scheduler: Server, strangers: list[Server]) -> None:
        """Ask servers whose page is not ours for the reason."""
        if scheduler.address is not None and scheduler.address.startswith("inproc:"):
            for server in strangers:
                server.advice.append(
                    "the reason is known only in the process of this cluster, which has no port: "
                    "see its log, logger distributed.stethoscope, or call "
                    "stethoscope.dask.attach(client) there"
                )
            return
        try:
            addresses = [server.address for server in strangers]
            reasons = _reasons(scheduler.address, addresses, self._timeout)
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

    def _status(self, url: str) -> dict[str, Any] | None:
        status = self._json(f"{url}/metrics/status")
        return status if isinstance(status, dict) and "mode" in status else None

    def _json(self, url: str) -> Any:
        try:
            return json.loads(self._get(url))
        except (OSError, ValueError):
            return None

    def _get(self, url: str) -> bytes:
        try:
            with urllib.request.urlopen(url, timeout=self._timeout, context=self._tls) as response:
                return response.read()
        except http.client.RemoteDisconnected:  # An OSError too, and not about HTTP.
            raise
        except http.client.HTTPException as error:
            raise _NotHttp(f"the answer is not HTTP: {type(error).__name__}") from error


_MODES = {
    "take-over": "by a native thread on the dashboard's port",
    "dedicated-port": "by a native thread on its own port",
    "route": "by Dask's event loop",
}


#: The roles of targets that are pages of workers which do not answer themselves.
_ABSENT = {"postmortem": "dead worker", "frozen": "frozen worker"}


def _absent(group: dict[str, Any]) -> Server:
    labels = group["labels"]
    path = labels["__metrics_path__"]
    url = f"{labels.get('__scheme__', 'http')}://{group['targets'][0]}{path}"
    role = _ABSENT[labels["role"]]
    server = Server(role, labels["worker_name"], labels["worker_address"], url)
    if labels["role"] == "frozen":
        server.absence = f"frozen, its nanny's reading at {path}"
        server.problems.append("it is stopped or makes no progress")
        server.advice.append(
            "see its nanny's log, which says which, and let it go on or restart it"
        )
    else:
        how = labels.get("exit_signal") or f"exit code {labels.get('exit_code')}"
        reason = labels.get("exit_reason", "unknown")
        server.absence = f"dead, last page at {path}, died of {how} ({reason})"
    return server


def _listed(group: dict[str, Any]) -> Server:
    labels = group["labels"]
    url = f"{labels.get('__scheme__', 'http')}://{group['targets'][0]}"
    return Server("worker", labels["worker_name"], labels["worker_address"], url)


def _identity(address: str, timeout: float) -> dict[str, Any] | None:
    """Ask a Dask server at its own port for its identity. Returns None if none answers."""
    from distributed.core import rpc

    async def ask() -> Any:
        async with rpc(address, timeout=timeout) as server:
            return await server.identity()

    try:
        identity = asyncio.run(asyncio.wait_for(ask(), timeout))
    except Exception:
        return None
    return identity if isinstance(identity, dict) and "type" in identity else None


def _dashboard(identity: dict[str, Any], host: str) -> str | None:
    """Return the URL of a scheduler's dashboard, from its identity."""
    port = (identity.get("services") or {}).get("dashboard")
    return f"http://{host}:{port}" if port and host else None


def _reasons(address: str | None, of: list[str | None], timeout: float) -> dict[str, Any]:
    """Ask servers what they know about this package; return answers by address.

    The answer of a server that fails or takes too long is a text.
    """
    from distributed import Client

    # A nested function, which is pickled by value: not every server has this package.
    def look(dask_scheduler: Any = None, dask_worker: Any = None) -> dict[str, Any]:
        import sys

        import dask

        found: dict[str, Any] = {"executable": sys.executable}
        server = dask_scheduler if dask_scheduler is not None else dask_worker
        try:
            import stethoscope
            from stethoscope.dask import attachment
        except Exception as error:
            found["missing"] = f"{type(error).__name__}: {error}"
            return found
        found["version"] = getattr(stethoscope, "__version__", "unknown")
        present = attachment.attachment_of(server)
        found["mode"] = getattr(present, "mode", None)
        # Older versions do not remember the reason.
        found["absence"] = getattr(attachment, "absence_of", lambda server: None)(server)
        enabled = dask.config.get("distributed.stethoscope.enabled", True)
        # Older versions of Dask leave the words of environment variables as they are.
        found["enabled"] = str(enabled).lower()
        # The installed preload has no such function if its import has failed.
        found["preloads"] = [
            (preload.name, hasattr(preload.module, "dask_setup")) for preload in server.preloads
        ]

        # The installed configuration has all keys: some are missing if it came after the start.
        key = "distributed.stethoscope"
        try:
            now = dask.config.get(key, None, config=dask.config.collect())
            found["configured_since"] = set(now or {}) > set(dask.config.get(key, None) or {})
        except Exception:
            found["configured_since"] = False
        return found

    if address is None:
        raise ConnectionError("the scheduler's address is not known")
    with Client(address, timeout=timeout, set_as_default=False) as client:

        async def ask(server: str) -> Any:
            try:
                if server == address:
                    return await asyncio.wait_for(client.run_on_scheduler(look), timeout)
                answer = client.run(look, workers=[server])
                return (await asyncio.wait_for(answer, timeout))[server]
            except asyncio.TimeoutError:
                return f"its event loop has not answered within {timeout:g} s"
            except Exception as error:
                return f"{type(error).__name__}: {error}"

        async def ask_all() -> dict[str, Any]:
            known = [server for server in of if server is not None]
            return dict(zip(known, await asyncio.gather(*map(ask, known)), strict=True))

        return client.sync(ask_all)


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
    elif found["mode"] is not None:
        # The page is there; the problem that it could not be read stays as it is.
        server.handler = (
            f"stethoscope {found['version']}, {_MODES.get(found['mode'], found['mode'])}"
        )
    elif found["absence"] == "detached":
        server.problems = ["detached"]
        server.advice.append("call stethoscope.dask.attach(client) to attach it again")
    elif (found["absence"] or "").startswith("failed: "):
        reason = found["absence"].removeprefix("failed: ")
        server.problems = [f"version {found['version']} was loaded, and attaching failed: {reason}"]
        server.advice.append("see the server's log, logger distributed.stethoscope")
    elif found["absence"] == "disabled" or found["enabled"] == "false":
        was = "is false" if found["enabled"] == "false" else "was false when it started"
        server.problems = [f"distributed.stethoscope.enabled {was}"]
        server.advice.append("set it to true, or call stethoscope.dask.attach(client)")
    elif found["configured_since"] or _started_without(found["preloads"]):
        server.problems = ["it started without the package, which was installed since"]
        server.advice.append("restart it, or call stethoscope.dask.attach(client)")
    elif not _naming(found["preloads"]):
        server.problems = ["its list of preloads does not name the package"]
        server.advice.append(
            "add stethoscope.dask to distributed.scheduler.preload and distributed.worker.preload, "
            "or call stethoscope.dask.attach(client)"
        )
    else:
        server.problems = [f"version {found['version']} is loaded and not attached"]
        server.advice.append(
            "see the server's log, logger distributed.stethoscope, or call "
            "stethoscope.dask.attach(client)"
        )


def _naming(preloads: list[tuple[str, bool]]) -> list[bool]:
    """For each preload that names the package, whether it could import it."""
    return [imported for name, imported in preloads if "stethoscope" in name]


def _started_without(preloads: list[tuple[str, bool]]) -> bool:
    naming = _naming(preloads)
    return bool(naming) and not any(naming)


def one_line(text: str) -> str:
    """Escape what a terminal obeys or hides, and newlines, which could forge lines."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def report(servers: list[Server]) -> str:
    """Format what was found out."""
    lines = []
    for server in servers:
        lines.append(" ".join(filter(None, [server.role, server.name, server.address])))
        if server.absence is not None:
            lines.append(f"  page     {server.url}")
            lines.append(f"  state    {server.absence}")
        else:
            lines.append(f"  page     {server.url}/metrics")
            lines.append(f"  handler  {server.handler}")
        if server.sample_age is not None:
            lines.append(f"  sample   {server.sample_age:.3f} s old")
        if server.status is not None and server.status.get("black_box"):
            lines.append(f"  box      {server.status['black_box']}")
        elif server.status is not None and server.status.get("black_box_reason"):
            lines.append(f"  box      none: {server.status['black_box_reason']}")
        lines += [f"  problem  {problem}" for problem in server.problems]
        lines += [f"  to do    {advice}" for advice in server.advice]
    present = [server for server in servers if server.absence is None]
    healthy = sum(not server.problems for server in present)
    last = f"{healthy} of {len(present)} servers are served as configured"
    for role in ("dead worker", "frozen worker"):
        number = sum(server.role == role for server in servers)
        if number:
            last += f"; {number} {role}{'s' if number > 1 else ''}"
    lines.append(f"{last}.")
    return "".join(f"{one_line(line)}\n" for line in lines)
