"""How long one scrape keeps the scheduler's event loop from turning.

The longest turn of the loop while a scrape is under way, over many scrapes;
beside it the longest in as long a time without one, which is the machine's.
The CPU time of that turn leaves the machine out, and waits for the GIL too.
"""

from __future__ import annotations

import time

import monitor
from sides import OURS, THEIRS, Figure, Scraper, Side

SCRAPES = {OURS: 30, THEIRS: 10}
PAUSE = 0.1


def measure(sides: list[Side], prefixes: int) -> list[Figure]:
    wall = Figure(f"stall of the loop by one scrape, {prefixes:,} prefixes", "ms", 1)
    cpu = Figure("  CPU time of the longest turn", "ms", 1)
    without = Figure("  the longest turn without a scrape", "ms")
    time.sleep(2)
    for side in sides:
        turns = of_scrapes(side)
        wall.measured[side.name] = [wall for wall, _, _ in turns]
        cpu.measured[side.name] = [cpu for _, cpu, _ in turns]
        without.measured[side.name] = [without for _, _, without in turns]
    return [wall, cpu, without]


def of_scrapes(side: Side) -> list[tuple[float, float, float]]:
    """For each scrape, in ms: the longest turn, the most CPU time of one, and the
    longest in the pause before."""
    scrape = Scraper(side.scheduler)
    scrape()
    client = side.cluster.client
    client.run_on_scheduler(monitor.start)
    spans = []
    for _ in range(SCRAPES[side.name]):
        time.sleep(PAUSE)
        spans.append(scrape())
    long = client.run_on_scheduler(monitor.stop)

    def longest(start: float, end: float, of_cpu: bool = False) -> float:
        turns = [
            cpu if of_cpu else stopped - began
            for began, stopped, cpu in long
            if began < end and stopped > start
        ]
        return max(turns, default=monitor.WORTH) * 1e3

    return [
        (
            longest(start, end),
            longest(start, end, of_cpu=True),
            longest(start - min(end - start, PAUSE / 2) - PAUSE / 4, start - PAUSE / 4),
        )
        for start, end in spans
    ]
