"""A day in short: a cluster under churn, and scrapers that believe nothing.

    make soak                    # ten minutes; SECONDS=60 for one

Workers join, leave, are killed with -9 and started again by their nannies;
clients restart the cluster; task prefixes come by the hundred and stay, as they
do in Dask; tasks fail, move data and spill. All the while three scrapers ask
every page that the scheduler's list of targets names, each 20 times a second,
read it strictly and hold its counters against the page before (`watch.rs`).

In the last third no new prefixes come: from there on the memory and the
descriptors of the scheduler, and of a worker that nobody kills, must stay as
they are, but for what a scheduler of Dask's keeps of each task by itself.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from harness import Cluster, fetch
from tasks import block, fail, lengths, nap

ROOT = Path(__file__).parents[2]
WATCH = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "quick" / "watch"
CLIENTS = 3
SCRAPES_A_SECOND = 20
#: 20,000 in the first two thirds of ten minutes.
PREFIXES_A_SECOND = 50

#: How much a process may grow in the last third: new memory of the
#: allocator, and the logs that Dask itself fills.
MEMORY_SLACK = 16 << 20
DESCRIPTOR_SLACK = 8
#: Dask's spans keep every task group for good (`distributed/spans.py`), and the tasks
#: here are groups of their own: with the package switched off, the scheduler of
#: distributed 2025.7 grew by 2.1 KiB with each of 25,000. So many bytes are allowed.
KEPT_OF_A_TASK = 2_500


@dataclass
class Process:
    """Observations of a process, once a second."""

    memory: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)

    def look(self, pid: int) -> None:
        with open(f"/proc/{pid}/statm") as statm:
            pages = int(statm.read().split()[1])
        self.memory.append(pages * os.sysconf("SC_PAGE_SIZE"))
        self.descriptors.append(len(os.listdir(f"/proc/{pid}/fd")))


@dataclass
class Report:
    """The result of a soak. `complaints` is empty if all is well."""

    complaints: list[str]
    scrapes: dict[str, float]
    processes: dict[str, Process]
    done: dict[str, int]
    late_tasks: int

    def __str__(self) -> str:
        mib = 1 << 20
        lines = [
            f"{self.scrapes['scrapes']:.0f} pages, {self.scrapes['bytes'] / mib:.0f} MiB: "
            f"median {self.scrapes['median'] * 1e3:.1f} ms, "
            f"p99 {self.scrapes['p99'] * 1e3:.1f} ms, worst {self.scrapes['worst'] * 1e3:.1f} ms; "
            f"{self.scrapes['faults']:.0f} faults, {self.scrapes['unanswered']:.0f} unanswered",
            ", ".join(f"{number} {what}" for what, number in self.done.items())
            + f", {self.late_tasks} tasks of them in the last third",
        ]
        for name, process in self.processes.items():
            begin, end = plateau(process.memory)
            first, last = plateau(process.descriptors)
            lines.append(
                f"{name}: {begin / mib:.1f} to {end / mib:.1f} MiB, "
                f"{first:.0f} to {last:.0f} descriptors in the last third"
            )
        return "\n".join(lines + self.complaints)


def plateau(values: list[int]) -> tuple[float, float]:
    """How it was when no more prefixes came, and how it is at the end."""
    third = values[-(len(values) // 3 + 1) :]
    quarter = len(third) // 4 + 1
    return statistics.median(third[:quarter]), statistics.median(third[-quarter:])


@contextlib.contextmanager
def watching(line: Callable[[dict], None]) -> Iterator[subprocess.Popen]:
    """The scrapers, each line of theirs given to `line`."""
    assert WATCH.exists(), f"{WATCH} is missing: run `make watch`"
    process = subprocess.Popen(
        [WATCH, str(CLIENTS), str(SCRAPES_A_SECOND)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    reader = threading.Thread(target=lambda: [line(json.loads(text)) for text in process.stdout])
    reader.start()
    try:
        yield process
    finally:
        process.stdin.close()
        try:
            process.wait(30)
        finally:
            process.kill()
        reader.join()


class Soak:
    """One cluster and all that is done to it."""

    def __init__(self, cluster: Cluster, seconds: float) -> None:
        self.cluster = cluster
        self.done = {"prefixes": 0, "tasks": 0, "kills": 0, "guests": 0, "restarts": 0}
        self.complaints: list[str] = []
        self.scrapes: dict[str, float] = {}
        self._seconds = seconds
        self._unanswered: list[tuple[float, str, str]] = []
        self._listed_last: dict[str, float] = {}
        self._processes = {"scheduler": Process(), "steady worker": Process()}
        self._random = random.Random(1)
        #: Tasks when the last third began.
        self._tasks_before: int | None = None

    def run(self) -> Report:
        cluster = self.cluster
        scheduler = cluster.start_scheduler()
        cluster.start_workers(1, "--name", "steady")
        cluster.start_workers(1, "--name", "victim")
        self._begin = time.monotonic()
        threads = [
            threading.Thread(target=self._every, args=(pause, step), daemon=True)
            for pause, step in [
                (1.0, self._work),
                (self._seconds / 60 + 4, self._kill),
                (6.0, self._have_a_guest),
                (1.0, lambda: self._look(scheduler.pid)),
            ]
        ]
        with watching(self._hear) as watch:
            for thread in threads:
                thread.start()
            restarted = False
            while self._elapsed() < self._seconds:
                self._tell(watch)
                time.sleep(0.2)
                if not restarted and self._elapsed() > self._seconds / 4:
                    restarted = True
                    cluster.client.restart()
                    self.done["restarts"] += 1
                    self._processes["steady worker"] = Process()
            for thread in threads:
                thread.join(60)
            self._tell(watch)
        self._judge()
        return Report(self.complaints, self.scrapes, self._processes, self.done, self._late_tasks())

    def _late_tasks(self) -> int:
        """Those of the last third."""
        done = self.done["tasks"]
        return 0 if self._tasks_before is None else done - self._tasks_before

    def _elapsed(self) -> float:
        return time.monotonic() - self._begin

    def _every(self, pause: float, step: Callable[[], None]) -> None:
        following = time.monotonic() + pause
        while self._elapsed() < self._seconds:
            try:
                step()
            except Exception as error:
                # Whatever is killed, retired or restarted may fail; the pages may not.
                print(f"{step}: {type(error).__name__}: {error}", file=sys.stderr)
            time.sleep(max(0.0, following - time.monotonic()))
            following = max(following + pause, time.monotonic())

    # What happens to the cluster.

    def _work(self) -> None:
        client = self.cluster.client
        begun = self.done["prefixes"]
        if self._elapsed() < self._seconds * 2 / 3:
            prefixes = [f"passing{begun + n}" for n in range(PREFIXES_A_SECOND)]
            self.done["prefixes"] += PREFIXES_A_SECOND
        else:
            if self._tasks_before is None:
                self._tasks_before = self.done["tasks"]
            chosen = self._random.sample(range(begun), PREFIXES_A_SECOND)
            prefixes = [f"passing{n}" for n in chosen]
        batch = self.done["tasks"]
        futures = [
            client.submit(nap, 0, key=f"{prefix}-{batch}-{n}") for prefix in prefixes for n in "ab"
        ]
        data = client.map(block, [200_000] * 8, range(8), pure=False)
        futures += [
            client.submit(lengths, *data, pure=False),
            client.submit(fail, pure=False),
            *data,
        ]
        self.done["tasks"] += len(futures)
        deadline = time.monotonic() + 20
        while not all(future.done() for future in futures) and time.monotonic() < deadline:
            time.sleep(0.05)

    def _kill(self) -> None:
        victims = {
            address: worker
            for address, worker in self.cluster.client.scheduler_info(n_workers=-1)[
                "workers"
            ].items()
            if worker["name"] == "victim"
        }
        for address in victims:
            os.kill(self.cluster.of_worker(address, os.getpid), signal.SIGKILL)
            self.done["kills"] += 1

    def _have_a_guest(self) -> None:
        self.done["guests"] += 1
        guest = self.cluster.dask(
            "worker", self.cluster.address, "--host", "127.0.0.1", "--no-nanny", "--nthreads", "1",
            "--dashboard-address", "127.0.0.1:0", "--name", f"guest{self.done['guests']}",
            "--memory-limit", "512MiB",
        )  # fmt: skip
        time.sleep(4)
        guest.stop()

    # What is seen of it.

    def _tell(self, watch: subprocess.Popen) -> None:
        listed = json.loads(fetch(self.cluster.scheduler_url, "/metrics/targets").body)
        targets = [target for entry in listed for target in entry["targets"]]
        self._listed_last |= dict.fromkeys(targets, time.monotonic())
        self._stable = {
            target
            for entry in listed
            for target in entry["targets"]
            if entry["labels"].get("worker_name", "steady") == "steady"
        }
        watch.stdin.write(" ".join(targets) + "\n")

    def _hear(self, line: dict) -> None:
        if line.pop("end", False):
            self.scrapes = line
        elif "fault" in line:
            self.complaints.append(f"{line['target']}: {line['fault']}")
        else:
            self._unanswered.append((time.monotonic(), line["target"], line["unanswered"]))

    def _look(self, scheduler: int) -> None:
        self._processes["scheduler"].look(scheduler)
        for worker in self.cluster.client.scheduler_info(n_workers=-1)["workers"].items():
            address, known = worker
            if known["name"] == "steady":
                pid = self.cluster.of_worker(address, os.getpid)
                self._processes["steady worker"].look(pid)

    def _judge(self) -> None:
        for when, target, error in self._unanswered:
            # Listed still when it had been gone for long, or never gone at all.
            if target in self._stable or self._listed_last.get(target, 0) > when + 10:
                self.complaints.append(f"{target} did not answer: {error}")
        expected = CLIENTS * SCRAPES_A_SECOND * self._seconds
        if self.scrapes["scrapes"] < expected / 2:
            self.complaints.append(f"{self.scrapes['scrapes']} scrapes, not {expected:.0f}")
        kept = {"scheduler": self._late_tasks() * KEPT_OF_A_TASK}
        for name, process in self._processes.items():
            for what, values, slack in [
                ("bytes", process.memory, MEMORY_SLACK + kept.get(name, 0)),
                ("descriptors", process.descriptors, DESCRIPTOR_SLACK),
            ]:
                begin, end = plateau(values)
                if end > begin + slack:
                    complaint = f"{name}: from {begin:.0f} to {end:.0f} {what}"
                    self.complaints.append(f"{complaint}, which is more than {slack:.0f} more")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory(prefix="stethoscope-") as directory:
        report = soak(Path(directory), seconds)
    print(report)
    return 1 if report.complaints else 0


def soak(directory: Path, seconds: float) -> Report:
    """Run it, with a cluster of its own."""
    environment = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "10"}
    with Cluster(directory, environment) as cluster:
        return Soak(cluster, seconds).run()


if __name__ == "__main__":
    sys.exit(main())
