"""Collects the metrics of prometheus_client on a thread of their own.

Collectors are Python code of any kind: they may take a second, or fail. They run
neither in a scrape nor on an event loop. A thread collects them round by round,
and pages show what was collected last, with its age.

prometheus_client is never imported here: unless something else has imported it,
it has nothing to show.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

from stethoscope._native import Mirrored, process_registry
from stethoscope._signals import blocked_signals

logger = logging.getLogger("distributed.stethoscope")

#: Seconds from the end of a round to the begin of the next, at least and at most.
SHORTEST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
#: The share of the process' CPU time that collecting may take in between.
CPU_SHARE = 0.01

#: Collectors of prometheus_client whose families our pages have already.
_REPLACED = ("PROCESS_COLLECTOR", "PLATFORM_COLLECTOR", "GC_COLLECTOR")

#: The values of the last collection.
mirrored = Mirrored(process_registry())
_lock = threading.Lock()
_thread: threading.Thread | None = None
_warned: set[str] = set()


def start() -> Mirrored:
    """Return the metrics of prometheus_client, collected from now on.

    The thread runs until the process ends; a second call starts no other.
    """
    global _thread
    with _lock:
        if _thread is None:
            _thread = threading.Thread(target=_run, name="prometheus-client", daemon=True)
            with blocked_signals():
                _thread.start()
    return mirrored


def _forget_thread() -> None:
    global _lock, _thread, mirrored
    _lock = threading.Lock()
    _thread = None
    # The thread may have been in the middle of an update.
    mirrored = Mirrored(process_registry())


# Threads do not survive a fork.
os.register_at_fork(after_in_child=_forget_thread)


def _run() -> None:
    while True:
        client = sys.modules.get("prometheus_client")
        started = time.thread_time()
        # Without the attribute the module is still being imported.
        if client is not None and hasattr(client, "REGISTRY"):
            try:
                collect(client)
            except Exception as error:
                _warn_once("metrics of prometheus_client", error)
        took = time.thread_time() - started
        time.sleep(min(max(took / CPU_SHARE, SHORTEST_PAUSE), LONGEST_PAUSE))


def collect(client: ModuleType) -> None:
    """Show what the global registry of prometheus_client has now."""
    for family in _families(client):
        try:
            mirrored.update(family)
        except Exception as error:
            _warn_once(f"{family.name!r} of prometheus_client", error)
    mirrored.finish()


def _families(client: ModuleType) -> Iterator[Any]:
    """Yield the families of each collector that does not fail."""
    registry = client.REGISTRY
    target_info = getattr(registry, "_target_info_metric", None)
    if target_info is not None and getattr(registry, "_target_info", None):
        yield target_info()
    replaced = [getattr(client, name, None) for name in _REPLACED]
    for collector in _collectors(registry):
        is_dasks = type(collector).__module__.partition(".")[0] == "distributed"
        if is_dasks or any(collector is other for other in replaced):
            continue
        try:
            # All of them before the first is shown: one that fails half-way
            # shows nothing.
            families = list(collector.collect())
        except Exception as error:
            _warn_once(f"metrics of the collector {collector!r}", error)
        else:
            yield from families


def _collectors(registry: Any) -> Iterable[Any]:
    """Return the registry's collectors.

    They are private to it. If it keeps them elsewhere one day, it collects them
    itself: then one that fails costs the others.
    """
    try:
        with registry._lock:
            return list(registry._collector_to_names)
    except AttributeError:
        return [registry]


def _warn_once(what: str, error: Exception) -> None:
    if what not in _warned:
        _warned.add(what)
        logger.warning("%s are not shown: %s: %s", what, type(error).__name__, error)
