"""The page at an address of its own, beside the dashboard's.

For those whose dashboard speaks TLS, sits behind a proxy that wants a login, or
is not to be touched. Nothing of Dask's is private here: the port is one more of
the server's services, as the dashboard is, so that the scheduler knows where the
page of each worker is.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from stethoscope._native import Document, Page
from stethoscope.dask.link import Link, Sample, Unavailable

logger = logging.getLogger("distributed.stethoscope")

#: The name of the service.
SERVICE = "stethoscope"


class OwnAddress:
    """A page that is served at an address of its own, on a native thread.

    Made and stopped on the server's event loop, which fresh values come from.
    """

    def __init__(
        self,
        server: Any,
        page: Page,
        address: tuple[str, int],
        sample: Sample,
        freshness: float,
        documents: Sequence[Document] = (),
    ) -> None:
        """Listen at a host and a port; where that is taken, at a free one of the host."""
        host, port = address[0] or _host(server), address[1]
        try:
            try:
                listener = page.listen_at(host, port, freshness, documents)
            except OSError as error:
                if not port:
                    raise
                logger.warning("%s: /metrics is served at a free port instead", error)
                listener = page.listen_at(host, 0, freshness, documents)
        except OSError as error:
            raise Unavailable(f"{error} ({host!r}, in distributed.stethoscope.address)") from error
        self.port = listener.port
        self._link = Link(listener, sample)
        self._server = server
        server.services[SERVICE] = self
        logger.info("/metrics is served at http://%s:%s/metrics", host, self.port)

    def stop(self) -> None:
        """Free the port. May be called twice; by Dask, as of each of its services."""
        self._link.stop()

    def withdraw(self) -> None:
        """Stop, and be no service any more."""
        self.stop()
        # Another dict: Dask may be going through that one, stopping each of them.
        services = self._server.services.items()
        self._server.services = {name: s for name, s in services if s is not self}


def _host(server: Any) -> str:
    """The address at which the dashboard listens."""
    return server.http_server.address
