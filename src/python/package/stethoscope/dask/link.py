"""The event loop's end of the link to a thread that serves a page.

The thread needs neither the loop nor the GIL to answer. It wakes the loop, over
one descriptor, for two reasons:

- a scrape wants fresh values (the thread waits a bounded moment);
- a connection is handed over, because its request is not for the metrics.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import socket
from collections.abc import Callable
from contextlib import ExitStack

from stethoscope._native import Listener

logger = logging.getLogger("distributed.stethoscope")

#: Brings fresh values to page and documents, then calls its argument.
Sample = Callable[[Callable[[], None]], None]


class Link:
    """Answers the requests of a listener. Create and stop it on the event loop."""

    def __init__(
        self,
        listener: Listener,
        sample: Sample,
        adopt: Callable[[socket.socket], None] = socket.socket.close,
    ) -> None:
        self._process = os.getpid()
        self._listener = listener
        self._sample = sample
        self._adopt = adopt
        loop = asyncio.get_running_loop()
        self._undo = ExitStack()
        self._undo.callback(listener.stop)
        loop.add_reader(listener.wake_fd, self._woken)
        self._undo.callback(loop.remove_reader, listener.wake_fd)

    def stop(self) -> None:
        """Stop the thread; every connection it holds is closed. May be called twice.

        Does nothing in a forked child, which shares the selector of its parent's
        event loop.
        """
        if os.getpid() == self._process:
            self._undo.close()

    def _woken(self) -> None:
        wants_sample, connections = self._listener.woken()
        for fd in connections:
            self._pass_on(fd)
        if wants_sample:
            self._sample(self._listener.sampled)

    def _pass_on(self, fd: int) -> None:
        # A failure must not keep the other connections, and the scrape, waiting.
        close = functools.partial(os.close, fd)
        try:
            connection = socket.socket(fileno=fd)
            close = connection.close
            self._adopt(connection)
        except Exception:
            close()
            logger.exception("closed a connection that could not be passed on")
