"""Monitor a busy process without disturbing it.

Installed beside Dask, this package serves the metrics of every scheduler and
worker at `/metrics` of its dashboard's address; see `stethoscope.dask`.
Importing it starts nothing.

Metrics of your own need no set-up. In a task, a preload or any module:

    import stethoscope

    rows = stethoscope.counter("rows_read", "Rows read.", labels=["table"])
    rows.labels("orders").inc(1000)

They belong to the process and are shown on the page of its worker. (Of several
workers in one process the first one shows them, so that a sum over all pages
counts nothing twice.) Asking for the same name again returns the same metric. A
metric that is pickled, as tasks are, becomes that of the process where it is used.
To define it differently, call `stethoscope.unregister` in each such process first.
Counters and histograms of a child of the worker (`multiprocessing`,
`ProcessPoolExecutor`) are added to the worker's, unless the worker has no black box:
then return the numbers to the task, and count them there.

`stethoscope.histogram(name, native=True)` makes a native histogram, which needs no
buckets, for servers that store those.

Without Dask, `stethoscope.serve(9000)` serves them at
http://127.0.0.1:9000/metrics, and `stethoscope.page()` returns the page for an
HTTP server of your own.

Metrics can outlive a freeze or a crash of the process: with the environment variable
STETHOSCOPE_SEGMENT_DIR, or `stethoscope.configure(segment_dir=...)` before the first
metric, they are kept in a file in memory, which `stethoscope read PID` on the command
line and `stethoscope.read_segment` show at any time, exact to the last update. A forked
child counts in a file of its own, which is removed if it dies and has counted nothing.
(Summaries and native histograms are seen by the process alone.)

So the processes of gunicorn, of uvicorn's workers, of multiprocessing or of a
`ProcessPoolExecutor` need the environment variable and nothing else, unless a Dask
worker started them, and one of them serves all:
`stethoscope.serve_processes("/dev/shm/shop", 9000)`.

`stethoscope.parse` reads a page back, for tests of any exporter:

    [jobs] = stethoscope.parse('# TYPE jobs gauge\\njobs{queue="a"} 3\\n')
    assert jobs.type == "gauge"
    assert jobs.samples == [("jobs", {"queue": "a"}, 3.0, None, None)]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from typing import Any

from stethoscope import _native
from stethoscope._errors import ParseError
from stethoscope._native import (
    Counter,
    Gauge,
    Histogram,
    Registry,
    Server,
    Summary,
    Timer,
    __version__,
    parse,
    read_segment,
)
from stethoscope._parsed import Exemplar, Family, Sample

__all__ = [
    "Counter",
    "Exemplar",
    "Family",
    "Gauge",
    "Histogram",
    "ParseError",
    "Registry",
    "Sample",
    "Server",
    "Summary",
    "Timer",
    "__version__",
    "configure",
    "counter",
    "gauge",
    "histogram",
    "page",
    "parse",
    "read_segment",
    "serve",
    "serve_processes",
    "summary",
    "unregister",
]

#: The metrics of the process.
_registry = _native.process_registry()

counter = _registry.counter
gauge = _registry.gauge
histogram = _registry.histogram
summary = _registry.summary
unregister = _registry.unregister
page = _registry.page
serve = _registry.serve


def configure(*, segment_dir: str | PathLike[str]) -> str:
    """Keep the metrics of the process in a file of this directory. Return its path.

    The directory is made if it does not exist. It must be in memory, for example in
    `/dev/shm`, and writable by this user alone. The file is left behind when the process
    ends, for others to read; delete it then.

    Raises `RuntimeError` if there are metrics already, and `OSError` or `ValueError` if
    the directory cannot be used.
    """
    return str(_native.use_segment(fspath(segment_dir)))


def serve_processes(
    segment_dir: str | PathLike[str],
    port: int = 0,
    host: str = "127.0.0.1",
    *,
    gauges: str = "per-process",
    gauge_rules: Mapping[str, str] | None = None,
    openmetrics2: bool = False,
) -> Server:
    """Serve one page for all processes whose metrics are in files of this directory.

    For prefork servers and pools: each process keeps its metrics there (see `configure`),
    and one of them, such as the parent, or another serves the page. It needs no GIL.

    Counters and histograms are added up. Processes that have ended stay in these sums,
    and their files are removed: totals never fall, and files never pile up. Gauges are
    those of the living, by the rule `gauges`: `"per-process"` (a series for each, with
    the label `process`), `"sum"`, `"min"`, `"max"` or `"last"` (that of the process
    which has begun last). `gauge_rules` has other rules for single gauges, by name.

    `port`, `host`, `openmetrics2` and the server that is returned are as in `serve`.
    Raises `OSError` or `ValueError` if the directory cannot be used, for example because
    its processes are served already.
    """
    if not 0 <= port <= 65535:
        raise ValueError(f"invalid port {port}: expected 0 to 65535")
    rules = list((gauge_rules or {}).items())
    return _native.serve_group(fspath(segment_dir), (host, port), gauges, rules, openmetrics2)


def _restore(
    kind: str,
    name: str,
    help: str,
    labels: Sequence[str],
    options: dict[str, Any],
    values: tuple[str, ...] | None,
) -> Counter | Gauge | Histogram | Summary:
    """Unpickle a metric: that of the same name in this process."""
    return _native.restore(kind, name, help, labels, options, values)
