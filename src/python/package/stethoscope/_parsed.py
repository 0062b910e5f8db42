"""The objects that `stethoscope.parse` returns."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Exemplar(NamedTuple):
    """One observation that went into a sample."""

    labels: dict[str, str]
    value: float
    #: Seconds since the epoch.
    timestamp: float | None = None


class Sample(NamedTuple):
    """A series and its value. The labels are in their order on the page."""

    #: With its suffix, as it stands on the page: `http_requests_total`.
    name: str
    labels: dict[str, str]
    #: An integer beyond 2**53 is the double next to it.
    value: float
    #: Seconds since the epoch, in every format.
    timestamp: float | None = None
    exemplar: Exemplar | None = None


class Family(NamedTuple):
    """One metric: its metadata and its samples."""

    #: As in its HELP and TYPE: a counter's is `x_total` in text, `x` in OpenMetrics.
    name: str
    #: "unknown" if the page does not say.
    type: Literal[
        "counter",
        "gauge",
        "histogram",
        "summary",
        "gaugehistogram",
        "info",
        "stateset",
        "unknown",
    ]
    help: str
    #: Empty if there is none; only OpenMetrics has them.
    unit: str
    #: In their order on the page.
    samples: list[Sample]
