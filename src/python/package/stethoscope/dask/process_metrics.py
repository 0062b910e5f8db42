"""Chooses the page that shows the metrics of the process.

A process may have a scheduler and several workers, each with a page. What belongs
to the process is on one page only, since a sum over all pages would otherwise count
it several times. That is the page of the worker that came first, or the
scheduler's if there is no worker. It moves on when that server closes.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass

from stethoscope import _prometheus_client
from stethoscope._native import Mirrored, Page, Registry, process_registry


@dataclass(frozen=True)
class _Member:
    """A page that can show metrics of the process."""

    role: str
    page: Page
    prometheus_client: bool


_lock = threading.Lock()
#: In the order in which they came.
_members: list[_Member] = []
#: The registries that are shown, each with its page.
_shown: dict[Registry | Mirrored, Page] = {}


def _forget() -> None:
    global _lock
    _lock = threading.Lock()
    _members.clear()


# The child does not serve its parent's pages.
os.register_at_fork(after_in_child=_forget)


def join(role: str, page: Page, prometheus_client: bool) -> None:
    """Add a page that can show metrics of the process, until it leaves.

    `prometheus_client` says whether it may show those of that library too.
    """
    with _lock:
        _members.append(_Member(role, page, prometheus_client))
        _choose()


def leave(page: Page) -> None:
    """Remove a page that is no longer served."""
    with _lock:
        _members[:] = [member for member in _members if member.page is not page]
        _choose()


def _choose() -> None:
    _show(process_registry(), _first(_members))
    willing = [member for member in _members if member.prometheus_client]
    if willing:
        _show(_prometheus_client.start(), _first(willing))
    else:
        _show(_prometheus_client.mirrored, None)


def _first(members: list[_Member]) -> Page | None:
    workers = [member for member in members if member.role == "worker"]
    return next((member.page for member in workers or members), None)


def _show(metrics: Registry | Mirrored, page: Page | None) -> None:
    before = _shown.get(metrics)
    if page is before:
        return
    if before is not None:
        before.exclude(metrics)
        del _shown[metrics]
    if page is not None:
        page.include(metrics)
        _shown[metrics] = page
