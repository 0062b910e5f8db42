"""The list of a cluster's pages, for Prometheus.

The scheduler knows where each worker's page is, and serves the list at
`/metrics/targets` in the format of Prometheus' HTTP service discovery (http_sd):

    [{"targets": ["10.0.0.7:40001"],
      "labels": {"role": "worker", "worker_name": "w7", "worker_address": "tcp://10.0.0.7:40000"}},
     ...]

The native thread serves this document: the list as of the last time the event
loop was free, which is at each request unless the loop is blocked. On request
the same list is kept in a file, for Prometheus' file-based discovery (file_sd).

Pages of workers that have died, or are frozen, are targets of their own (`postmortem.py`).

A worker tells the scheduler its `Location` when it registers. A worker without
this package, or one that was attached later, is listed at the host of its Dask
address and the port of its dashboard.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from stethoscope._native import Document
from stethoscope.dask.dedicated_port import SERVICE
from stethoscope.dask.postmortem import Postmortems
from stethoscope.dask.settings import DEDICATED_PORT, ROUTE, Settings

logger = logging.getLogger("distributed.stethoscope")

PATH = "/metrics/targets"

#: The key of a worker's location in its startup information.
_STARTUP_KEY = "stethoscope"

#: Addresses that stand for all interfaces of a machine.
_WILDCARDS = ("", "0.0.0.0", "::")


@dataclass(frozen=True)
class Location:
    """The place where Prometheus finds a server's page."""

    #: None: the host of the server's Dask address.
    host: str | None
    port: int
    scheme: str = "http"


def location(server: Any, wanted: Settings) -> Location:
    """Return where the page of a scheduler or worker can be scraped."""
    http = server.http_server
    bound, port = http.address, http.port
    scheme = "http" if getattr(http, "ssl_options", None) is None else "https"
    dedicated = server.services.get(SERVICE)
    if wanted.serve == DEDICATED_PORT and dedicated is not None:
        bound, port, scheme = wanted.address[0] or bound, dedicated.port, "http"
    host = None if bound in _WILDCARDS else bound
    if wanted.advertise_address is not None:
        advertised_host, advertised_port = wanted.advertise_address
        host = advertised_host or host
        port = port if advertised_port is None else advertised_port
    return Location(host, port, scheme)


def announce(worker: Any, wanted: Settings) -> Callable[[], None]:
    """Add a worker's location to what it tells the scheduler. Returns a function that undoes it.

    Has no effect on a worker that has already registered.
    """
    worker.startup_information[_STARTUP_KEY] = lambda worker: asdict(location(worker, wanted))
    return lambda: worker.startup_information.pop(_STARTUP_KEY, None)


