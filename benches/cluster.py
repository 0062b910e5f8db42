"""What it costs to listen to a real cluster, and how fast it answers: `make bench-dask`.

Each figure is taken twice: with this package, and with Dask's own handler in
the same environment, stethoscope switched off. Unfair to Dask: its handler
reports more families on this page than are compared here. Unfair to us: the
client that measures is Python too, and shares two cores with the cluster.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "dask"))

from harness import Cluster, fetch
from tasks import hold_gil, nap
from test_blocked import block_loop

#: One after the other, with a pause, so that they spread over the time that is measured.
PAUSE = 0.01
SECONDS = 4.0
PREFIXES = 10


def main() -> None:
    tables = {
        "stethoscope": measure({}),
        "Dask's own": measure({"DASK_DISTRIBUTED__STETHOSCOPE__ENABLED": "false"}),
    }
    print(f"\n{'scrape latency':<34}{'':<14}{'scrapes':>9}{'median':>12}{'worst':>12}")
    for situation in tables["stethoscope"]["latency"]:
        for name, measured in tables.items():
            times = measured["latency"][situation]
            print(
                f"{situation:<34}{name:<14}{len(times):>9}"
                f"{milliseconds(statistics.median(times)):>12}{milliseconds(max(times)):>12}"
            )
    print(f"\n{'time of the event loop':<34}{'':<14}{'':>9}{'median':>12}{'p99':>12}")
    for situation in tables["stethoscope"]["loop"]:
        for name, measured in tables.items():
            times = sorted(measured["loop"][situation])
            p99 = times[len(times) * 99 // 100]
            print(
                f"{situation:<34}{name:<14}{'':>9}"
                f"{milliseconds(statistics.median(times)):>12}{milliseconds(p99):>12}"
            )


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.3f} ms"


def measure(environment: dict[str, str]) -> dict[str, dict[str, list[float]]]:
    with (
        tempfile.TemporaryDirectory() as directory,
        Cluster(Path(directory), environment) as cluster,
    ):
        cluster.start_scheduler()
        cluster.start_workers(2)
        client = cluster.client
        client.gather(
            [
                client.submit(nap, 0.001, key=f"{chr(97 + prefix) * 4}-{number}")
                for prefix in range(PREFIXES)
                for number in range(20)
            ]
        )
        address, url = next(iter(cluster.workers().items()))
        function = time_sample if not environment else time_handler
        return {
            "latency": {
                "worker, idle": latencies(url, lambda: time.sleep(SECONDS)),
                "worker, GIL held": latencies(
                    url,
                    lambda: client.submit(
                        hold_gil, SECONDS, workers=[address], pure=False
                    ).result(),
                ),
                "worker, loop blocked": latencies(
                    url, lambda: cluster.of_worker(address, block_loop(SECONDS))
                ),
                "scheduler, idle": latencies(cluster.scheduler_url, lambda: time.sleep(SECONDS)),
                "scheduler, loop blocked": latencies(
                    cluster.scheduler_url,
                    lambda: client.run_on_scheduler(block_loop(SECONDS)),
                ),
            },
            "loop": {
                "one scrape of a worker": cluster.of_worker(address, function, "worker"),
                f"one of a scheduler, {PREFIXES} prefixes": client.run_on_scheduler(
                    function, "scheduler"
                ),
            },
        }


def latencies(url: str, meanwhile: Callable[[], tuple[float, float] | None]) -> list[float]:
    """Seconds for each scrape that met the process as `meanwhile` makes it."""
    fetch(url)
    taken: list[tuple[float, float]] = []
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            wall, start = time.time(), time.perf_counter()
            assert fetch(url, timeout=60).status == 200
            taken.append((wall, time.perf_counter() - start))
            stop.wait(PAUSE)

    thread = threading.Thread(target=run)
    thread.start()
    span = meanwhile()
    stop.set()
    thread.join()
    begin, end = span or (0.0, float("inf"))
    return [seconds for wall, seconds in taken if wall < end and wall + seconds > begin]


async def time_sample(role: str, dask_worker=None, dask_scheduler=None) -> list[float]:
    """Runs in the event loop: what a scrape asks of it, in however many slices."""
    attachment = (dask_worker or dask_scheduler)._stethoscope
    times = []
    for _ in range(1000):
        await attachment.up_to_date()
        times.append(attachment._sampler.seconds)
    return times


def time_handler(role: str, dask_worker=None, dask_scheduler=None) -> list[float]:
    """The same of Dask's handler, which collects and formats there."""
    import importlib
    import time

    import prometheus_client

    importlib.import_module(f"distributed.http.{role}.prometheus.core")
    times = []
    for _ in range(100):
        start = time.perf_counter()
        prometheus_client.generate_latest()
        times.append(time.perf_counter() - start)
    return times


if __name__ == "__main__":
    main()
