"""Collects the figures of a benchmark run, prints tables, and compares runs.

usage: figures.py collect LINES OUTPUT [CRITERION_DIRECTORY]
       figures.py compare BEFORE AFTER

`collect` reads the JSON lines that the benchmarks beside the rivals append, and criterion's
estimates, prints a table for each, and writes all of them to OUTPUT. `compare` prints how the
figures of two such files differ.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path

#: A figure is named by its table, row and column.
Figures = dict[tuple[str, str, str], dict]

OURS = "stethoscope"


def read_lines(path: Path) -> Figures:
    figures: Figures = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        figure = json.loads(line)
        figures[figure["table"], figure["row"], figure["column"]] = figure
    return figures


def read_criterion(directory: Path, newer_than: float) -> Figures:
    """Read the medians that criterion has written since a moment."""
    figures: Figures = {}
    for path in sorted(directory.rglob("new/estimates.json")):
        if path.stat().st_mtime < newer_than:
            continue
        median = json.loads(path.read_text())["median"]["point_estimate"]
        name = json.loads(path.with_name("benchmark.json").read_text())["full_id"]
        group, _, rest = name.partition("/")
        key = (group, f"{OURS}: {rest or group}", "median")
        figures[key] = dict(zip(("table", "row", "column"), key, strict=True))
        figures[key] |= {"value": median, "unit": "ns"}
    return figures


def readable(value: float, unit: str) -> str:
    if unit != "ns":
        return f"{value:,.0f} {unit}".strip()
    for limit, divisor, name in ((1e3, 1, "ns"), (1e6, 1e3, "us"), (1e9, 1e6, "ms")):
        if value < limit:
            return f"{value / divisor:.3g} {name}"
    return f"{value / 1e9:.3g} s"


def print_tables(figures: Figures) -> None:
    for table in dict.fromkeys(table for table, _, _ in figures):
        here = {key[1:]: figure for key, figure in figures.items() if key[0] == table}
        rows = dict.fromkeys(row for row, _ in here)
        columns = dict.fromkeys(column for _, column in here)
        width = max(len(table), *(len(row) for row in rows))
        print(f"\n{table:<{width}}" + "".join(f"{column:>14}" for column in columns))
        for row in rows:
            cells = (here.get((row, column)) for column in columns)
            shown = (readable(cell["value"], cell["unit"]) if cell else "-" for cell in cells)
            print(f"{row:<{width}}" + "".join(f"{cell:>14}" for cell in shown))


def collect(lines: Path, output: Path, criterion: Path | None) -> None:
    # The benchmarks began with an empty file of lines, made at the start of the run.
    begin = output.with_suffix(".begin")
    since = begin.stat().st_mtime if begin.exists() else 0.0
    figures = read_lines(lines)
    if criterion is not None and criterion.exists():
        figures |= read_criterion(criterion, since)
    if not figures:
        sys.exit(f"no figures in {lines}: expected the benchmarks to have run with FIGURES={lines}")
    print_tables(figures)
    output.write_text(json.dumps(list(figures.values()), indent=1) + "\n")
    print(f"\n{len(figures)} figures are in {output}")


def load(path: Path) -> Figures:
    figures = json.loads(path.read_text())
    return {(figure["table"], figure["row"], figure["column"]): figure for figure in figures}


def compare(before: Figures, after: Figures) -> None:
    """Print each figure of both runs, ours as a change beyond that of the rivals.

    The rivals' code is the same in both runs: the median change of their times is the machine's.
    """
    both = [key for key in after if key in before and before[key]["value"] > 0]
    if not both:
        sys.exit("the two runs have no figure in common")
    change = {key: after[key]["value"] / before[key]["value"] for key in both}
    rivals = [change[key] for key in both if OURS not in key[1] and after[key]["unit"] == "ns"]
    machine = statistics.median(rivals) if rivals else 1.0
    spread = statistics.quantiles(rivals, n=10) if len(rivals) > 1 else [1.0, 1.0]
    low, high = spread[0] - 1, spread[-1] - 1
    print(f"times of the rivals: {machine - 1:+.1%} in the median,")
    print(f"                     {low:+.1%} to {high:+.1%} for eight in ten of them")
    width = max(len(f"{table}: {row} ({column})") for table, row, column in both)
    print(f"\n{'':<{width}}{'before':>12}{'after':>12}{'change':>10}{'to rivals':>11}")
    for key in both:
        table, row, column = key
        if OURS not in row:
            continue
        unit = after[key]["unit"]
        values = (readable(figures[key]["value"], unit) for figures in (before, after))
        relative = change[key] / machine if unit == "ns" else change[key]
        print(
            f"{f'{table}: {row} ({column})':<{width}}"
            + "".join(f"{value:>12}" for value in values)
            + f"{change[key] - 1:>+10.1%}{relative - 1:>+11.1%}"
            + (" *" if unit == "ns" and not spread[0] <= change[key] <= spread[-1] else "")
        )
    print("\n* changed more than eight in ten of the rivals' times, whose code is the same")
    missing = [key for key in before if key not in after and OURS in key[1]]
    if missing:
        print(f"{len(missing)} figures of the earlier run are not in this one")


def main() -> None:
    match sys.argv[1:]:
        case ["collect", lines, output]:
            collect(Path(lines), Path(output), None)
        case ["collect", lines, output, criterion]:
            collect(Path(lines), Path(output), Path(criterion))
        case ["compare", before, after]:
            compare(load(Path(before)), load(Path(after)))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
