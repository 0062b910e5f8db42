"""Where the servers of a cluster are, for Prometheus.

The scheduler knows where each worker's page is, and says so at
`/metrics/targets` in the form that Prometheus calls http_sd:

    [{"targets": ["10.0.0.7:40001"],
      "labels": {"role": "worker", "worker_name": "w7", "worker_address": "tcp://10.0.0.7:40000"}},
     ...]

It is a document that the native thread serves: the list as it was when the event
loop last had a moment, which is at each request where it is not blocked.
"""

from __future__ import annotations

import json
from typing import Any

from stethoscope._native import Document
from stethoscope.dask.dedicated_port import SERVICE

PATH = "/metrics/targets"


class Targets:
    """The list of one scheduler and its workers. Used on its event loop."""

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler
        self.document = Document(PATH)
        # By address, who is on the list and with what: a change costs only
        # itself. A worker that was restarted may have the address it had.
        self._listed: dict[str, tuple[Any, bytes]] = {}
        self._changes: tuple[int, int] | None = None
        self.moved(scheduler.http_server.port)

    def moved(self, port: int) -> None:
        """The scheduler's own page is at this port."""
        self._own = _entry(self._scheduler.address, port, role="scheduler")
        self._write()

    def refresh(self) -> None:
        """Bring the list up to date."""
        scheduler = self._scheduler
        try:
            changes = (scheduler._workers_added_total, scheduler._workers_removed_total)
        except AttributeError:  # Before 2024.8.
            changes = None
        if changes is not None and changes == self._changes:
            return
        self._changes = changes

        before = self._listed
        self._listed = {}
        for address, worker in scheduler.workers.items():
            listed = before.get(address)
            if listed is None or listed[0] is not worker:
                listed = (worker, _worker_entry(worker))
            self._listed[address] = listed
        if list(self._listed.values()) != list(before.values()):
            self._write()

    def _write(self) -> None:
        entries = [self._own, *(entry for _, entry in self._listed.values() if entry)]
        self.document.replace(b"[" + b",\n ".join(entries) + b"]\n")


def _worker_entry(worker: Any) -> bytes:
    port = worker.services.get(SERVICE, worker.services.get("dashboard"))
    if port is None:
        return b""
    name, address = str(worker.name), worker.address
    return _entry(address, port, role="worker", worker_name=name, worker_address=address)


def _entry(address: str, port: int, **labels: str) -> bytes:
    from distributed.comm.addressing import get_address_host

    host = get_address_host(address)
    if ":" in host:
        host = f"[{host}]"
    return json.dumps({"targets": [f"{host}:{port}"], "labels": labels}).encode()
