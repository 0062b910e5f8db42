"""How long a scraper waits: of a scheduler with nothing to do and of processes
that stand still."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from sides import CAP, DEFAULT_CAP, OURS, THEIRS, Figure, Scraper, Side, capped
from tasks import hold_gil
from test_blocked import block_loop

SCRAPES = {OURS: 100, THEIRS: 10}
#: How long a process stands still, and the pause between two scrapes of it.
SECONDS = 4.0
PAUSE = 0.01


def measure(sides: list[Side], prefixes: int) -> list[Figure]:
    return [
        *idle(sides, prefixes),
        *with_the_default_cap(prefixes),
        *standing_still(sides),
        *after_a_leap(sides, prefixes),
    ]


def idle(sides: list[Side], prefixes: int) -> list[Figure]:
    latency = Figure(f"scrape latency, idle, {prefixes:,} prefixes", "ms", 5)
    processor = Figure("  processor time of the scheduler for it", "ms")
    age = Figure("  age of its values when the page is made", "ms", 20)
    sizes = []
    for side in sides:
        scrape = Scraper(side.scheduler)
        scrape()
        client = side.cluster.client
        before = client.run_on_scheduler(time.process_time)
        for _ in range(SCRAPES[side.name]):
            # Not in step with what the loop does by itself.
            time.sleep(0.013)
            start, end = scrape()
            latency.measured.setdefault(side.name, []).append((end - start) * 1e3)
            if side.name == OURS:
                seconds = scrape.value("stethoscope_sample_age_seconds")
                age.measured.setdefault(side.name, []).append(seconds * 1e3)
        spent = client.run_on_scheduler(time.process_time) - before
        processor.measured[side.name] = [spent / SCRAPES[side.name] * 1e3]
        sizes.append(f"{side.name} {scrape.bytes / 1e6:.1f} MB")
    latency.question += f" ({', '.join(sizes)})"
    return [latency, processor, age]


def with_the_default_cap(prefixes: int) -> list[Figure]:
    """As it comes."""
    with capped() as side:
        side.cluster.client.run_on_scheduler(meet, prefixes)
        # Not the one that meets them first.
        Scraper(side.scheduler)()
        time.sleep(1)
        latency, processor, _ = idle([side], prefixes)
    cap = f"prefixes, cap at {DEFAULT_CAP:,}"
    latency.question = latency.question.replace("prefixes", cap, 1)
    return [latency, processor]


def after_a_leap(sides: list[Side], prefixes: int) -> list[Figure]:
    """Time the scrape that comes when many more prefixes are suddenly known."""
    figure = Figure(f"the first scrape after {CAP - prefixes:,} more prefixes at once", "ms")
    for side in sides:
        scrape = Scraper(side.scheduler)
        scrape()
        side.cluster.client.run_on_scheduler(meet, CAP - prefixes)
        start, end = scrape()
        figure.measured[side.name] = [(end - start) * 1e3]
    return [figure]


def meet(number: int, dask_scheduler=None) -> None:
    from distributed.scheduler import TaskPrefix

    for new in range(number):
        prefix = TaskPrefix(f"leap{new}")
        for state in ("released", "waiting", "processing", "memory", "forgotten"):
            prefix.state_counts[state] += 1
        dask_scheduler.task_prefixes[prefix.name] = prefix


def standing_still(sides: list[Side]) -> list[Figure]:
    gil = Figure(
        f"scrape latency of a worker, GIL held for {SECONDS:.0f} s", "ms", 1, worst_goal=30
    )
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
