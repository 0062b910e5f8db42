"""The event loop's end of a thread that serves a page.

The thread needs neither the loop nor the GIL to answer. Over one descriptor that
the loop watches, two things come back to it:

- a scrape that wishes for fresh values (the thread waits a bounded moment);
- connections that ask for what the thread does not have, where it hands such on.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import socket
from collections.abc import Callable
from contextlib import ExitStack

from stethoscope._errors import Unavailable as Unavailable
from stethoscope._native import Listener

logger = logging.getLogger("distributed.stethoscope")

#: Brings fresh values to page and documents, and calls what it is given then.
Sample = Callable[[Callable[[], None]], None]


class Link:
    """Answers what a listener asks of the loop. Made and stopped on that loop."""

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
        # Whatever becomes of it: those behind it and the scrape have their turn.
        close = functools.partial(os.close, fd)
        try:
            connection = socket.socket(fileno=fd)
            close = connection.close
            self._adopt(connection)
        except Exception:
            close()
            logger.exception("closed a connection that could not be passed on")
