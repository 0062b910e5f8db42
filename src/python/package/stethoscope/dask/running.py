"""Attaches to, and detaches from, the servers of a running cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed import Client


def attach(client: Client) -> dict[str, str]:
    """Attach to the scheduler and all workers of a client. See `stethoscope.dask.attach`."""
    _check(client)

    def on_server(dask_scheduler: Any = None, dask_worker: Any = None) -> str:
        try:
            from stethoscope.dask.attachment import attach
        except ImportError as error:
            return f"failed: {error}: install stethoscope there"
        attachment = attach(dask_scheduler or dask_worker, even_if_disabled=True)
        return "failed: this server has no HTTP server" if attachment is None else attachment.mode

    return run_everywhere(client, on_server)


def detach(client: Client) -> dict[str, str]:
    """Detach from the scheduler and all workers of a client. See `stethoscope.dask.detach`."""
    _check(client)

    def on_server(dask_scheduler: Any = None, dask_worker: Any = None) -> str:
        try:
            from stethoscope.dask.attachment import attachment_of, detach
        except ImportError as error:
            return f"failed: {error}: install stethoscope there"
        server = dask_scheduler or dask_worker
        if attachment_of(server) is None:
            return "not attached"
        detach(server)
        return "detached"

    return run_everywhere(client, on_server)


def _check(client: Any) -> None:
    from distributed import Client

    if not isinstance(client, Client):
        raise TypeError(
            f"expected a distributed.Client, found {type(client).__name__}: "
            "connect one with Client(cluster) or Client(address)"
        )
    if client.asynchronous:
        raise TypeError(
            "expected a synchronous client, found an asynchronous one on its own event loop: "
            "call this in a thread, for example with asyncio.to_thread"
        )


def run_everywhere(client: Client, function: Callable[..., str]) -> dict[str, Any]:
    """Run a function in the event loops of scheduler and workers; return results by address.

    A failure is returned as a text. The function must be a nested one: those are
    pickled by value, so that servers without this package can load them.
    """
    try:
        results: dict[str, Any] = {client.scheduler.address: client.run_on_scheduler(function)}
    except Exception as error:
        results = {client.scheduler.address: error}
    results |= client.run(function, on_error="return")
    return {
        address: f"failed: {type(result).__name__}: {result}"
        if isinstance(result, BaseException)
        else result
        for address, result in results.items()
    }
