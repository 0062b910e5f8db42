"""The scheduler's throughput under ten scrapes a second.

The same tasks again and again, without a scraper and with one in turns; the
scraper is a process of its own, and takes its share of the machine.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from sides import OURS, THEIRS, Figure, Side
from tasks import nap

SCRAPES_A_SECOND = 10
TASKS = 500
#: Few are enough where half is lost; to tell 0.97 from 1 takes more.
ROUNDS = {OURS: 20, THEIRS: 3}


def measure(sides: list[Side], prefixes: int) -> list[Figure]:
    figure = Figure(
        f"throughput with {SCRAPES_A_SECOND} scrapes a second, against none, {prefixes:,} prefixes",
        "",
        0.97,
        at_least=True,
    )
    for side in sides:
        seconds(side)
        for turn in range(ROUNDS[side.name]):
            # Which is first changes, lest what comes second be the slower for it.
            if turn % 2:
                alone, with_scraper = seconds(side), scraped(side)
            else:
                with_scraper, alone = scraped(side), seconds(side)
            figure.measured.setdefault(side.name, []).append(alone / with_scraper)
    return [figure]


def seconds(side: Side) -> float:
    """How long the tasks take."""
    client = side.cluster.client
    start = time.perf_counter()
    client.gather(client.map(nap, [0] * TASKS, range(TASKS), pure=False))
    return time.perf_counter() - start


def scraped(side: Side) -> float:
    scraper = subprocess.Popen(
        [sys.executable, __file__, side.scheduler], stdout=subprocess.PIPE, text=True
    )
    try:
        assert scraper.stdout.readline() == "begun\n"
        return seconds(side)
    finally:
        scraper.terminate()
        scraper.wait(10)


def scrape_until_terminated(url: str) -> None:
    from sides import Scraper

    scrape = Scraper(url)
    scrape()
    print("begun", flush=True)
    following = time.monotonic()
    while True:
        scrape()
        following = max(following + 1 / SCRAPES_A_SECOND, time.monotonic())
        time.sleep(max(0.0, following - time.monotonic()))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    scrape_until_terminated(sys.argv[1])
