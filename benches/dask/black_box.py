"""The cost of black boxes, and the time to read the page of a process that is stopped.

    make bench-black-box         # about four minutes

Pairs of one worker under a nanny, with the key `black-box` and without it, started in
turns beside one scheduler. Then a worker and a scheduler are stopped, and their pages
scraped: through the nanny and the scheduler, and from `stethoscope serve`.

A figure is the median, the worst in brackets.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "tests" / "dask"))

from harness import Cluster, eventually, fetch, scrape  # noqa: E402
from tasks import nap  # noqa: E402

KEY = "DASK_DISTRIBUTED__STETHOSCOPE__BLACK_BOX"
#: Seconds for which processor time is counted.
SECONDS = 10.0
SCRAPES = 200


def memory(pid: int) -> tuple[float, float]:
    """The MB that are resident in a process, and those of them that are its own."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    kib = {name: int(value) for name, value in re.findall(r"^(\w+): +(\d+) kB$", text, re.M)}
    return kib["Rss"] / 1024, (kib["Private_Clean"] + kib["Private_Dirty"]) / 1024


def processor(pid: int) -> float:
    """The ms of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return 1e3 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(cluster: Cluster, figures: dict[str, list[float]]) -> None:
    """One worker under a nanny, from its start to its end."""
    start = time.monotonic()
    nanny = cluster.start_workers(1)
    figures["start of a worker, s"].append(time.monotonic() - start)
    ((address, url),) = cluster.workers().items()
    cluster.client.gather(cluster.client.map(nap, [0] * 100, pure=False))
    scrape(url)
    time.sleep(2)
    worker = cluster.of_worker(address, os.getpid)
    before = processor(nanny.pid), processor(worker)
    time.sleep(SECONDS)
    after = processor(nanny.pid), processor(worker)
    for name, pid, used in zip(("nanny", "worker"), (nanny.pid, worker), (
        after[0] - before[0], after[1] - before[1]
    ), strict=True):  # fmt: skip
        resident, own = memory(pid)
        figures[f"{name}, resident MB"].append(resident)
        figures[f"{name}, of them its own"].append(own)
        figures[f"{name}, processor time, ms a second"].append(used / SECONDS)
    nanny.stop()
    eventually(lambda: not cluster.workers(), timeout=60)


def costs(directory: Path, pairs: int) -> None:
    names = [f"{name}, {what}" for name in ("nanny", "worker") for what in (
        "resident MB", "of them its own", "processor time, ms a second"
    )]  # fmt: skip
    names.append("start of a worker, s")
    figures = {key: {name: [] for name in names} for key in ("false", "true")}
    with Cluster(directory, {KEY: "false"}) as cluster:
        cluster.start_scheduler()
        for pair in range(pairs):
            # Each is first in every other pair.
            for key in ("false", "true") if pair % 2 else ("true", "false"):
                cluster.environment[KEY] = key
                measure(cluster, figures[key])
    print(f"{pairs} pairs{'':40}{'without':>12}{'with':>12}{'more':>12}")
    for name in names:
        off, on = (statistics.median(figures[key][name]) for key in ("false", "true"))
        print(f"{name:47}{off:12.2f}{on:12.2f}{on - off:12.2f}")


def stop(pid: int) -> None:
    """Stop a process, and wait until it has stopped."""
    os.kill(pid, signal.SIGSTOP)

    def has_stopped() -> bool:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("T")

    eventually(has_stopped)


def timed(url: str, path: str) -> str:
    """The median and the worst of scrapes, in ms."""
    taken = []
    for _ in range(SCRAPES):
        start = time.perf_counter()
        response = fetch(url, path)
        taken.append((time.perf_counter() - start) * 1e3)
        assert response.status == 200
        assert b'stethoscope_process_state="stopped"} 1' in response.body, response.body[:500]
    return f"{statistics.median(taken):8.2f} ({max(taken):.2f})"


def stopped(directory: Path, tool: Path) -> None:
    boxes = Path(f"/dev/shm/stethoscope-bench-{os.getpid()}")
    boxes.mkdir(mode=0o700)
    environment = {KEY: "true", "STETHOSCOPE_SEGMENT_DIR": str(boxes)}
    agent = subprocess.Popen(
        [tool, "serve", "--dir", boxes, "--listen", "127.0.0.1:0"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert agent.stderr
        of_agent = re.search(r"http://\S+", agent.stderr.readline())
        assert of_agent
        with Cluster(directory, environment) as cluster:
            scheduler = cluster.start_scheduler()
            cluster.start_workers(1)
            ((address, _),) = cluster.workers().items()
            futures = cluster.client.map(nap, [0] * 100, pure=False)
            cluster.client.gather(futures)
            worker = cluster.of_worker(address, os.getpid)
            print(f"\n{SCRAPES} scrapes of a process that is stopped, ms")
            stop(worker)

            def listed() -> str:
                targets = fetch(cluster.scheduler_url, "/metrics/targets").body.decode()
                path = re.search(r"/frozen/[^\"]+", targets)
                assert path
                return path[0]

            path = eventually(listed, timeout=60)
            print(f"{'worker, through its nanny':40}{timed(cluster.scheduler_url, path)}")
            print(f"{'worker, from the agent':40}{of_process(of_agent[0], boxes, worker)}")
            os.kill(worker, signal.SIGCONT)
            stop(scheduler.pid)
            print(
                f"{'scheduler, from the agent':40}{of_process(of_agent[0], boxes, scheduler.pid)}"
            )
            os.kill(scheduler.pid, signal.SIGCONT)
    finally:
        agent.kill()
        agent.wait()
        for file in boxes.iterdir():
            file.unlink()
        boxes.rmdir()


def of_process(agent: str, boxes: Path, pid: int) -> str:
    (file,) = boxes.glob(f"{pid}-*.segment")
    return timed(agent, f"/process/{file.stem}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tool", type=Path, help="the program stethoscope")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--only", choices=["stopped", "costs"])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)
        if arguments.only != "costs":
            (path / "stopped").mkdir()
            stopped(path / "stopped", arguments.tool)
        if arguments.only != "stopped":
            (path / "costs").mkdir()
            costs(path / "costs", arguments.pairs)


if __name__ == "__main__":
    main()
