"""A real cluster under load, and its metrics in the terminal: `make run`.

Starts a scheduler and two workers under nannies as an operator would, gives
them endless work (short tasks and long ones, data that moves between the
workers, data that no longer fits, tasks that fail), and shows what their
`/metrics` say, again and again until Ctrl-C. Nothing is left running.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from distributed import Client, as_completed
from harness import HOST, Cluster, Page, scrape
from tasks import block, fail, lengths, nap

REFRESH = 1.0

#: The metrics of the table, in its order. Those that have a
#: label have a row for each of its values that is not 0 everywhere.
SCHEDULER = ["dask_scheduler_workers", "dask_scheduler_clients", "dask_scheduler_tasks"]
WORKER = [
    "dask_worker_tasks",
    "dask_worker_connections",
    "dask_worker_threads",
    "dask_worker_latency_seconds",
    "dask_worker_tick_duration_median_seconds",
    "dask_worker_task_duration_median_seconds",
    "dask_worker_transfer_bandwidth_median_bytes",
]
BOTH = [
    "python_gc_objects_collected_total",
    "python_gc_objects_uncollectable_total",
    "python_gc_collections_total",
    "python_info",
    "stethoscope_sample_age_seconds",
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8787, help="of the scheduler's dashboard")
    parser.add_argument("--scheduler-port", type=int, default=8786, help="of the scheduler")
    wanted = parser.parse_args()
    for variable, port in (("PORT", wanted.port), ("SCHEDULER_PORT", wanted.scheduler_port)):
        if not is_free(port):
            print(f"Port {port} is in use. Choose another one: make run {variable}={port + 1000}")
            return 1

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="stethoscope-") as directory:
        # Little memory, so that data is spilled.
        environment = {"DASK_DISTRIBUTED__WORKER__MEMORY__TARGET": "0.2"}
        cluster = Cluster(Path(directory), environment)
        try:
            with cluster:
                print("Starting a scheduler and two workers ...", flush=True)
                cluster.start_scheduler(
                    "--port", str(wanted.scheduler_port),
                    "--dashboard-address", f"{HOST}:{wanted.port}",
                )  # fmt: skip
                for name in ("alice", "bob"):
                    cluster.start_workers(1, "--name", name)
                try:
                    watch(cluster)
                finally:
                    # A second interrupt must not keep the clean-up from its end.
                    signal.signal(signal.SIGINT, signal.SIG_IGN)
                    print("Stopping ...", flush=True)
        except KeyboardInterrupt:
            pass
    print("The scheduler and the workers are gone.")
    return 0


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the servers do, so that closed connections of an earlier run do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def watch(cluster: Cluster) -> None:
    """Draw the table again and again, until interrupted."""
    with work(cluster.client):
        names = cluster.client.run_on_scheduler(names_of_workers)
        pages = {"scheduler": cluster.scheduler_url}
        pages |= {names[address]: url for address, url in sorted(cluster.workers().items())}
        draw = Screen() if sys.stdout.isatty() else print
        while True:
            seen = {name: scrape_or_none(url) for name, url in pages.items()}
            draw("\n".join(table(pages, seen)))
            time.sleep(REFRESH)


def names_of_workers(dask_scheduler) -> dict[str, str]:
    return {address: str(worker.name) for address, worker in dask_scheduler.workers.items()}


def scrape_or_none(url: str) -> tuple[Page, float] | None:
    """Return a page and the seconds that it took, or None without an answer."""
    start = time.perf_counter()
    with contextlib.suppress(OSError, AssertionError):
        return scrape(url, timeout=5), time.perf_counter() - start
    return None


class Screen:
    """A terminal that is drawn over in place."""

    def __init__(self) -> None:
        print("\x1b[2J", end="")

    def __call__(self, text: str) -> None:
        rows = shutil.get_terminal_size().lines - 1
        lines = [f"{line}\x1b[K" for line in text.splitlines()[:rows]]
        print("\x1b[H" + "\n".join(lines) + "\x1b[J", flush=True)


def table(urls: dict[str, str], seen: dict[str, tuple[Page, float] | None]) -> Iterator[str]:
    """The lines of the table: a column for each server, a row for each series."""
    rows: list[tuple[str, list[str]]] = []
    for family in [*SCHEDULER, *WORKER, *BOTH]:
        rows += rows_of(family, [answer and answer[0] for answer in seen.values()])
    width = max(len(name) for name, _ in rows)
    yield "Where to look:"
    for name, url in urls.items():
        yield f"  {name:<{width}}  {url}/metrics" + "  (and /status)"
    yield ""
    yield f"{'':<{width}}" + "".join(f"{name:>14}" for name in seen)
    for name, cells in rows:
        yield f"{name:<{width}}" + "".join(f"{cell:>14}" for cell in cells)
    took = [f"{answer[1] * 1e3:.1f} ms" if answer else "no answer" for answer in seen.values()]
    yield f"{'(this scrape took)':<{width}}" + "".join(f"{cell:>14}" for cell in took)
    yield ""
    yield "Ctrl-C stops everything."


def rows_of(family: str, pages: list[Page | None]) -> Iterator[tuple[str, list[str]]]:
    shown = [
        {labels: value for (name, labels), value in page.samples.items() if name == family}
        if page
        else {}
        for page in pages
    ]
    series = list(dict.fromkeys(labels for values in shown for labels in values))
    if family == "python_info":
        versions = [dict(labels)["version"] for values in shown for labels in values]
        yield family, versions
        return
    for labels in series:
        values = [column.get(labels) for column in shown]
        if labels and not any(values):
            continue
        name = family + "".join(f"{{{label}={value}}}" for label, value in labels)
        yield name, ["" if value is None else readable(family, value) for value in values]


def readable(family: str, value: float) -> str:
    if value != value:
        return "nothing yet"
    if family.endswith("_seconds"):
        return f"{value * 1e3:.3f} ms"
    if family.endswith("_bytes"):
        return f"{value / 1e6:.1f} MB/s"
    return f"{value:,.0f}"


@contextlib.contextmanager
def work(client: Client) -> Iterator[None]:
    """Keep the cluster busy from a thread of its own."""
    done = threading.Event()
    thread = threading.Thread(target=_work, args=(client, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(10)


def _work(client: Client, done: threading.Event) -> None:
    # It ends with the cluster, in the middle of anything.
    with contextlib.suppress(Exception):
        while not done.is_set():
            addresses = list(client.run_on_scheduler(names_of_workers))
            blocks = [
                client.submit(block, 5_000_000, i, key=f"block-{random.random()}", workers=[where])
                for i, where in enumerate(addresses * 20)
            ]
            futures = [
                *client.map(nap, [random.uniform(0.005, 0.05) for _ in range(200)], pure=False),
                *client.map(nap, [3.0, 2.0], pure=False),
                *client.map(fail, range(3), pure=False),
                # Each joins blocks of both workers: one half has to travel.
                *(client.submit(lengths, *random.sample(blocks, 4), pure=False) for _ in range(30)),
            ]
            for _ in as_completed(futures, raise_errors=False):
                if done.is_set():
                    return


if __name__ == "__main__":
    sys.exit(main())
