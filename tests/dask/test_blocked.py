"""A process that stands still is listened to all the same."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from harness import ACCEPT_TEXT, Cluster, Page, eventually, fetch, scrape
from tasks import hold_gil

#: How long everything stands still, and the scrapes that must be answered meanwhile.
SECONDS, SCRAPES = 2, 50


class Answered:
    """Scrapes one after the other, until told to stop, and when each began and ended."""

    def __init__(self, url: str) -> None:
        self.scrapes: list[tuple[float, float, str]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(url,), daemon=True)
        self._thread.start()

    def _run(self, url: str) -> None:
        while not self._stop.is_set():
            start = time.time()
            response = fetch(url, Accept=ACCEPT_TEXT)
            assert response.status == 200
            # Reading them takes longer than answering them: later.
            self.scrapes.append((start, time.time(), response.body.decode()))
            time.sleep(0.005)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(60)

    def within(self, start: float, end: float) -> list[Page]:
        return [
            Page(page) for began, ended, page in self.scrapes if start <= began and ended <= end
        ]


def check_listened_to_while(url: str, block: Callable[[], tuple[float, float]]) -> None:
    """`block` makes the process at `url` stand still, and returns from when to when."""
    answered = Answered(url)
    try:
        start, end = block()
    finally:
        answered.stop()
    pages = answered.within(start, end)
    assert len(pages) >= SCRAPES, f"{len(pages)} scrapes were answered in {end - start:.1f} s"
    ages = [page.value("stethoscope_sample_age_seconds") for page in pages]
    assert ages == sorted(ages), "nothing was sampled meanwhile"
    # All but what passes before the first and after the last of them.
    assert ages[-1] > 0.8 * (end - start)
    fresh = eventually(lambda: _younger(url, ages[-1]))
    assert fresh.value("stethoscope_sample_age_seconds") < ages[-1]


def _younger(url: str, age: float) -> Page:
    page = scrape(url)
    assert page.value("stethoscope_sample_age_seconds") < age
    return page


def block_loop(seconds: float) -> Callable:
    """A function that keeps an event loop from turning, for `run` and `run_on_scheduler`."""

    def block() -> tuple[float, float]:
        import time

        start = time.time()
        time.sleep(seconds)
        return start, time.time()

    return block


def test_scrape_is_answered_while_a_task_holds_the_gil(cluster: Cluster) -> None:
    address, url = next(iter(cluster.workers().items()))

    def block() -> tuple[float, float]:
        return cluster.client.submit(hold_gil, SECONDS, pure=False, workers=[address]).result(60)

    check_listened_to_while(url, block)


def test_scrape_is_answered_while_a_workers_loop_is_blocked(cluster: Cluster) -> None:
    address, url = next(iter(cluster.workers().items()))
    check_listened_to_while(url, lambda: cluster.of_worker(address, block_loop(SECONDS)))


def test_scrape_is_answered_while_the_schedulers_loop_is_blocked(cluster: Cluster) -> None:
    check_listened_to_while(
        cluster.scheduler_url, lambda: cluster.client.run_on_scheduler(block_loop(SECONDS))
    )


def test_values_are_current_while_the_loop_runs(cluster: Cluster) -> None:
    def name_a_client(number: int) -> Callable:
        def change(dask_scheduler) -> None:
            for client in [name for name in dask_scheduler.clients if name.startswith("test-")]:
                del dask_scheduler.clients[client]
            dask_scheduler.clients.update({f"test-{i}": None for i in range(number)})

        return change

    for number in [*range(20), 0]:
        cluster.client.run_on_scheduler(name_a_client(number))
        # A sample counts as fresh for 10 ms, and for 20 times as long as it took.
        time.sleep(0.1)
        assert scrape(cluster.scheduler_url).value("dask_scheduler_clients") == 1 + number
