"""The cost of scraping a real cluster, beside Dask's own handler.

    make bench-dask              # a table, and target/bench-dask.svg; about five minutes

Two clusters, alike but for who answers `/metrics`, measured in turns in one
run, at ten task prefixes, then at 1,000, then at 5,000. A figure is the median
of what was measured, the worst in brackets.

Unfair to us: our page has histograms and states that theirs has not. Unfair to
Dask: nothing that is known of. Unfair to both: clients, workers and schedulers
share the machine, and a scraper waits for its turn on it.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from xml.dom import minidom

sys.path.insert(0, str(Path(__file__).parent))

import latency
import loop_time
import many_workers
import plot
import sampling
import stall
import throughput
from sides import CAP, OURS, THEIRS, Figure, both

PLOT = Path(__file__).parents[2] / "target" / "bench-dask.svg"

#: At so many prefixes, which only grow, these are asked, each of both sides.
QUESTIONS = {
    10: {
        "loop": loop_time.measure,
        "stall": stall.measure,
        "sampling": sampling.measure,
        "workers": many_workers.measure,
    },
    1_000: {
        "throughput": throughput.measure,
        "stall": stall.measure,
        "sampling": sampling.measure,
    },
    5_000: {
        "workers": many_workers.measure,
        "stall": stall.measure,
        "sampling": sampling.measure,
        "latency": latency.measure,
    },
}


def main() -> None:
    names = list(dict.fromkeys(name for asked in QUESTIONS.values() for name in asked))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "questions", nargs="*", choices=[*names, []], help="all unless some are named"
    )
    wanted = parser.parse_args().questions or names
    start = time.monotonic()
    figures: list[Figure] = []
    print(f"{'':66}{THEIRS:>22}{OURS:>22}  goal")
    with both() as sides:
        for prefixes, asked in QUESTIONS.items():
            for name in filter(wanted.__contains__, asked):
                for side in sides:
                    side.grow(prefixes)
                figures += say(asked[name](sides, prefixes))
    print(f"\nAll {max(QUESTIONS):,} prefixes have series of their own: the cap is at {CAP:,}.")
    missed = [figure.question for figure in figures if not figure.reached(OURS)]
    print("Goals missed: " + ("; ".join(missed) or "none"))
    if drawn := [figure for figure in figures if plot.shows(figure)]:
        PLOT.parent.mkdir(exist_ok=True)
        PLOT.write_text(picture := plot.svg(drawn))
        minidom.parseString(picture)
        print(PLOT)
    print(f"After {time.monotonic() - start:.0f} s.")


def say(figures: list[Figure]) -> list[Figure]:
    """Print them as they come."""
    for figure in figures:
        assert figure.measured[OURS], f"nothing was measured: {figure.question}"
        cells = "".join(f"{cell(figure, side):>22}" for side in (THEIRS, OURS))
        print(f"{figure.question:66}{cells}  {goal(figure)}", flush=True)
    return figures


def cell(figure: Figure, side: str) -> str:
    median, worst = figure.median(side), figure.worst(side)
    if median is None:
        return "-"
    return f"{median:.3g} ({worst:.3g})" if len(figure.measured[side]) > 1 else f"{median:.3g}"


def goal(figure: Figure) -> str:
    if figure.goal is None:
        return ""
    worst = f" ({figure.worst_goal:g})" if figure.worst_goal else ""
    return f"{'>=' if figure.at_least else '<='} {figure.goal:g}{worst} {figure.unit}"


if __name__ == "__main__":
    main()
