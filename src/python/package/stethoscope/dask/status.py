"""The state of an attachment, served at `/metrics/status`.

A small JSON document: the version of this package and of Dask, the address of the
server and of a worker's scheduler, how the page was to be served, how it is served,
and why the two differ if they do; the file of the black box, or why there is none.
Read by `python -m stethoscope.dask doctor`.
"""

from __future__ import annotations

import json
import platform
from typing import Any

import stethoscope
from stethoscope._native import BlackBox, Document

PATH = "/metrics/status"


class Status:
    """The document of one server."""

    def __init__(self, server: Any, role: str, configured: str) -> None:
        import distributed

        self.document = Document(PATH)
        self._facts = {
            "version": stethoscope.__version__,
            "dask": distributed.__version__,
            "python": platform.python_version(),
            "role": role,
            "address": server.address,
            "serve": configured,
        }
        if role == "worker":
            self._facts["scheduler"] = server.scheduler.address
        self._mode: tuple[str, str | None] = (configured, None)
        self.update(configured)

    def black_box(self, box: BlackBox | None, reason: str | None, *, is_asked_for: bool) -> None:
        """Say where the black box is, or why there is none, and if it was asked for."""
        self._facts["black_box"] = None if box is None else str(box.path)
        self._facts["black_box_reason"] = reason
        self._facts["black_box_asked_for"] = is_asked_for
        self.update(*self._mode)

    def update(self, mode: str, reason: str | None = None) -> None:
        """Say how the page is served now, and why not as configured."""
        self._mode = (mode, reason)
        facts = {**self._facts, "mode": mode, "reason": reason}
        self.document.replace(json.dumps(facts).encode() + b"\n")
