"""Keeps signals away from threads that this package starts."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

#: Signals of a fault in the thread itself, which have to be reported.
_FAULTS = {
    signal.SIGSEGV,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGABRT,
    signal.SIGTRAP,
}


@contextlib.contextmanager
def blocked_signals() -> Iterator[None]:
    """Block signals in this thread, and so in threads that it starts meanwhile.

    A signal that the program waits for must find no thread that takes it by its
    default action.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - _FAULTS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
