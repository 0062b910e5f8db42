"""The dashboard's port, given to a native thread and back.

The thread accepts on the sockets that Dask's HTTP server listens on, and
answers what is asked of `/metrics` itself: it needs neither the event loop nor
the GIL for that. Two things come back to the loop, over one descriptor that
the loop watches:

- a scrape that wishes for fresh values (the thread waits a bounded moment);
- every connection that asks for anything else, unread, as if just accepted.

All of this leans on private attributes of tornado's server. Where one of them
is missing, `TakeOver` raises `Unavailable` and has changed nothing.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from stethoscope._native import Document, Page


class Unavailable(Exception):
    """Why this server's port cannot be taken over."""


class TakeOver:
    """A server's port in the hands of a native thread.

    Made, used and stopped on the server's event loop.
    """

    def __init__(
        self,
        server: Any,
        page: Page,
        sample: Callable[[Callable[[], None]], None],
        freshness: float,
        documents: Sequence[Document] = (),
    ) -> None:
        """Take the port of `server.http_server` over.

        `sample` brings fresh values to the page and to the documents that are
        served beside it, and calls what it is given then; `freshness` is how
        many seconds a scrape waits for that at most.
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

        self._process = os.getpid()
        self._acceptors = acceptors
        self._sockets = sockets
        self._sample = sample
        self._loop = asyncio.get_running_loop()
        self._listener = page.listen(list(sockets), freshness, documents)
        self._undo = ExitStack()
        self._undo.callback(self._listener.stop)
        self._loop.add_reader(self._listener.wake_fd, self._woken)
        self._undo.callback(self._loop.remove_reader, self._listener.wake_fd)
        for fd in sockets:
            acceptors[fd]()
            # What tornado calls when the server stops, before it closes the
            # socket: the thread must have let go of the port by then.
            acceptors[fd] = self.stop

    def stop(self) -> None:
        """Stop the thread; every connection it holds is closed. May be called twice.

        Does nothing in a forked child, which shares the selector of its parent's
        event loop.
        """
        if os.getpid() == self._process:
            self._undo.close()

    def give_back(self) -> None:
        """Stop, and let Dask's server accept again if it still listens."""
        from tornado.netutil import add_accept_handler

        self.stop()
        for fd, listening in self._sockets.items():
            if self._acceptors.get(fd) == self.stop and listening.fileno() == fd:
                self._acceptors[fd] = add_accept_handler(listening, self._handle_connection)

    def _woken(self) -> None:
        wants_sample, connections = self._listener.woken()
        for fd in connections:
            self._adopt(socket.socket(fileno=fd))
        if wants_sample:
            self._sample(self._listener.sampled)

    def _adopt(self, connection: socket.socket) -> None:
        """Pass a connection to Dask's server, as tornado's own acceptor would."""
        try:
            connection.setblocking(False)
            address = connection.getpeername()
        except OSError:  # Gone already.
            connection.close()
            return
        self._handle_connection(connection, address)
