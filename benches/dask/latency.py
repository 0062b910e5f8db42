"""How long a scraper waits: of a scheduler with nothing to do and of processes
that stand still."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from sides import Figure, Scraper, Side
from tasks import hold_gil
from test_blocked import block_loop

PREFIXES = 5_000
SCRAPES = 100
#: How long a process stands still, and the pause between two scrapes of it.
SECONDS = 4.0
PAUSE = 0.01


def measure(sides: list[Side]) -> list[Figure]:
    return [idle(sides), *standing_still(sides)]


def idle(sides: list[Side]) -> Figure:
    figure = Figure(f"scrape latency, idle, {PREFIXES:,} prefixes", "ms", 5)
    scrapers = {}
    for side in sides:
        side.grow(PREFIXES)
        scrapers[side.name] = Scraper(side.scheduler)
        scrapers[side.name]()
    for _ in range(SCRAPES):
        for name, scrape in scrapers.items():
            # Not in step with what the loops do by themselves.
            time.sleep(0.013)
            start, end = scrape()
            figure.measured.setdefault(name, []).append((end - start) * 1e3)
    sizes = ", ".join(f"{name} {s.bytes / 1e6:.1f} MB" for name, s in scrapers.items())
    figure.question += f" ({sizes})"
    return figure


def standing_still(sides: list[Side]) -> list[Figure]:
    gil = Figure(f"scrape latency of a worker, GIL held for {SECONDS:.0f} s", "ms", 1)
    worker = Figure("scrape latency of a worker, event loop blocked", "ms", 1)
    scheduler = Figure("scrape latency of a scheduler, event loop blocked", "ms", 1)
    for side in sides:
        address, url = side.worker()
        cluster = side.cluster
        client = cluster.client

        def hold(client=client, address=address) -> tuple[float, float]:
            return client.submit(hold_gil, SECONDS, workers=[address], pure=False).result()

        gil.measured[side.name] = meanwhile(url, hold)
        worker.measured[side.name] = meanwhile(
            url, lambda cluster=cluster, address=address: cluster.of_worker(
                address, block_loop(SECONDS)
            )
        )  # fmt: skip
        scheduler.measured[side.name] = meanwhile(
            side.scheduler, lambda client=client: client.run_on_scheduler(block_loop(SECONDS))
        )
    return [gil, worker, scheduler]


def meanwhile(url: str, stand_still: Callable[[], tuple[float, float]]) -> list[float]:
    """The ms of each scrape that met the process while it stood still."""
    scrape = Scraper(url)
    scrape()
    taken: list[tuple[float, float]] = []
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            wall = time.time()
            start, end = scrape()
            taken.append((wall, end - start))
            stop.wait(PAUSE)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        begin, end = stand_still()
    finally:
        stop.set()
        thread.join()
    return [s * 1e3 for wall, s in taken if wall < end and wall + s > begin]
