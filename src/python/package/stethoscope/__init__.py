"""Listen to a busy process without disturbing it.

Installed beside Dask, this package serves the metrics of every scheduler and
worker at `/metrics` of its dashboard's address; see `stethoscope.dask`.
Importing it starts nothing.

Metrics of one's own need no setting up. In a task, a preload or any module:

    import stethoscope

    rows = stethoscope.counter("rows_read", "Rows read.", labels=["table"])
    rows.labels("orders").inc(1000)

They belong to the process, and are shown on the page of its worker (with
several workers in one process: on the first one's, so that a sum over all pages
counts nothing twice). Asked for again by the same name, it is the same metric;
pickled, as tasks are, it is that of the process where it is used. To define it
otherwise, `stethoscope.unregister` it first, where it is.

Without Dask, `stethoscope.serve(9000)` shows them at
http://127.0.0.1:9000/metrics, and `stethoscope.page()` hands the page to an HTTP
server that is there already.

To test a page, anybody's, `stethoscope.parse` reads it back:

    [jobs] = stethoscope.parse('# TYPE jobs gauge\\njobs{queue="a"} 3\\n')
    assert jobs.type == "gauge"
    assert jobs.samples == [("jobs", {"queue": "a"}, 3.0, None, None)]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
)
from stethoscope._parsed import Exemplar, Family, ParseError, Sample

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
    "counter",
    "gauge",
    "histogram",
    "page",
    "parse",
    "serve",
    "summary",
    "unregister",
]

#: The metrics of the process.
_registry = Registry(of_process=True)

counter = _registry.counter
gauge = _registry.gauge
histogram = _registry.histogram
summary = _registry.summary
unregister = _registry.unregister
page = _registry.page
serve = _registry.serve


def _restore(
    kind: str,
    name: str,
    help: str,
    labels: Sequence[str],
    options: dict[str, Any],
    values: tuple[str, ...] | None,
) -> Counter | Gauge | Histogram | Summary:
    """Unpickle a metric: this process' own of that name, when it is used."""
    return _registry._arrived(kind, name, help, labels, values, **options)
