"""The native half: cells, pages and the thread that serves them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

__version__: str

class Page:
    """The metrics of one server, in a registry of their own."""

    def __init__(self, role: Literal["scheduler", "worker"], window: float) -> None:
        """Medians are taken over the last `window` seconds."""

    def samples(self, families: Sequence[str]) -> Samples:
        """Put families on the page whose values samples bring, in this order.

        Raises `ValueError` for one that the catalogue does not have, or that is
        on the page already.
        """

    def digest(self, family: str, inner: Any | None) -> Digest:
        """Put a median on the page; the digest feeds it, and `inner` too."""

    def gc_watcher(self) -> GcWatcher:
        """What counts garbage collections for this page."""

    def listen(self, sockets: Sequence[int], freshness: float) -> Listener:
        """Serve the page on a thread of its own, at sockets that listen already.

        Their owner keeps them, and must not accept meanwhile. A scrape waits
        at most `freshness` seconds for the event loop.
        """

    def render(self, accept: str) -> tuple[bytes, str]:
        """The page for a client with this Accept header, and its content type."""

class Samples:
    """The families of a page whose values samples bring."""

    def publish(self, values: Sequence[float | Mapping[str, float]]) -> None:
        """Take the value of each family: a number, or a dict by the label's values.

        Raises `TypeError` at the first that is neither; those before it are
        taken then.
        """

    def publish_one(self, index: int, value: float | Mapping[str, float]) -> None:
        """Take the value of one family, by its place."""

    def withdraw(self, index: int) -> None:
        """Take a family off the page until its next value."""

    def taken(self) -> None:
        """Say that the values are those of now. `publish` says so itself."""

class Digest:
    """What Dask's servers pass single values to; as `distributed.counter.Digest`."""

    components: list[Any]
    intervals: Sequence[float]
    def add(self, item: float) -> None: ...
    def update(self, seq: Iterable[float]) -> None: ...
    def shift(self) -> None: ...
    def size(self) -> float: ...

class GcWatcher:
    """Counts garbage collections; for `gc.callbacks`."""

    def __call__(self, phase: str, info: dict[str, int]) -> None: ...
    def seed(self, get_stats: Callable[[], list[dict[str, int]]]) -> None:
        """Add what was collected before the first call. Once, and after joining."""

class Listener:
    """The thread that serves a page, seen from the event loop."""

    wake_fd: int
    """Readable when there is something for the loop: then call `woken`."""

    def woken(self) -> tuple[bool, list[int]]:
        """Whether a sample is wished for, and the connections handed over."""

    def sampled(self) -> None:
        """Say that the sample that was wished for is taken."""

    def stop(self) -> None:
        """Stop the thread and wait for its end. May be called twice."""
