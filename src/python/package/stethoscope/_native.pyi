"""The native half: cells, pages and the thread that serves them."""

import builtins
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar, final

from stethoscope._parsed import Family

_F = TypeVar("_F", bound=Callable[..., Any])

__version__: str

def parse(
    page: str | bytes | bytearray,
    format: str = "auto",
    *,
    lenient: bool = False,
    max_line: int | None = None,
    max_memory: int | None = None,
) -> list[Family]:
    """Read a page: its families, in their order, each with its samples.

    `format` is "prometheus" (text 0.0.4), "prometheus1" (text 1.0.0),
    "openmetrics" (1.0), or the `Content-Type` that the page came with. By
    default it is OpenMetrics if `# EOF` ends it, and text 1.0.0, which 0.0.4 is
    a part of, if not.

    Strictly read, a page must keep to the words of its standard, from each
    character up to the buckets of its histograms; `lenient` takes what the
    Prometheus server takes, even what is of one family in several places.

    Names stay as they are on the page. A sample belongs to the family of its
    name; else to the one above it whose type has samples of its suffix, as
    histograms have `_bucket`; else to one of its own, of type "unknown".

    Raises `ParseError`, a `ValueError`, for a page that is refused, and
    `ValueError` for a format that there is not.

    It keeps the GIL, which making Python's objects needs: for some two
    milliseconds, of a page of 3,500 samples.
    """

