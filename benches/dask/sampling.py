"""The share of event loop time that samples take without scrapes."""

from __future__ import annotations

import time

from sides import OURS, Figure, Side

SECONDS = 12


def measure(sides: list[Side], prefixes: int) -> list[Figure]:
    """Dask's handler takes no samples."""
    figure = Figure(f"loop time for samples, nobody scrapes, {prefixes:,} prefixes", "%", 0.1)
    (side,) = [side for side in sides if side.name == OURS]
    # From one sample to another: those that met new prefixes put the next one off.
    first = spent(side)
    while (before := spent(side)) == first:
        time.sleep(0.1)
    start = time.monotonic()
    while (after := spent(side)) == before or time.monotonic() - start < SECONDS:
        time.sleep(0.1)
    figure.measured[OURS] = [(after - before) / (time.monotonic() - start) * 100]
    return [figure]


def spent(side: Side) -> float:
    """Seconds, as the server's own page counts them; the scrape that asks is not in it."""

    def read(dask_scheduler) -> float:
        _, _, page = dask_scheduler._stethoscope._page.respond("", "", "")
        for line in page.decode().splitlines():
            if line.startswith("stethoscope_sampling_seconds_total "):
                return float(line.rsplit(" ", 1)[1])
        raise AssertionError("the page does not say what samples take")

    return side.cluster.client.run_on_scheduler(read)
