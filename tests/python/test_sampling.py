"""Samples of servers that are not as they should be: each has an end, and shows the rest."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from test_package import by_prefix, values

from stethoscope._native import Page
from stethoscope.dask.link import Link
from stethoscope.dask.passes import BATCH, Pass, PrefixPass
from stethoscope.dask.sampling import Sampler

CLIENTS = "dask_scheduler_clients"
SUSPICIOUS = "dask_scheduler_tasks_suspicious_total"


def prefix(name: str, number: int) -> SimpleNamespace:
    return SimpleNamespace(
        name=name, suspicious=number, states={"memory": number}, state_counts={"memory": number}
    )


def prefix_pass(page: Any) -> list[Pass]:
    return [PrefixPass(page.prefixes(prefix("example", 0)))]


def scheduler(*prefixes: SimpleNamespace, **attributes: Any) -> SimpleNamespace:
    # Without a count of transitions, each sample looks at each prefix.
    known = {"workers": {}, "tasks": {}, "clients": 1} | attributes
    return SimpleNamespace(task_prefixes={p.name: p for p in prefixes}, **known)


def clients(server: Any) -> int:
    return server.clients


async def sample(sampler: Sampler) -> None:
    there = asyncio.Event()
    sampler.sample(there.set)
    await asyncio.wait_for(there.wait(), 30)


def run(test: Callable[[], Any]) -> None:
    asyncio.run(test())


def test_interrupted_pass_counts_nothing_twice() -> None:
    class BreaksOff:
        """The native prefixes, of which one take fails."""

        def __init__(self, inner: Any) -> None:
            self.begin, self.finish, self._take = inner.begin, inner.finish, inner.take
            self.takes = 0

        def take(self, batch: list) -> Any:
            self.takes += 1
            if self.takes == 4:
                raise MemoryError
            return self._take(batch)

    async def test() -> None:
        page = Page("scheduler")
        prefixes = BreaksOff(page.prefixes(prefix("example", 0)))
        names = [f"p{i}" for i in range(2 * BATCH)]
        sampler = Sampler(
            scheduler(*(prefix(name, 5) for name in names)), page, {}, [PrefixPass(prefixes)]
        )
        for _ in range(4):
            await sample(sampler)
            assert by_prefix(page, SUSPICIOUS) == {(name,): 5 for name in names}
            assert by_prefix(page, "dask_scheduler_tasks")["memory",] == 5 * len(names)
            totals = by_prefix(page, "dask_scheduler_task_transitions_total")
            assert totals["memory",] == 5 * len(names)
        assert prefixes.takes == 8

    run(test)


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ({"workers": {"tcp://10.0.0.1:1": SimpleNamespace(nbytes=None)}}, "the moves of tasks"),
        ({"workers": None}, "the moves of tasks"),
        ({}, None),
    ],
)
def test_prefixes_without_change_marks_are_read_each_time(
    caplog: pytest.LogCaptureFixture, broken: dict[str, Any], told: str | None
) -> None:
    async def test() -> None:
        page = Page("scheduler")
        inc, add = prefix("inc", 5), prefix("add", 5)
        server = scheduler(inc, add, **broken)
        sampler = Sampler(server, page, {CLIENTS: clients}, prefix_pass(page))
        await sample(sampler)
        server.clients = 2
        inc.suspicious = 6
        inc.state_counts["memory"] = 7
        await sample(sampler)
        assert values(page)[CLIENTS,] == 2
        assert by_prefix(page, SUSPICIOUS) == {("inc",): 6, ("add",): 5}

    run(test)
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [told] * bool(told)


def test_server_without_prefixes_shows_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        page = Page("scheduler")
        server = scheduler()
        prefixes = server.__dict__.pop("task_prefixes")
        sampler = Sampler(server, page, {CLIENTS: clients}, prefix_pass(page))
        for server.clients in (1, 2, 3):
            await sample(sampler)
            assert values(page)[CLIENTS,] == server.clients
            assert by_prefix(page, "dask_scheduler_tasks") == {}
        server.task_prefixes = prefixes | {"inc": prefix("inc", 5)}
        await sample(sampler)
        assert by_prefix(page, SUSPICIOUS) == {("inc",): 5}

    run(test)
    (record,) = caplog.records
    message = record.getMessage()
    assert message.startswith("the tasks by prefix: not brought up to date: AttributeError: ")
    assert "task_prefixes" in message


def test_non_numeric_field_is_logged_once_with_its_prefix(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        page = Page("scheduler")
        inc, add = prefix("inc", 5), prefix("add", 5)
        inc.suspicious = "often"
        sampler = Sampler(scheduler(inc, add), page, {}, prefix_pass(page))
        for add.suspicious in (6, 7):
            add.state_counts["waiting"] = add.suspicious
            await sample(sampler)
            assert by_prefix(page, SUSPICIOUS)["add",] == add.suspicious

    run(test)
    (record,) = caplog.records
    message = record.getMessage()
    assert message.startswith("suspicious of task prefixes: not known of namespace(name='inc'")
    assert message.endswith(": TypeError: must be real number, not str")


def test_failing_probe_costs_only_its_family() -> None:
    asked = []

    def fails(server: Any) -> None:
        asked.append("fails")
        raise LookupError

    def none(server: Any) -> str:
        asked.append("none")
        return "no number"

    def works(server: Any) -> int:
        asked.append("works")
        return server.clients

    async def test() -> None:
        page = Page("scheduler")
        server = scheduler()
        probes = {
            "dask_scheduler_task_groups": fails,
            CLIENTS: works,
            "dask_scheduler_desired_workers": none,
            "dask_scheduler_workers_added_total": works,
        }
        sampler = Sampler(server, page, probes)
        for server.clients in (1, 2):
            await sample(sampler)
            shown = {name: value for (name, *_), value in values(page).items() if name in probes}
            assert shown == {
                CLIENTS: server.clients,
                "dask_scheduler_workers_added_total": server.clients,
            }

    run(test)
    # Each once a sample: some are expensive.
    assert asked == ["fails", "works", "none", "works"] * 2


def test_each_waiting_scrape_is_woken_whatever_the_others_do(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def gone() -> None:
        raise RuntimeError("event loop is closed")

    async def test() -> None:
        page = Page("scheduler")
        server = scheduler(*(prefix(f"p{i}", 1) for i in range(1000)))
        sampler = Sampler(server, page, {}, prefix_pass(page))
        told: list[str] = []
        sampler.sample(gone)
        # New prefixes are expensive: the first sample is not there yet.
        sampler.sample(gone)
        sampler.sample(lambda: told.append("second"))
        await sample(sampler)
        assert told == ["second"]
        await sample(sampler)

    run(test)
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2


def test_waiting_scrape_is_woken_when_sampling_stops() -> None:
    async def test() -> None:
        server = scheduler(*(prefix(f"p{i}", 1) for i in range(1000)))
        page = Page("scheduler")
        sampler = Sampler(server, page, {}, prefix_pass(page))
        told: list[str] = []
        sampler.sample(lambda: told.append("first"))
        sampler.sample(lambda: told.append("second"))
        assert told == []
        sampler.stop()
        assert told == ["first", "second"]
        await sample(sampler)
        await asyncio.sleep(0.01)
        assert told == ["first", "second"]
        assert len(by_prefix(page, SUSPICIOUS)) < 1000

    run(test)


def test_connection_that_cannot_be_passed_on_is_closed_alone() -> None:
    ours, theirs = zip(*(socket.socketpair() for _ in range(3)), strict=True)

    class Woken:
        """A listener that wakes the loop once."""

        def __init__(self) -> None:
            self.wake_fd = os.eventfd(1, os.EFD_NONBLOCK)

        def woken(self) -> tuple[bool, list[int]]:
            os.eventfd_read(self.wake_fd)
            return True, [connection.detach() for connection in ours]

        def sampled(self) -> None:
            raise AssertionError("the sample is another's")

        def stop(self) -> None:
            os.close(self.wake_fd)

    adopted: list[socket.socket] = []

    def adopt(connection: socket.socket) -> None:
        if not adopted:
            adopted.append(connection)
            raise OSError("the first is not for us")
        adopted.append(connection)

    async def test() -> None:
        asked = asyncio.Event()
        listener = Woken()
        link = Link(listener, lambda done: asked.set(), adopt)
        await asyncio.wait_for(asked.wait(), 30)
        link.stop()

    run(test)
    assert [connection.fileno() < 0 for connection in adopted] == [True, False, False]
    assert theirs[0].recv(1) == b""
    for mine, other in zip(adopted[1:], theirs[1:], strict=True):
        mine.send(b"x")
        assert other.recv(1) == b"x"
        mine.close()
    for other in theirs:
        other.close()
