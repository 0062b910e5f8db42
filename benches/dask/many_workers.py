"""The event loop's time for a scheduler with 1,000 workers, all metrics on.

The scheduler is a real one; its workers are entries in its state, and their
heartbeats are written there as a heartbeat would.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

from sides import OURS, Figure, Side

WORKERS = 1_000
ROUNDS = 10
#: Prefixes that tasks are run of between two samples.
BUSY = 50
#: Activities for each prefix.
ACTIVITIES = ("thread-cpu", "thread-noncpu", "executor", "other")


def measure(sides: list[Side], prefixes: int) -> list[Figure]:
    figures = []
    for max_workers in (0, WORKERS):
        kind = "own series" if max_workers else "summed"
        times, slices, resident = asyncio.run(_measure(prefixes, max_workers))
        name = f"{WORKERS:,} workers ({kind}), {prefixes:,} prefixes"
        for question, unit, goal, values in (
            (f"loop time of a sample, {name}", "ms", 5, times),
            (f"longest slice of a sample, {name}", "ms", 2, slices),
            (f"memory of the page, {name}", "MB", None, [resident]),
        ):
            figure = Figure(question, unit, goal)
            figure.measured[OURS] = values
            figures.append(figure)
    return figures


async def _measure(prefixes: int, max_workers: int) -> tuple[list[float], list[float], float]:
    import dask
    from distributed import Scheduler

    settings = {
        "distributed.stethoscope.max-workers": max_workers,
        "distributed.stethoscope.max-task-prefixes": prefixes,
        "distributed.stethoscope.refresh-interval": "1h",
    }
    times: list[float] = []
    slices: list[float] = []
    with dask.config.set(settings):
        async with Scheduler(port=0, dashboard_address="127.0.0.1:0") as scheduler:
            sampler = scheduler._stethoscope._sampler
            step = sampler._step

            def timed(steps: Any) -> None:
                start = time.perf_counter()
                step(steps)
                slices.append((time.perf_counter() - start) * 1e3)

            sampler._step = timed
            before = _resident()
            _populate(scheduler, prefixes)
            for number in range(ROUNDS + 1):
                _heartbeats(scheduler, number)
                taken = asyncio.get_running_loop().create_future()
                sampler.sample(lambda taken=taken: taken.set_result(None))
                await taken
                if number == 0:
                    # The first sample makes the series.
                    slices.clear()
                else:
                    times.append(sampler.seconds * 1e3)
                # Heartbeats are looked at once a second.
                await asyncio.sleep(1.05)
            resident = _resident() - before
            scheduler.workers.clear()
    return times, slices, resident


def _populate(scheduler: Any, prefixes: int) -> None:
    from distributed.core import Status
    from distributed.scheduler import TaskPrefix, WorkerState

    for number in range(WORKERS):
        address = f"tcp://10.0.{number // 250}.{number % 250}:1"
        scheduler.workers[address] = WorkerState(
            address=address,
            status=Status.running,
            pid=number,
            name=f"worker-{number}",
            nthreads=4,
            memory_limit=2**32,
            local_directory="/tmp",
            nanny=None,
            server_id=address,
            scheduler=scheduler,
        )
    for number in range(prefixes):
        name = f"prefix-{number}"
        scheduler.task_prefixes[name] = TaskPrefix(name)


def _heartbeats(scheduler: Any, number: int) -> None:
    for worker in scheduler.workers.values():
        worker.last_seen = time.time()
        worker.nbytes = random.randrange(10**9)
        worker.metrics = {
            "cpu": random.random() * 400,
            "memory": 10**9,
            "spilled_bytes": {"memory": 0, "disk": 0},
            "task_counts": {"executing": 4},
        }
    names = list(scheduler.task_prefixes)
    # All in the first round, then some.
    busy = names if number == 0 else random.sample(names, min(BUSY, len(names)))
    for name in busy:
        prefix = scheduler.task_prefixes[name]
        for activity in ACTIVITIES:
            scheduler.cumulative_worker_metrics["execute", name, activity, "seconds"] += 0.1
        prefix.state_counts["memory"] += 1
    scheduler.transition_counter += 1


def _resident() -> float:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096 / 1e6
