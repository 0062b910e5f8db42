"""Gives the dashboard's port to a native thread, and back.

The thread accepts on the sockets that Dask's HTTP server listens on and answers
requests for `/metrics` itself. It hands every other connection to the event loop,
unread, as if it had just been accepted (`link.py`).

This uses private attributes of tornado's server. If one of them is missing,
`TakeOver` raises `Unavailable` and has changed nothing.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

from stethoscope._errors import Unavailable
from stethoscope._native import Document, Page
from stethoscope.dask.link import Link, Sample


class TakeOver:
    """A server's port that a native thread has taken over.

    Create, use and stop it on the server's event loop.
    """

    def __init__(
        self,
        server: Any,
        page: Page,
        sample: Sample,
        refresh_timeout: float,
        documents: Sequence[Document] = (),
    ) -> None:
        """Take over the port of `server.http_server`.

        `sample` brings fresh values to the page and to the documents that are
        served beside it. A scrape waits at most `refresh_timeout` seconds for it.
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
            raise Unavailable("the sockets of the dashboard are unknown")

        self._acceptors = acceptors
        self._sockets = sockets
        try:
            listener = page.listen(list(sockets), refresh_timeout, documents)
        except OSError as error:
            raise Unavailable(str(error)) from error
        self._link = Link(listener, sample, self._adopt)
        for fd in sockets:
            acceptors[fd]()
            # Tornado calls this when the server stops, before it closes the socket:
            # the thread must have released the port by then.
            acceptors[fd] = self._link.stop

    def restore_port(self) -> None:
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
        except OSError:  # The client has closed it.
            connection.close()
            return
        self._handle_connection(connection, address)