class Targets:
    """The list of one scheduler and its workers. Used on the scheduler's event loop."""

    def __init__(
        self, scheduler: Any, wanted: Settings, postmortems: Postmortems | None = None
    ) -> None:
        self._scheduler = scheduler
        self._wanted = wanted
        self._postmortems = postmortems
        self._postmortems_version = 0
        self.document = Document(PATH)
        self._file = None
        if wanted.targets_file is not None:
            self._file = TargetsFile(wanted.targets_file.replace("{id}", str(scheduler.id)))
        # The workers on the list with their entries, by address. Only an entry that changes
        # is made again. A worker that was restarted may have the address of the old one.
        self._listed: dict[str, tuple[Any, bytes]] = {}
        self._changes: tuple[int, int] | None = None
        self.relocate()

    def relocate(self) -> None:
        """Find out again where the scheduler's own page is, and write the list."""
        self._location = location(self._scheduler, self._wanted)
        self._own = _entry(self._location, self._scheduler.address, role="scheduler")
        self._write()

    def refresh(self) -> None:
        """Bring the list up to date."""
        if self._refresh_postmortems() | self._refresh_workers():
            self._write()

    def _refresh_postmortems(self) -> bool:
        if self._postmortems is None:
            return False
        self._postmortems.expire()
        before, self._postmortems_version = self._postmortems_version, self._postmortems.version
        return before != self._postmortems_version

    def _refresh_workers(self) -> bool:
        """Make the entries of workers that have changed. Return whether any has."""
        scheduler = self._scheduler
        try:
            changes = (scheduler._workers_added_total, scheduler._workers_removed_total)
        except AttributeError:  # Before 2024.8.
            changes = None
        if changes is not None and changes == self._changes:
            return False
        self._changes = changes
        before = self._listed
        self._listed = {}
        for address, worker in scheduler.workers.items():
            listed = before.get(address)
            if listed is None or listed[0] is not worker:
                listed = (worker, self._worker_entry(worker))
            self._listed[address] = listed
        return list(self._listed.values()) != list(before.values())

    def close(self) -> None:
        """Empty the list and remove the file: an empty list is better than a wrong one."""
        self.document.replace(b"[]\n")
        if self._file is not None:
            self._file.remove()

    def _worker_entry(self, worker: Any) -> bytes:
        place = self._worker_location(worker)
        if place is None:
            return b""
        name, address = str(worker.name), worker.address
        return _entry(place, address, role="worker", worker_name=name, worker_address=address)

    def _worker_location(self, worker: Any) -> Location | None:
        announced = getattr(worker, "extra", {}).get(_STARTUP_KEY)
        if isinstance(announced, dict):
            # A newer version may announce more.
            known = {key: announced[key] for key in ("host", "port", "scheme") if key in announced}
            with contextlib.suppress(TypeError):
                return Location(**known)
        if SERVICE in worker.services:
            return Location(None, worker.services[SERVICE])
        port = worker.services.get("dashboard")
        # Dask configures TLS for all dashboards of a cluster at once.
        tls = getattr(self._scheduler.http_server, "ssl_options", None) is not None
        return None if port is None else Location(None, port, "https" if tls else "http")

    def _postmortem_entries(self) -> Iterator[bytes]:
        if self._postmortems is None:
            return
        # Routes of the dashboard, wherever the page is.
        place = location(self._scheduler, replace(self._wanted, serve=ROUTE))
        for path, labels in self._postmortems.listed():
            yield _entry(place, self._scheduler.address, **labels, __metrics_path__=path)

    def _write(self) -> None:
        entries = [self._own, *(entry for _, entry in self._listed.values() if entry)]
        entries += self._postmortem_entries()
        text = b"[" + b",\n ".join(entries) + b"]\n"
        self.document.replace(text)
        if self._file is not None:
            self._file.write(text)


class TargetsFile:
    """The list of targets in a file, replaced at once: no reader sees half of it."""

    def __init__(self, path: str) -> None:
        self._path = os.path.abspath(path)
        # Prometheus reads files that end in .json, .yml or .yaml: not this one.
        self._draft = f"{self._path}.{os.getpid()}.tmp"
        self._failed = False

    def write(self, text: bytes) -> None:
        """Replace the contents. A failure is logged once until a write succeeds."""
        try:
            with open(self._draft, "wb") as draft:
                draft.write(text)
            os.replace(self._draft, self._path)
            self._failed = False
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(self._draft)
            if not self._failed:
                self._failed = True
                logger.error("the list of targets is not written to a file: %s", error)

    def remove(self) -> None:
        """Remove the file, if it is there."""
        try:
            os.unlink(self._path)
        except FileNotFoundError:
            pass
        except OSError as error:
            logger.error("the file with the list of targets is not removed: %s", error)


def host_and_port(place: Location, server_address: str) -> str:
    """Return the place of a server's page as Prometheus writes it."""
    from distributed.comm.addressing import get_address_host

    host = place.host or get_address_host(server_address)
    return f"[{host}]:{place.port}" if ":" in host else f"{host}:{place.port}"


def _entry(place: Location, server_address: str, **labels: str) -> bytes:
    if place.scheme != "http":
        labels["__scheme__"] = place.scheme
    target = host_and_port(place, server_address)
    return json.dumps({"targets": [target], "labels": labels}).encode()
