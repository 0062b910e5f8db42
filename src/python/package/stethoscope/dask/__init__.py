"""Metrics of Dask schedulers and workers, served at `/metrics` of their dashboards.

Dask loads this module in one of three ways:

- installing the package is enough: its `etc/dask/stethoscope.yaml` has a preload
  for schedulers and workers that imports this module if it can;
- `dask scheduler --preload stethoscope.dask`, and the same for `dask worker`;
- as a module of routes, in `distributed.scheduler.http.routes` and
  `distributed.worker.http.routes`, in place of Dask's own
  `distributed.http.*.prometheus`. It then attaches at the first scrape.

Any combination of them attaches once. Importing this module has no effect of its
own: the parent of a nanny imports it too. `attach(client)` and `detach(client)`
switch the metrics of a running cluster on and off.

How the parts work together:

    attachment.py      ties the parts to one server and takes them off again
    settings.py        reads Dask's configuration
    probes.py          reads each number from Dask's objects
    passes.py          goes over its task prefixes, workers and activities
    departures.py      tells why workers left
    sampling.py        probes -> page, on the event loop, when a scrape asks
    digests.py         every tick, task duration and bandwidth -> page, as it happens
    takeover.py        gives the dashboard's port to a native thread, and back
    dedicated_port.py  or opens another port for that thread
    link.py            answers the thread's requests on the event loop
    route.py           serves the same page as a route of Dask's own server
    process_metrics.py chooses the page that shows the metrics of the process
    status.py          tells the doctor which version answers, and how
    targets.py         lists the pages of a cluster, for Prometheus to find them
    black_box.py       keeps the page in a file that outlives the process
    nanny.py           reads that file when its worker is frozen or has died
    postmortem.py      keeps and serves what nannies have read
    running.py         attaches to and detaches from a running cluster

The page itself, its cells and its text live in `stethoscope._native`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed import Client
    from distributed.node import ServerNode

__all__ = ["attach", "dask_setup", "dask_teardown", "detach", "routes"]


def dask_setup(server: ServerNode) -> None:
    """Attach to a scheduler or worker. Called by Dask's preloading; never raises."""
    import logging

    try:
        from stethoscope.dask.attachment import attach

        attach(server)
    except Exception:
        # Not every version of Dask guards its preloads, and none should fail for this.
        logging.getLogger("distributed.stethoscope").exception(
            "stethoscope is disabled for this server (falling back to Dask's own /metrics)"
        )


def dask_teardown(server: ServerNode) -> None:
    """Detach from a scheduler or worker. Called by Dask's preloading."""
    # The module is loaded if anything is attached. If not, the package may have been
    # uninstalled since.
    attachment = sys.modules.get("stethoscope.dask.attachment")
    if attachment is not None:
        attachment.detach(server)


def attach(client: Client) -> dict[str, str]:
    """Serve the metrics of a running cluster: of its scheduler and its present workers.

    For a cluster whose configuration did not load this package, or that `detach`
    has switched off. Workers that join later follow their own configuration.

    Returns for each address how its page is served now (`"take-over"`,
    `"dedicated-port"` or `"route"`), or why it is not, for example because the
    package is not installed there. Raises `TypeError` for anything but a client that
    may wait.
    """
    from stethoscope.dask import running

    return running.attach(client)


def detach(client: Client) -> dict[str, str]:
    """Give a running cluster's `/metrics` back to Dask's own handler.

    Returns for each address `"detached"`, `"not attached"`, or why it failed. Raises
    `TypeError` like `attach`.
    """
    from stethoscope.dask import running

    return running.detach(client)


def __getattr__(name: str) -> Any:
    # Made on demand: a preload needs no tornado handler, and a nanny's parent needs
    # nothing at all.
    if name == "routes":
        from stethoscope.dask.attachment import attach as attach_to_server
        from stethoscope.dask.route import routes

        return routes(attach_to_server)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
