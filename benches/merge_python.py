"""One page for many processes, beside prometheus_client's multiprocess mode.

    target/venv/bin/python benches/merge_python.py

Processes of 3,500 lines each (1,000 counters, 1,000 gauges, 100 histograms) keep
their metrics in files in memory, and one page shows their sums. Ours is
`benches/merge.rs`, started by this script: all values have changed since the last
page. Theirs is the median of several pages. Unfair: theirs reads all files again
for each page, and keeps nothing; "at first" is what ours takes to do so.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
COUNTS = (1, 16, 64)
PAGES = 5
LINES = 3_500


def count() -> None:
    """One process of theirs: counts, and ends."""
    from prometheus_client import Counter, Gauge, Histogram

    jobs = Counter("jobs", "Jobs.", ["n"])
    opened = Gauge("open", "Open.", ["n"], multiprocess_mode="livesum")
    sizes = Histogram("size", "Sizes.", ["n"], buckets=range(1, 13))
    for n in range(1_000):
        jobs.labels(n).inc()
        opened.labels(n).inc()
    for n in range(100):
        sizes.labels(n).observe(n % 14)


def theirs(processes: int) -> float:
    """The milliseconds of a page of theirs."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
        for _ in range(processes):
            subprocess.run([sys.executable, __file__, "count"], check=True)
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.multiprocess import MultiProcessCollector

        times = []
        for _ in range(PAGES):
            start = time.perf_counter()
            registry = CollectorRegistry()
            MultiProcessCollector(registry)
            page = generate_latest(registry)
            times.append(time.perf_counter() - start)
        lines = [line for line in page.splitlines() if not line.startswith(b"#")]
        assert len(lines) == LINES, len(lines)
        assert f'jobs_total{{n="999"}} {float(processes)}'.encode() in lines
        return statistics.median(times) * 1e3


def ours() -> dict[str, float]:
    """The milliseconds of our pages, by name."""
    command = ["cargo", "bench", "--quiet", "--features", "segment", "--bench", "merge"]
    subprocess.run(
        command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    figures = {}
    for directory in (ROOT / "target/criterion").glob("merge_*"):
        estimates = json.loads((directory / "new/estimates.json").read_text())
        figures[directory.name.removeprefix("merge_")] = estimates["median"]["point_estimate"] / 1e6
    return figures


def main() -> None:
    print(__doc__)
    figures = ours()
    print(f"{'processes':>9} {'ours':>12} {'at first':>12} {'prometheus_client':>18} {'ratio':>6}")
    for processes in COUNTS:
        page = figures[f"{processes}_processes"]
        first = figures[f"{processes}_processes_at_first"]
        other = theirs(processes)
        times = f"{page:>9.2f} ms {first:>9.2f} ms {other:>15.1f} ms"
        print(f"{processes:>9} {times} {other / page:>6.0f}")


if __name__ == "__main__":
    if sys.argv[1:] == ["count"]:
        count()
    else:
        main()
