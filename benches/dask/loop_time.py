"""Event loop time of one scrape: a sample here, the whole handler in Dask."""

from __future__ import annotations

from sides import OURS, Figure, Scraper, Side


def measure(sides: list[Side], prefixes: int) -> list[Figure]:
    worker = Figure("loop time of a scrape of a worker", "ms", 0.02)
    scheduler = Figure(f"loop time of a scrape of a scheduler, {prefixes} prefixes", "ms", 0.05)
    for side in sides:
        function = samples if side.name == OURS else handled
        address, url = side.worker()
        Scraper(url)()
        Scraper(side.scheduler)()
        worker.measured[side.name] = side.cluster.of_worker(address, function, "worker")
        client = side.cluster.client
        scheduler.measured[side.name] = client.run_on_scheduler(function, "scheduler")
    return [worker, scheduler]


async def samples(role: str, dask_worker=None, dask_scheduler=None) -> list[float]:
    """Return the ms of each of many samples, in the event loop."""
    import asyncio

    attachment = (dask_worker or dask_scheduler)._stethoscope
    times = []
    for _ in range(1000):
        taken = asyncio.get_running_loop().create_future()
        attachment.sample(lambda taken=taken: taken.set_result(None))
        await taken
        # Of all its slices, by its own clock.
        times.append(attachment._sampler.seconds * 1e3)
    return times


def handled(role: str, dask_worker=None, dask_scheduler=None) -> list[float]:
    """Return the same for Dask's handler, which collects and formats there."""
    import time

    import prometheus_client

    times = []
    for _ in range(100):
        start = time.perf_counter()
        # Registered by the first scrape, and of this server from then on.
        prometheus_client.generate_latest()
        times.append((time.perf_counter() - start) * 1e3)
    return times