@final
class Page:
    """The metrics of one server, in a registry of their own."""

    def __new__(
        cls,
        role: Literal["scheduler", "worker"],
        *,
        window: float | None = None,
        buckets: Sequence[float] | None = None,
        native_histograms: bool = False,
        max_task_prefixes: int | None = None,
        max_workers: int | None = None,
        left_out: Sequence[str] = ...,
        labels: Sequence[tuple[str, str]] = ...,
        namespace: str | None = None,
        openmetrics2: bool = False,
        black_box: BlackBox | None = None,
    ) -> Page:
        """Medians and maxima are over the last `window` seconds; `buckets` are the
        upper bounds of the histograms of durations, in seconds. With
        `native_histograms` those are native, and have such bounds only if given. At
        most `max_task_prefixes` task prefixes and `max_workers` workers have series of
        their own. The families in `left_out` are not shown, each series has `labels`,
        and the names of families about Dask begin with `namespace`, by default "dask".
        With `openmetrics2` scrapers that ask for OpenMetrics 2.0 get it. With a `black_box`
        the values are there.

        Raises `ValueError` if an argument is invalid.
        """

    def samples(self, families: Sequence[str]) -> Samples:
        """Put families on the page whose values samples bring, in this order.

        Raises `ValueError` for one that the catalogue does not have, or that is
        on the page already.
        """

    def prefixes(self, example: Any, *, activities: bool = False) -> Prefixes:
        """Put the families of task prefixes on the page, as far as `example` has the
        attributes: the class of the prefixes, or one of them.

        `activities` says whether the activities of the workers are known.
        """

    def workers(self) -> Workers:
        """Put the families of workers on the page."""

    def digest(self, event: Literal["tick", "task", "transfer"], inner: Any | None) -> Digest:
        """Put the families of an event on the page; the digest feeds them, and `inner` too."""

    def task_finished(self, inner: Callable[..., Any]) -> TaskFinished:
        """Put the families of finished tasks on the page, fed in the place of `inner`."""

    def executing(self) -> Executing:
        """Put the family of executing tasks on a worker's page."""

    def sampled(self, seconds: float) -> None:
        """Say that the values are those of now, and how much of the loop's time they took."""

    def keep_in(self, black_box: BlackBox, interval: float) -> None:
        """Start a thread that brings the page in the black box up to date every
        `interval` seconds.
        """

    def gc_watcher(self) -> GcWatcher:
        """Return the callback that counts garbage collections for this page."""

    def listen(
        self, sockets: Sequence[int], refresh_timeout: float, documents: Sequence[Document]
    ) -> Listener:
        """Serve the page on a thread of its own, at sockets that listen already, and
        documents beside it.

        Their owner keeps them, and must not accept meanwhile. A scrape waits
        at most `refresh_timeout` seconds for the event loop.
        """

    def listen_at(
        self, host: str, port: int, refresh_timeout: float, documents: Sequence[Document]
    ) -> Listener:
        """The same at an address of its own; port 0 finds a free one.

        Raises `OSError` where it can't listen.
        """

    def respond(
        self, query: str, accept: str, accept_encoding: str
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Status, headers and body of the answer to a request with this query and
        these headers, as the listener would give it.
        """

    def include(self, other: Registry | Mirrored) -> None:
        """Show the metrics of a registry on this page, after its own.

        One whose name the page has already is left out.
        """

    def exclude(self, other: Registry | Mirrored) -> bool:
        """Take them off again; whether they were there."""

@final
class Mirrored:
    """The metrics of prometheus_client as they were last collected."""

    def __new__(cls, ours: Registry) -> Mirrored: ...
    def update(self, family: Any) -> None:
        """Show a family, a `prometheus_client.Metric`, as it is now."""

    def finish(self) -> None:
        """End a round: what was not updated in it leaves the page."""

@final
class Document:
    """JSON that is served at a path, as it was left."""

    path: str
    bytes: builtins.bytes
    """The contents."""

    def __new__(cls, path: str) -> Document: ...
    def replace(self, bytes: builtins.bytes) -> None:
        """Serve this from now on."""

@final
class Samples:
    """The families of a page whose values samples bring."""

    def publish(self, values: Sequence[float | Mapping[str, float] | None]) -> None:
        """Take the value of each family: a number, a dict by the label's values,
        or None for one that is not to be shown.

        Raises `TypeError` at the first that is none of them; those before it
        are taken then.
        """

    def publish_one(self, index: int, value: float | Mapping[str, float] | None) -> None:
        """Take the value of one family, by its place."""

    def withdraw(self, index: int) -> None:
        """Take a family off the page until its next value."""

@final
class Prefixes:
    """The task prefixes of a scheduler, taken in passes."""

    def begin(self) -> None:
        """Begin a pass over all prefixes. One that was not finished forgot none."""

    def take(self, prefixes: list[Any]) -> tuple[tuple[str, Any, BaseException], ...]:
        """Take some of them, by `name` and the attributes.

        Each comes once in a pass; fast where they come in the same order as in
        the pass before. Returns what could not be taken: attribute, prefix and
        exception. Of that prefix totals stay as they are then, the output is NaN,
        and the tasks are in no state; all else is taken.
        """

    def finish(self) -> None:
        """End the pass: what was not in it is forgotten."""

    def take_activities(self, items: list[tuple[Any, float]], before: int) -> None:
        """Take some items of `cumulative_worker_metrics`, after `before` others."""

@final
class Workers:
    """The workers of a scheduler, taken in passes."""

    def begin(self) -> None:
        """Begin a pass over all workers."""

    def take(self, workers: list[Any], now: float) -> list[tuple[Any, BaseException]]:
        """Take some of them, as of `now`. Return the failures: worker and exception."""

    def finish(self) -> None:
        """End the pass: workers that were not in it leave the page."""

@final
class Executing:
    """Counts the tasks that a worker executes, by task prefix."""

    def begin(self, prefix: str) -> None:
        """Count a task that begins."""

    def end(self, prefix: str) -> None:
        """Count a task that has ended."""

@final
class BlackBox:
    """A file in memory that holds the page of a server."""

    path: Path
    def __new__(cls, directory: str | None = None) -> BlackBox:
        """Make a file in this directory, or in that of the environment.

        Raises `OSError` or `ValueError` if the directory cannot be used.
        """

    def include_process(self) -> None:
        """Keep the metrics of the process there too, unless they are in a file already."""

    def close(self) -> None:
        """Stop the thread and remove the file. May be called twice."""

@final
class BlackBoxReader:
    """Reads the black box of another process."""

    def __new__(cls, path: str) -> BlackBoxReader:
        """Open the file. Raises `OSError` or `ValueError` if there is none."""

    def state(self) -> tuple[str, float]:
        """Return the state of the process, and the seconds since it made progress."""

    def died(self, labels: Sequence[tuple[str, str]], at: float) -> None:
        """Say on the page how the process died, and when, in seconds since 1970."""

    def page(self) -> bytes:
        """Return the page of the process in the text format."""

@final
class TaskFinished:
    """Hears of finished tasks before the scheduler's own handler does."""

    inner: Callable[..., Any]
    def __call__(self, *args: Any, **message: Any) -> Any: ...

@final
class Digest:
    """Receives single values of one of Dask's servers, as `distributed.counter.Digest` does."""

    components: list[Any]
    intervals: Sequence[float]
    def add(self, item: float) -> None: ...
    def update(self, seq: Iterable[float]) -> None: ...
    def shift(self) -> None: ...
    def size(self) -> float: ...

@final
class GcWatcher:
    """Counts garbage collections; for `gc.callbacks`."""

    def __call__(self, phase: str, info: dict[str, int]) -> None: ...
    def seed(self, get_stats: Callable[[], list[dict[str, int]]]) -> None:
        """Add what was collected before the first call. Once, and after joining."""

@final
class Listener:
    """The thread that serves a page, seen from the event loop."""

    port: int
    """The first that it listens at."""

    wake_fd: int
    """Readable when there is something for the loop: then call `woken`."""

    def woken(self) -> tuple[bool, list[int]]:
        """Whether a sample is wished for, and the connections handed over."""

    def sampled(self) -> None:
        """Say that the sample that was wished for is taken."""

    def stop(self) -> None:
        """Stop the thread and wait for its end. May be called twice."""

@final
class Registry:
    """Metrics by name, and the page that shows them.

    The functions of `stethoscope` are those of the registry that belongs to
    the process; one of one's own is for tests, or for a page apart.

    Each name has one metric. Asked for again it is the same one, as long as
    kind, labels and what else is said agree with the first request; otherwise
    `ValueError` is raised. So it is for names that Prometheus does not allow
    and, in the registry of the process, for names of Dask's.
    """

    def __new__(cls) -> Registry: ...
    def counter(
        self,
        name: str,
        help: str = "",
        labels: Sequence[str] = (),
        *,
        max_series: int | None = None,
    ) -> Counter:
        """A number that only goes up; its name may be given with `_total` or without.

        `max_series` bounds how many sets of label values there may be. What is
        counted for more goes nowhere, and how many were refused is shown in
        `stethoscope_series_refused_total`.
        """

    def gauge(
        self,
        name: str,
        help: str = "",
        labels: Sequence[str] = (),
        *,
        max_series: int | None = None,
    ) -> Gauge:
        """A number that goes up and down."""

    def histogram(
        self,
        name: str,
        help: str = "",
        labels: Sequence[str] = (),
        *,
        buckets: Sequence[float] | None = None,
        native: bool | None = None,
        max_series: int | None = None,
    ) -> Histogram:
        """Observations, counted in buckets with these upper bounds (by default
        from 0.005 to 10) and `+Inf`.

        With `native=True` it is a native histogram, which needs no bounds: its buckets
        are 9 % wide. Clients that read text see the `buckets` if they are given too.
        """

    def summary(
        self,
        name: str,
        help: str = "",
        labels: Sequence[str] = (),
        *,
        quantiles: Sequence[float] | None = None,
        window: float | None = None,
        range: tuple[float, float] | None = None,
        keep_last: bool | None = None,
        max_series: int | None = None,
    ) -> Summary:
        """Quantiles (by default 0.5, 0.9, 0.99) of the observations of the last
        `window` seconds (by default 60), at most 1 % off; their sum and count
        over all time.

        Values below 1e-9 count as 0 there and those above 1.7e13 as that, or below
        and above what `range` says. Without observations in the window the quantiles
        are NaN, or with `keep_last` those of the last that there were. Each series
        takes about 150 KB, more for a wider range.
        """

    def unregister(self, name: str) -> bool:
        """Take a metric off the page. Return True if it was there.

        Asking for the name again makes a new metric, which may have other labels or
        be of another kind. Objects of the old one stay usable, but are not shown.
        """

    def page(self, accept: str = "", *, openmetrics2: bool = False) -> tuple[bytes, str]:
        """Return the page for a client with this Accept header, and its content type.

        With `openmetrics2` a client that names `version=2.0.0` gets OpenMetrics 2.0,
        whose standard is a release candidate.
        """

    def serve(
        self,
        port: int = 0,
        host: str = "127.0.0.1",
        *,
        prometheus_client: bool | None = None,
        openmetrics2: bool = False,
    ) -> Server:
        """Serve the page at `/metrics`, with `process_*` on it, on a thread that
        needs no GIL.

        `host` may be `0.0.0.0` or `::` for all addresses of the machine; port 0 finds
        a free one. With `prometheus_client` the metrics of that library's global
        registry are on the page too; by default they are if this is the registry of
        the process. With `openmetrics2` a scraper that names `version=2.0.0` gets
        OpenMetrics 2.0, whose standard is a release candidate. Raises `OSError` if it
        cannot listen there.
        """

def process_registry() -> Registry:
    """Return the registry of the process."""

def read_segment(path: str) -> bytes:
    """Return the page of the process that has this segment, in the text format.

    The process may run, be stopped or be dead. Raises `OSError` or `ValueError` if the
    file cannot be read or is not a segment.
    """

def serve_group(
    directory: str,
    address: tuple[str, int],
    gauges: str,
    by_name: list[tuple[str, str]],
    openmetrics2: bool,
) -> Server:
    """Serve one page for all processes whose metrics are in files of this directory."""

def use_segment(directory: str) -> Path:
    """Keep the metrics of the process in a file of this directory. Return its path."""

def restore(
    kind: str,
    name: str,
    help: str,
    labels: Sequence[str],
    options: dict[str, Any],
    values: tuple[str, ...] | None,
) -> Counter | Gauge | Histogram | Summary:
    """Return the metric of the process that was pickled in another one."""

@final
class Server:
    """A page that is served without Dask. As a context manager it stops at the end."""

    @property
    def port(self) -> int: ...
    @property
    def url(self) -> str: ...
    def stop(self) -> None:
        """Free the port. May be called twice."""

    def __enter__(self) -> Server: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...

@final
class Counter:
    """A number that only goes up. `stethoscope.counter` returns one.

    Objects are equal if their names and label values are, in one registry.
    """

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    @property
    def value(self) -> float:
        """The current value."""

    def labels(self, *values: object, **named: object) -> Counter:
        """Return the series with these label values; make it if it is not there.

        Give one value for each label, in order or by name. Values are converted by
        `str`. Keep the returned object: looking it up costs more than updating it.
        A metric with labels must be resolved like this before use; every method but
        `remove` raises `ValueError` until then.
        """

    def remove(self, *values: object, **named: object) -> bool:
        """Take a series off the page. Return True if it was there."""

    def inc(self, amount: float = 1.0) -> None:
        """Add to the counter. Raises `ValueError` for a negative or infinite amount and NaN."""

@final
class Gauge:
    """A number that goes up and down. `stethoscope.gauge` returns one.

    Objects are equal if their names and label values are, in one registry.
    """

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    @property
    def value(self) -> float:
        """The current value."""

    def labels(self, *values: object, **named: object) -> Gauge:
        """As of `Counter`."""

    def remove(self, *values: object, **named: object) -> bool:
        """Take a series off the page. Return True if it was there."""

    def set(self, value: float) -> None: ...
    def inc(self, amount: float = 1.0) -> None: ...
    def dec(self, amount: float = 1.0) -> None: ...
    def set_to_current_time(self) -> None:
        """To the seconds since the epoch."""

@final
class Histogram:
    """Observations, counted in buckets. `stethoscope.histogram` returns one.

    Objects are equal if their names and label values are, in one registry.
    """

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def labels(self, *values: object, **named: object) -> Histogram:
        """As of `Counter`."""

    def remove(self, *values: object, **named: object) -> bool:
        """Take a series off the page. Return True if it was there."""

    def observe(self, value: float) -> None:
        """Count a value; NaN is ignored."""

    def time(self) -> Timer:
        """Observe how many seconds a `with` block takes."""

@final
class Summary:
    """Quantiles of observations, over a sliding window. `stethoscope.summary` returns one.

    Objects are equal if their names and label values are, in one registry.
    """

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def labels(self, *values: object, **named: object) -> Summary:
        """As of `Counter`."""

    def remove(self, *values: object, **named: object) -> bool:
        """Take a series off the page. Return True if it was there."""

    def observe(self, value: float) -> None:
        """Count a value; NaN is ignored."""

    def time(self) -> Timer:
        """Observe how many seconds a `with` block takes."""

@final
class Timer:
    """Observes how long a `with` block, or each call of a decorated function, takes."""

    def __call__(self, function: _F) -> _F:
        """Return the function, timed at each call."""

    def __enter__(self) -> Timer: ...
    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None: ...
