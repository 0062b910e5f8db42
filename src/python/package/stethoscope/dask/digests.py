"""Brings every tick, task duration and bandwidth to the page, as it happens.

Dask's servers pass each such value to `server.digests[key].add(value)`, where
`digests` is a mapping of crick's digests, or None if crick is not installed. A
mapping of ours takes its place, which has native digests for the keys of interest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from stethoscope._native import Page


class _NullDigest:
    """A digest that drops its values."""

    __slots__ = ()

    def add(self, item: float) -> None:
        pass

    def update(self, items: Any) -> None:
        pass

    def shift(self) -> None:
        pass


_NULL_DIGEST = _NullDigest()


class ForwardingDigests(dict):
    """Replaces crick's digests, and forwards every value to them.

    The dashboard's pages read them through the native digests.
    """

    def __init__(self, page: Page, keys: Mapping[str, str], inner: Mapping[Any, Any]) -> None:
        super().__init__()
        self._page = page
        self._keys = keys
        self._inner = inner
        for key in inner:
            self.__missing__(key)

    def __missing__(self, key: Any) -> Any:
        digest = self._inner[key]
        if key in self._keys:
            digest = self._page.digest(self._keys[key], digest)
        self[key] = digest
        return digest


class NoCrickDigests(dict):
    """Replaces None if crick is not installed.

    It looks empty to code that would draw digests.
    """

    def __init__(self, page: Page, keys: Mapping[str, str]) -> None:
        super().__init__({key: page.digest(event, None) for key, event in keys.items()})

    def __missing__(self, key: Any) -> _NullDigest:
        return _NULL_DIGEST

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def keys(self) -> Any:
        return ()

    def values(self) -> Any:
        return ()

    def items(self) -> Any:
        return ()


def tap(server: Any, page: Page, keys: Mapping[str, str]) -> None:
    """Make the native digests of `keys` part of `server.digests`.

    `keys` leads from Dask's names to the page's names of events.
    """
    inner = server.digests
    if inner is None:
        server.digests = NoCrickDigests(page, keys)
    else:
        server.digests = ForwardingDigests(page, keys, inner)


def untap(server: Any) -> None:
    """Give the server its own digests back."""
    digests = server.digests
    if isinstance(digests, ForwardingDigests):
        server.digests = digests._inner
    elif isinstance(digests, NoCrickDigests):
        server.digests = None


def tap_finished_tasks(scheduler: Any, page: Page) -> Callable[[], None]:
    """Tell the page of each task that a worker has finished. Return the reversal."""
    handlers = scheduler.stream_handlers
    own = page.task_finished(handlers["task-finished"])
    handlers["task-finished"] = own

    def untap() -> None:
        if handlers.get("task-finished") is own:
            handlers["task-finished"] = own.inner

    return untap
