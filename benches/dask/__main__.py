"""What it costs to listen to a real cluster, beside Dask's own handler.

    make bench-dask              # a table, and target/bench-dask.svg; some ten minutes

Two clusters, alike but for who answers `/metrics`, measured in turns in one
run. A figure is the median of what was measured, the worst in brackets.

Unfair to us: our page has histograms and states that theirs has not. Unfair to
Dask: nothing that is known of. Unfair to both: clients, workers and schedulers
share the machine, and a scraper waits for its turn on it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import latency
import loop_time
import plot
import sampling
import stall
import throughput
from sides import OURS, THEIRS, Figure, both

QUESTIONS = ["loop", "sampling", "throughput", "stall", "latency"]

PLOT = Path(__file__).parents[2] / "target" / "bench-dask.svg"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "questions", nargs="*", choices=[*QUESTIONS, []], help="all unless some are named"
    )
    asked = parser.parse_args().questions or QUESTIONS
    figures: list[Figure] = []
    with both() as sides:
        # From few prefixes to many: they can only grow.
        if "loop" in asked:
            figures += say(loop_time.measure(sides))
        if "sampling" in asked:
            figures += say(sampling.measure(sides, 10))
        if "throughput" in asked:
            figures += say(throughput.measure(sides))
        if "sampling" in asked:
            figures += say(sampling.measure(sides, 1_000))
    # Its own clusters, again from few to many.
    with both() as sides:
        if "stall" in asked:
            figures += say(stall.measure(sides))
        if "latency" in asked:
            figures += say(latency.measure(sides))
        if "sampling" in asked:
            figures += say(sampling.measure(sides, 5_000))
    PLOT.parent.mkdir(exist_ok=True)
    PLOT.write_text(plot.svg(figures))
    print(f"\n{PLOT}")


_TITLE = True


def say(figures: list[Figure]) -> list[Figure]:
    """Print them as they come."""
    global _TITLE
    if _TITLE:
        _TITLE = False
        print(f"{'':66}{THEIRS:>22}{OURS:>22}  goal")
    for figure in figures:
        cells = "".join(f"{cell(figure, side):>22}" for side in (THEIRS, OURS))
        bound = ">=" if figure.at_least else "<="
        print(f"{figure.question:66}{cells}  {bound} {figure.goal:g} {figure.unit}", flush=True)
    return figures


def cell(figure: Figure, side: str) -> str:
    median, worst = figure.median(side), figure.worst(side)
    if median is None:
        return "-"
    return f"{median:.3g} ({worst:.3g})" if len(figure.measured[side]) > 1 else f"{median:.3g}"


if __name__ == "__main__":
    main()
