"""On which page the metrics of the process are shown.

A process may have a scheduler and several workers, each with a page. What
belongs to the process is on one of them only: shown on each, it would be counted
several times in a sum over pages. It is the page of the worker that came first,
or the scheduler's where there is no worker, and moves on when that one closes.
"""

from __future__ import annotations

import os
import threading

import stethoscope
from stethoscope._native import Page

_lock = threading.Lock()
#: With their roles, in the order in which they came.
_pages: list[tuple[str, Page]] = []
_shown_on: Page | None = None


def _forget() -> None:
    global _lock
    _lock = threading.Lock()
    _pages.clear()


# Nobody serves the pages of the parent there.
os.register_at_fork(after_in_child=_forget)


def join(role: str, page: Page) -> None:
    """A page that can show them. Until it leaves."""
    with _lock:
        _pages.append((role, page))
        _choose()


def leave(page: Page) -> None:
    """A page that is served no longer."""
    with _lock:
        _pages[:] = [entry for entry in _pages if entry[1] is not page]
        _choose()


def _choose() -> None:
    global _shown_on
    of_workers = [page for role, page in _pages if role == "worker"]
    chosen = next(iter(of_workers or [page for _, page in _pages]), None)
    if chosen is _shown_on:
        return
    if _shown_on is not None:
        _shown_on.exclude(stethoscope._registry)
    if chosen is not None:
        chosen.include(stethoscope._registry)
    _shown_on = chosen
