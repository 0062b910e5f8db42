"""The metrics of Dask schedulers and workers, at `/metrics` of their dashboards.

Dask finds this module by name, in one of three ways:

- installing the package is enough: its `etc/dask/stethoscope.yaml` names this
  module in `distributed.scheduler.preload` and `distributed.worker.preload`;
- `dask scheduler --preload stethoscope.dask`, and so for `dask worker`;
- as a module of routes, in `distributed.scheduler.http.routes` and
  `distributed.worker.http.routes`, in the place of Dask's own
  `distributed.http.*.prometheus`. It then attaches at the first scrape.

Any number of them at once attaches once. Importing this module does nothing:
the parent of a nanny imports it too.

How the parts work together:

    attach.py     ties the parts to one server and takes them off again
    settings.py   what Dask's configuration asks for
    probes.py     where each number is among Dask's objects
    sampling.py   probes -> page, on the event loop, whenever a scrape asks
    digests.py    every tick, task duration and bandwidth -> page, as it happens
    takeover.py   the dashboard's port, given to a native thread and back
    dedicated_port.py  or a port beside it
    link.py       what such a thread asks of the event loop
    route.py      the same page as a route of Dask's own server
    process_metrics.py     on which page metrics of one's own are shown
    targets.py    where the pages of a cluster are, for Prometheus to find them

The page itself, its cells and its text live in `stethoscope._native`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed.node import ServerNode

__all__ = ["dask_setup", "dask_teardown", "routes"]


def dask_setup(server: ServerNode) -> None:
    """Attach to a scheduler or a worker. Called by Dask's preloading."""
    from stethoscope.dask.attach import attach, logger
    from stethoscope.dask.settings import Wrong

    try:
        attach(server)
    except Wrong as error:
        logger.error("not attached to this server, its metrics are Dask's own: %s", error)
    except Exception:
        # Not every Dask guards its preloads, and none should fail for this.
        logger.exception("not attached to this server: its metrics are Dask's own")


def dask_teardown(server: ServerNode) -> None:
    """Detach from it. Called by Dask's preloading."""
    from stethoscope.dask.attach import detach

    detach(server)


def __getattr__(name: str) -> Any:
    # Made on demand: a preload needs no tornado handler, a nanny's parent
    # nothing at all.
    if name == "routes":
        from stethoscope.dask.route import ROUTES

        return ROUTES
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
