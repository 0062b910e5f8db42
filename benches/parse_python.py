"""The cost of parsing a page in Python, beside prometheus_client's parser.

    make bench-python

Each line is the least of several rounds, in which ours and theirs take turns.
Both give families of samples with dicts of labels, and what they found is
compared before they are timed. Unfair, and to us: theirs asks nothing of what
the lines are together, such as whether a series comes twice, which ours is
also timed without ("lenient").
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

import stethoscope

ROUNDS = 30


def own_page() -> str:
    """Some 3,500 samples: counters and gauges with three labels, histograms."""
    registry = stethoscope.Registry()
    requests = registry.counter("requests", "Requests.", ["method", "path", "code"])
    level = registry.gauge("level_bytes", "Bytes.", ["host", "queue", "zone"])
    latency = registry.histogram("latency_seconds", "Time to answer.", ["path"])
    for series in range(1000):
        requests.labels("GET", f"/items/{series}", "200").inc(series * 17)
        level.labels(f"node-{series}", "default", "west").set(series / 7)
    for series in range(107):
        for step in range(20):
            latency.labels(f"/items/{series}").observe(step * series / 300)
    return registry.page()[0].decode()


def microseconds(parse: Callable[[str], object], page: str) -> float:
    start = time.perf_counter_ns()
    parse(page)
    return (time.perf_counter_ns() - start) / 1e3


def theirs(page: str) -> list:
    return list(text_string_to_metric_families(page))


def check(page: str) -> int:
    """How many samples there are; both must find the same."""
    found = [
        [
            (sample.name, sample.labels, float(sample.value))
            for family in parse(page)
            for sample in family.samples
        ]
        for parse in (stethoscope.parse, theirs)
    ]
    assert found[0] == found[1]
    return len(found[0])


def main() -> None:
    pages = {"our page": own_page()}
    for name in ("scheduler", "worker"):
        path = Path(__file__).parent / "pages" / f"{name}.txt"
        pages[f"a Dask {name}"] = path.read_text()
    sides = {
        "stethoscope": stethoscope.parse,
        "lenient": lambda page: stethoscope.parse(page, lenient=True),
        "prometheus_client": theirs,
    }
    print(f"{'us':18}{'samples':>8}" + "".join(f"{side:>20}" for side in sides) + f"{'ratio':>8}")
    for name, page in pages.items():
        samples = check(page)
        best = dict.fromkeys(sides, float("inf"))
        for _ in range(ROUNDS):
            for side, parse in sides.items():
                best[side] = min(best[side], microseconds(parse, page))
        ratio = best["prometheus_client"] / best["stethoscope"]
        print(f"{name:18}{samples:8}" + "".join(f"{t:20.0f}" for t in best.values()), end="")
        print(f"{ratio:8.1f}")


if __name__ == "__main__":
    main()
