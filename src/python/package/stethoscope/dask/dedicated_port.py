"""Serves the page at a port of its own, beside the dashboard's.

For a dashboard that speaks TLS, is behind a proxy that asks for a login, or must
be left alone. No private attributes of Dask are used: the port is one more of the
server's services, as the dashboard is, so that the scheduler knows it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from stethoscope._errors import Unavailable
from stethoscope._native import Document, Page
from stethoscope.dask.link import Link, Sample

logger = logging.getLogger("distributed.stethoscope")

#: The name of the service.
SERVICE = "stethoscope"


class DedicatedPort:
    """A page that a native thread serves at a port of its own.

    Create and stop it on the server's event loop, which refreshes the values.
    """

    def __init__(
        self,
        server: Any,
        page: Page,
        address: tuple[str, int],
        sample: Sample,
        refresh_timeout: float,
        documents: Sequence[Document] = (),
    ) -> None:
        """Listen at a host and a port, or at a free port if that one is taken."""
        host, port = address[0] or _host(server), address[1]
        try:
            try:
                listener = page.listen_at(host, port, refresh_timeout, documents)
            except OSError as error:
                if not port:
                    raise
                logger.warning("%s: /metrics is served at a free port instead", error)
                listener = page.listen_at(host, 0, refresh_timeout, documents)
        except OSError as error:
            raise Unavailable(f"{error} ({host!r}, in distributed.stethoscope.address)") from error
        self.port = listener.port
        self._link = Link(listener, sample)
        self._server = server
        server.services[SERVICE] = self
        logger.info("/metrics is served at http://%s:%s/metrics", host, self.port)

    def stop(self) -> None:
        """Free the port. May be called twice; Dask calls it too, as for each service."""
        self._link.stop()

    def withdraw(self) -> None:
        """Stop, and leave the server's services."""
        self.stop()
        # A new dict: Dask may be iterating over this one to stop each service.
        services = self._server.services.items()
        self._server.services = {name: s for name, s in services if s is not self}


def _host(server: Any) -> str:
    """The address at which the dashboard listens."""
    return server.http_server.address
