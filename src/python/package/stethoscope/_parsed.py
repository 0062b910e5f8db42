"""What `stethoscope.parse` gives."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Exemplar(NamedTuple):
    """One observation behind a sample."""

    labels: dict[str, str]
    value: float
    #: Seconds since the epoch.
    timestamp: float | None = None


class Sample(NamedTuple):
    """A series and its value; the labels are in their order on the page."""

    #: With its suffix, as it stands on the page: `http_requests_total`.
    name: str
    labels: dict[str, str]
    #: An integer beyond 2**53 is the double next to it.
    value: float
    #: Seconds since the epoch, in every format.
    timestamp: float | None = None
    exemplar: Exemplar | None = None


class Family(NamedTuple):
    """The samples of one metric, and what is said about it."""

    #: As in its HELP and TYPE: of a counter `x_total` in text, `x` in OpenMetrics.
    name: str
    #: "unknown" where the page does not say.
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
    #: Empty where there is none; only OpenMetrics has them.
    unit: str
    #: In their order on the page.
    samples: list[Sample]


class ParseError(ValueError):
    """A page breaks its format. As text it shows the line, and where on it."""

    #: What is wrong, in words.
    reason: str
    #: Where, from 0: the character of a `str`, the byte of `bytes`.
    offset: int
    #: The line, from 1.
    line: int
    #: The character in the line, from 1.
    column: int

    def __init__(self, reason: str, offset: int, line: int, column: int, shown: str) -> None:
        # All of them, so that it can be pickled.
        super().__init__(reason, offset, line, column, shown)
        self.reason = reason
        self.offset = offset
        self.line = line
        self.column = column
        self._shown = shown

    def __str__(self) -> str:
        return self._shown
