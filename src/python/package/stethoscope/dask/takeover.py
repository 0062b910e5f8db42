"""The dashboard's port, given to a native thread and back.

The thread accepts on the sockets that Dask's HTTP server listens on, and
answers what is asked of `/metrics` itself; every connection that asks for
anything else comes to the loop, unread, as if just accepted (`link.py`).

All of this leans on private attributes of tornado's server. Where one of them
is missing, `TakeOver` raises `Unavailable` and has changed nothing.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

from stethoscope._native import Document, Page
from stethoscope.dask.link import Link, Sample, Unavailable


class TakeOver:
    """A server's port in the hands of a native thread.

    Made, used and stopped on the server's event loop.
    """

    def __init__(
        self,
        server: Any,
        page: Page,
        sample: Sample,
        freshness: float,
        documents: Sequence[Document] = (),
    ) -> None:
        """Take the port of `server.http_server` over.

        `sample` brings fresh values to the page and to the documents that are
        served beside it; `freshness` is how many seconds a scrape waits for that
        at most.
        """
        try:
            http = server.http_server
            sockets = dict(http._sockets)
            acceptors = http._handlers
            self._handle_connection = http._handle_connection
            speaks_tls = http.ssl_options is not None
        except AttributeError as error:
            raise Unavailable(str(error)) from error
        if speaks_tls:
            raise Unavailable("the dashboard speaks TLS")
        if not sockets or acceptors.keys() != sockets.keys():
            raise Unavailable("the dashboard listens nowhere that is known")

        self._acceptors = acceptors
        self._sockets = sockets
        try:
            listener = page.listen(list(sockets), freshness, documents)
        except OSError as error:
            raise Unavailable(str(error)) from error
        self._link = Link(listener, sample, self._adopt)
        for fd in sockets:
            acceptors[fd]()
            # What tornado calls when the server stops, before it closes the
            # socket: the thread must have let go of the port by then.
            acceptors[fd] = self._link.stop

    def give_back(self) -> None:
        """Stop, and let Dask's server accept again if it still listens."""
        from tornado.netutil import add_accept_handler

        self._link.stop()
        for fd, listening in self._sockets.items():
            if self._acceptors.get(fd) == self._link.stop and listening.fileno() == fd:
                self._acceptors[fd] = add_accept_handler(listening, self._handle_connection)

    def _adopt(self, connection: socket.socket) -> None:
        """Pass a connection to Dask's server, as tornado's own acceptor would."""
        try:
            connection.setblocking(False)
            address = connection.getpeername()
        except OSError:  # Gone already.
            connection.close()
            return
        self._handle_connection(connection, address)
