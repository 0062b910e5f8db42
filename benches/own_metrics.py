"""The cost of updating a metric from Python, beside prometheus_client.

    make bench-python

Each line is the least of several rounds, in which ours and theirs take turns;
nanoseconds an operation, the loop around it included. Unfair: theirs takes a
lock, as any Python object that adds must; ours holds the GIL for that anyway.
The cell itself, without Python, is in `benches/update.rs`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import repeat

import prometheus_client

from stethoscope import Registry

ROUNDS = 15
TIMES = 100_000


def nanoseconds(operation: Callable[[], object]) -> float:
    start = time.perf_counter_ns()
    for _ in repeat(None, TIMES):
        operation()
    return (time.perf_counter_ns() - start) / TIMES


def pairs() -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    """By name: the same done with ours and with theirs."""
    ours, theirs = Registry(), prometheus_client.CollectorRegistry()
    counter = ours.counter("a", "A.", ["x", "y"])
    their_counter = prometheus_client.Counter("a", "A.", ["x", "y"], registry=theirs)
    series, their_series = counter.labels("b", "c"), their_counter.labels("b", "c")
    gauge = ours.gauge("g", "G.")
    their_gauge = prometheus_client.Gauge("g", "G.", registry=theirs)
    histogram = ours.histogram("h", "H.")
    their_histogram = prometheus_client.Histogram("h", "H.", registry=theirs)
    summary = ours.summary("s", "S.")
    their_summary = prometheus_client.Summary("s", "S.", registry=theirs)
    return {
        "counter.inc()": (series.inc, their_series.inc),
        "counter.inc(2.5)": (lambda: series.inc(2.5), lambda: their_series.inc(2.5)),
        "counter.labels(b, c).inc()": (
            lambda: counter.labels("b", "c").inc(),
            lambda: their_counter.labels("b", "c").inc(),
        ),
        "gauge.set(7)": (lambda: gauge.set(7), lambda: their_gauge.set(7)),
        "histogram.observe(0.3)": (
            lambda: histogram.observe(0.3),
            lambda: their_histogram.observe(0.3),
        ),
        "summary.observe(0.3)": (lambda: summary.observe(0.3), lambda: their_summary.observe(0.3)),
    }


def check() -> None:
    """Both must have counted before either is timed."""
    for ours, theirs in pairs().values():
        ours(), theirs()
    ours, theirs = Registry(), prometheus_client.CollectorRegistry()
    ours.counter("a", "A.").inc(2.5)
    prometheus_client.Counter("a", "A.", registry=theirs).inc(2.5)
    assert b"\na_total 2.5\n" in ours.page()[0]
    assert theirs.get_sample_value("a_total") == 2.5


def main() -> None:
    check()
    timed = pairs()
    best: dict[str, list[float]] = {name: [float("inf")] * 2 for name in timed}
    empty = float("inf")
    for _ in range(ROUNDS):
        empty = min(empty, nanoseconds(int))
        for name, operations in timed.items():
            for side, operation in enumerate(operations):
                best[name][side] = min(best[name][side], nanoseconds(operation))
    print(f"{'ns':28}{'stethoscope':>12}{'prometheus_client':>20}{'ratio':>8}")
    for name, (ours, theirs) in best.items():
        print(f"{name:28}{ours:12.0f}{theirs:20.0f}{theirs / ours:8.1f}")
    print(f"{'(int(), for scale)':28}{empty:12.0f}")


if __name__ == "__main__":
    main()
