"""Workers that are frozen or have died: what their nannies read, and the scheduler serves."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Event
from harness import Cluster, Page, eventually, fetch, own_tracebacks, scrape
from tasks import count_in_pool, count_rows, wait_for

import stethoscope

TARGETS = "/metrics/targets"


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    """A directory of black boxes, in memory."""
    path = Path(f"/dev/shm/stethoscope-test-{os.getpid()}")
    path.mkdir(mode=0o700)
    yield path
    for file in path.iterdir():
        file.unlink()
    path.rmdir()


@pytest.fixture(scope="module")
def boxed(tmp_path_factory: pytest.TempPathFactory, directory: Path) -> Iterator[Cluster]:
    """A cluster whose pages are in black boxes, with one worker under a nanny."""
    # As it comes: nothing turns it on.
    environment = {"STETHOSCOPE_SEGMENT_DIR": str(directory)}
    with Cluster(tmp_path_factory.mktemp("cluster"), environment) as cluster:
        cluster.start_scheduler()
        cluster.nanny = cluster.start_workers(1, "--name", "the worker")
        yield cluster
        print(cluster.logs())


@pytest.fixture
def little_memory() -> Iterator[Callable[[int], None]]:
    """Puts a process in a control group that has little memory."""
    with open("/proc/self/cgroup") as file:
        groups = {line.split(":")[1]: line.rstrip("\n").split(":", 2)[2] for line in file}
    if "memory" in groups:
        parents = [Path("/sys/fs/cgroup/memory" + groups["memory"])]
        limit = "memory.limit_in_bytes"
    else:
        # A group that has processes has no groups with limits: one beside it.
        own = Path("/sys/fs/cgroup" + groups.get("", "/"))
        parents, limit = [own, own.parent], "memory.max"
    group = None
    for parent in parents:
        with contextlib.suppress(OSError):
            path = parent / f"stethoscope-dask-{os.getpid()}"
            path.mkdir()
            group = path
            (path / limit).write_text(str(300 << 20))
            break
    else:
        if group is not None:
            group.rmdir()
        pytest.skip("no control group with a limit of memory can be made here")

    def join(pid: int) -> None:
        (group / "cgroup.procs").write_text(str(pid))

    yield join
    for pid in (group / "cgroup.procs").read_text().split():
        with contextlib.suppress(OSError):
            (parent / "cgroup.procs").write_text(pid)
    eventually(lambda: not (group / "cgroup.procs").read_text())
    group.rmdir()


class Worker:
    """The worker of the cluster, and its process."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        (self.address,) = eventually(lambda: list(cluster.workers()) or False, timeout=60)
        self.url = cluster.workers()[self.address]
        self.pid = cluster.of_worker(self.address, os.getpid)
        self.wait_until_watched()

    def wait_until_watched(self) -> None:
        """Wait until its nanny knows its black box."""

        def is_watched(dask_worker: Any) -> bool:
            announcement = getattr(dask_worker._stethoscope, "_announcement", None)
            return announcement is None or announcement.done()

        eventually(lambda: self._cluster.of_worker(self.address, is_watched))

    def is_executing(self, prefix: str, number: int) -> bool:
        executing = scrape(self.url).by("task_prefix_name", "dask_worker_executing")
        return executing.get(prefix, 0) == number

    def kill(self, by: signal.Signals = signal.SIGKILL) -> None:
        os.kill(self.pid, by)

    def is_gone(self) -> bool:
        return self.address not in self._cluster.workers()

    def targets(self, role: str) -> list[dict[str, str]]:
        """The labels of the targets of a role that are about it."""
        listed = json.loads(fetch(self._cluster.scheduler_url, TARGETS).body)
        about = [group["labels"] for group in listed]
        return [
            labels
            for labels in about
            if labels["role"] == role and labels["worker_address"] == self.address
        ]

    def target(self, role: str) -> dict[str, str]:
        """The labels of the one target of a role that is about it, when there is one."""

        def only() -> dict[str, str]:
            found = self.targets(role)
            assert len(found) == 1, self._cluster.logs()
            return found[0]

        return eventually(only, timeout=60)


@pytest.fixture
def worker(boxed: Cluster) -> Iterator[Worker]:
    yield Worker(boxed)
    # The next test finds one that is its own.
    eventually(lambda: len(boxed.workers()) == 1, timeout=60)


def kept_page(cluster: Cluster, labels: dict[str, str]) -> Page:
    return scrape(cluster.scheduler_url, path=labels["__metrics_path__"])


def doctor(cluster: Cluster, code: int) -> str:
    command = [sys.executable, "-m", "stethoscope.dask", "doctor", cluster.scheduler_url]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == code, result.stdout + result.stderr
    return result.stdout


def test_doctor_names_the_files(boxed, worker, directory) -> None:
    found = re.findall(r"^  box      (.*)$", doctor(boxed, code=0), re.MULTILINE)
    assert set(map(Path, found)) == set(directory.glob("*.segment"))
    assert any(Path(path).name.startswith(f"{worker.pid}-") for path in found)


def test_killed_worker_leaves_its_last_page(boxed, worker, directory, accepts) -> None:
    def count() -> None:
        stethoscope.counter("rows", "Rows.").inc(7)

    boxed.of_worker(worker.address, count)
    running = boxed.client.map(wait_for, ["never"] * 2, range(2), pure=False)
    eventually(lambda: worker.is_executing("wait_for", 2))
    assert worker.targets("postmortem") == []
    worker.kill()

    labels = worker.target("postmortem")
    page = kept_page(boxed, labels)
    accepts(page.text)
    assert re.fullmatch("/postmortem/[0-9-]+", labels.pop("__metrics_path__"))
    assert labels == {
        "job": "stethoscope-postmortem",
        "role": "postmortem",
        "worker_name": "the worker",
        "worker_address": worker.address,
        "instance": worker.url.removeprefix("http://"),
        "exit_signal": "SIGKILL",
        "exit_code": "",
        "exit_reason": "signal",
    }
    assert page.value("stethoscope_process_alive") == 0
    assert page.value("stethoscope_process_state", stethoscope_process_state="dead") == 1
    how = {"state": "dead", "signal": "SIGKILL", "code": "", "reason": "signal"}
    assert page.value("stethoscope_process_exit_info", **how) == 1
    assert page.value("postmortem_dask_worker_executing", task_prefix_name="wait_for") == 2
    assert page.value("postmortem_rows_total") == 7
    assert page.value("postmortem_process_resident_memory_bytes") > 1e7
    died = page.value("stethoscope_process_death_timestamp_seconds")
    assert 0 < died - page.value("postmortem_process_start_time_seconds") < 600
    assert page.has("postmortem_dask_worker_tick_duration_median_seconds")
    assert page.value("postmortem_dask_worker_memory_limit_bytes") == 512 << 20
    own = ("postmortem_", "stethoscope_")
    assert all(name.startswith(own) for name in page.types)
    log = boxed.logs()
    line = (
        rf"worker {worker.address} died: SIGKILL \(signal\); memory [1-9].* of 512.* wait_for \(2\)"
    )
    assert re.search(line, log), log
    # The file of the dead is gone.
    assert not list(directory.glob(f"{worker.pid}-*"))
    boxed.client.cancel(running)


def test_page_is_served_compressed_and_plain(boxed, worker) -> None:
    worker.kill(signal.SIGABRT)
    labels = worker.target("postmortem")
    assert labels["exit_signal"] == "SIGABRT"
    path = labels["__metrics_path__"]
    plain = fetch(boxed.scheduler_url, path)
    compressed = fetch(boxed.scheduler_url, path, Accept_Encoding="gzip")
    assert plain.getheader("Content-Encoding") is None
    assert compressed.getheader("Content-Encoding") == "gzip"
    assert gzip.decompress(compressed.body) == plain.body
    assert fetch(boxed.scheduler_url, path, method="HEAD").body == b""
    assert fetch(boxed.scheduler_url, "/postmortem/999-1").status == 404
    assert fetch(Worker(boxed).url, path).status == 404


def test_doctor_tells_the_dead_from_those_that_are_served(boxed, worker) -> None:
    worker.kill()
    path = worker.target("postmortem")["__metrics_path__"]
    eventually(worker.is_gone)
    Worker(boxed)
    report = doctor(boxed, code=0)
    assert f"dead worker the worker {worker.address}\n  page     http" in report
    assert f"  state    dead, last page at {path}, died of SIGKILL (signal)\n" in report
    assert "\n2 of 2 servers are served as configured; " in report


def test_doctor_and_log_say_how_a_worker_is_frozen(boxed, worker) -> None:
    worker.kill(signal.SIGSTOP)
    try:
        path = worker.target("frozen")["__metrics_path__"]
        report = doctor(boxed, code=1)
    finally:
        worker.kill(signal.SIGCONT)
    assert f"frozen worker the worker {worker.address}\n" in report
    assert f"  state    frozen, its nanny's reading at {path}\n" in report
    assert "\n1 of 1 servers are served as configured; " in report
    assert report.endswith("1 frozen worker.\n")
    how = f"worker {worker.address} is frozen: stopped, by a signal or a debugger"
    eventually(lambda: how in boxed.logs())
    eventually(lambda: f"worker {worker.address} runs again" in boxed.logs())


def test_frozen_worker_answers_through_its_nanny(boxed, worker, accepts) -> None:
    running = boxed.client.submit(wait_for, "thawed", pure=False)
    eventually(lambda: worker.is_executing("wait_for", 1))
    assert worker.targets("frozen") == []
    worker.kill(signal.SIGSTOP)
    try:
        labels = worker.target("frozen")
        assert (labels["worker_name"], labels["job"]) == ("the worker", "stethoscope-frozen")
        assert labels["instance"] == worker.url.removeprefix("http://")
        page = kept_page(boxed, labels)
        accepts(page.text)
        assert page.value("stethoscope_process_alive") == 1
        assert page.value("stethoscope_process_state", stethoscope_process_state="stopped") == 1
        assert page.value("dask_worker_executing", task_prefix_name="wait_for") == 1
    finally:
        worker.kill(signal.SIGCONT)
    eventually(lambda: worker.targets("frozen") == [])
    assert fetch(boxed.scheduler_url, labels["__metrics_path__"]).status == 404
    assert worker.targets("postmortem") == []
    Event("thawed", client=boxed.client).set()
    running.result()
    assert worker.is_executing("wait_for", 0)


def test_worker_that_was_frozen_and_killed_is_only_dead(worker) -> None:
    worker.kill(signal.SIGSTOP)
    worker.target("frozen")
    worker.kill()
    assert worker.target("postmortem")["exit_signal"] == "SIGKILL"
    eventually(lambda: worker.targets("frozen") == [])


def grow(megabytes: int) -> None:
    hoard = [bytearray(os.urandom(1 << 20)) for _ in range(megabytes)]
    time.sleep(60)
    del hoard


def test_worker_over_its_memory_limit_is_said_to_be(boxed, worker) -> None:
    task = boxed.client.submit(grow, 700, pure=False)
    labels = worker.target("postmortem")
    task.cancel()
    assert labels["exit_reason"] == "memory-limit"
    assert labels["exit_signal"] in ("SIGTERM", "SIGKILL")
    page = kept_page(boxed, labels)
    assert page.value("postmortem_dask_worker_executing", task_prefix_name="grow") == 1


def test_worker_that_the_kernel_kills_for_memory_is_said_to_be(
    boxed, worker, little_memory
) -> None:
    # The next worker is in the group from its start, and so is its nanny.
    little_memory(boxed.nanny.pid)
    worker.kill()
    eventually(worker.is_gone)
    doomed = Worker(boxed)
    task = boxed.client.submit(grow, 400, pure=False)
    labels = doomed.target("postmortem")
    task.cancel()
    assert (labels["exit_signal"], labels["exit_reason"]) == ("SIGKILL", "out-of-memory")
    page = kept_page(boxed, labels)
    assert page.value("postmortem_dask_worker_executing", task_prefix_name="grow") == 1


def test_worker_that_does_not_stop_when_told_is_said_to_have(boxed, worker) -> None:
    worker.kill(signal.SIGSTOP)
    boxed.client.restart(timeout=60)
    labels = worker.target("postmortem")
    assert (labels["exit_signal"], labels["exit_reason"]) == ("SIGKILL", "stop-timeout")
    assert f"worker {worker.address} died: SIGKILL (stop-timeout)" in boxed.logs()


def test_worker_that_is_restarted_leaves_nothing(boxed, worker, directory) -> None:
    assert list(directory.glob(f"{worker.pid}-*"))
    boxed.client.restart()
    eventually(lambda: not list(directory.glob(f"{worker.pid}-*")))
    assert Worker(boxed).pid != worker.pid
    assert worker.targets("postmortem") == []
    assert f"worker {worker.address} died" not in boxed.logs()


def test_files_of_forked_children_are_removed(boxed, worker, directory) -> None:
    def fork() -> int:
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        return child

    child = boxed.of_worker(worker.address, fork)
    eventually(lambda: not list(directory.glob(f"{child}-*")), timeout=60)
    assert list(directory.glob(f"{worker.pid}-*"))


def test_scheduler_without_the_package_is_told_once(boxed, worker) -> None:
    def forget(dask_scheduler: Any) -> None:
        handlers = dask_scheduler.handlers
        names = ("stethoscope_death", "stethoscope_frozen")
        dask_scheduler.handlers = {n: h for n, h in handlers.items() if n not in names}

    boxed.client.run_on_scheduler(forget)
    for _ in range(2):
        doomed = Worker(boxed)
        doomed.kill()
        eventually(doomed.is_gone)
        eventually(lambda doomed=doomed: f"worker {doomed.address} died" in boxed.logs())
    eventually(lambda: "does not keep last pages" in boxed.logs())
    Worker(boxed)
    assert boxed.logs().count("does not keep last pages") == 1
    assert boxed.logs().count("No handler stethoscope_death") == 1


# The last test with the shared cluster: its worker leaves, and its nanny too.
def test_worker_that_is_retired_leaves_nothing(boxed, directory) -> None:
    worker = Worker(boxed)
    boxed.client.retire_workers([worker.address])
    eventually(lambda: not list(directory.glob(f"{worker.pid}-*")))
    assert worker.targets("postmortem") == []
    assert f"worker {worker.address} died" not in boxed.logs()


@pytest.mark.parametrize("key", ["true", "auto"])
def test_directory_that_cannot_be_used_costs_the_black_box_alone(
    key, new_cluster, tmp_path
) -> None:
    path = tmp_path / "disk"
    cluster = new_cluster(
        DASK_DISTRIBUTED__STETHOSCOPE__BLACK_BOX=key, STETHOSCOPE_SEGMENT_DIR=str(path)
    )
    process = cluster.start_scheduler()
    cluster.start_workers(1)
    for url in (cluster.scheduler_url, *cluster.workers().values()):
        page = scrape(url)
        assert page.has("stethoscope_sample_age_seconds")
        assert not page.has("dask_worker_executing")
        status = json.loads(fetch(url, "/metrics/status").body)
        assert status["black_box"] is None
        assert str(path) in status["black_box_reason"]
        assert status["black_box_asked_for"] == (key == "true")
    report = doctor(cluster, code=1 if key == "true" else 0)
    problems = report.count(f"problem  there is no black box: {path}: ")
    assert problems == (2 if key == "true" else 0)
    assert report.count(f"box      none: {path}: ") == 2
    worker = Worker(cluster)
    worker.kill()
    eventually(worker.is_gone)
    assert Worker(cluster).address != worker.address
    lines = [line for line in process.log.read_text().splitlines() if "black box is un" in line]
    assert len(lines) == 1
    assert ("WARNING" in lines[0]) == (key == "true")
    assert not own_tracebacks(cluster.logs())
    assert worker.targets("postmortem") == []


def test_children_of_tasks_count_on_the_page_of_their_worker(new_cluster) -> None:
    # Without this setting, multiprocessing starts no processes in a worker under a nanny.
    # Python's spelling: older Dasks know no other.
    cluster = new_cluster(DASK_DISTRIBUTED__WORKER__DAEMON="False")
    cluster.start_scheduler()
    cluster.start_workers(1)
    worker = Worker(cluster)
    count_rows_here = cluster.client.submit(count_rows, "here")
    count_rows_here.result()

    def fork() -> int:
        child = os.fork()
        if child == 0:
            count_rows("forked")
            while True:
                time.sleep(1)
        return child

    def shows(**counts: float) -> bool:
        page = scrape(worker.url)
        if page.by("kind", "child_rows_total") != counts:
            return False
        observations = sum(counts.values()) / 3
        return page.value("child_seconds_count") == observations

    # While a child lives, and when it is dead.
    child = cluster.of_worker(worker.address, fork)
    eventually(lambda: shows(here=3, forked=3))
    os.kill(child, signal.SIGKILL)
    box = Path(json.loads(fetch(worker.url, "/metrics/status").body)["black_box"])
    eventually(lambda: not list(box.parent.glob(f"{child}-*")))
    assert shows(here=3, forked=3)
    counts = {"here": 3.0, "forked": 3.0}
    for method in ("spawn", "forkserver"):
        cluster.client.submit(count_in_pool, method, 20, pure=False).result()
        counts[method] = 60
        eventually(lambda: shows(**counts), timeout=60)
    page = scrape(worker.url)
    assert page.value("child_seconds_sum") == 2 * sum(counts.values()) / 3
    # Gauges are each process' own.
    assert page.value("child_depth") == 1

    # The worker itself decides what a name stands for.
    def define() -> None:
        stethoscope.gauge("only_child").set(7)

    cluster.client.submit(count_in_pool, "spawn", 1, "only_child").result()
    eventually(lambda: scrape(worker.url).has("only_child_total"))
    cluster.of_worker(worker.address, define)
    page = scrape(worker.url)
    assert page.value("only_child") == 7
    assert not page.has("only_child_total")
    worker.kill()
    last = kept_page(cluster, worker.target("postmortem"))
    assert last.by("kind", "postmortem_child_rows_total") == counts


def test_nanny_without_the_package_costs_the_last_page_alone(new_cluster, directory) -> None:
    cluster = new_cluster(STETHOSCOPE_SEGMENT_DIR=str(directory))
    cluster.start_scheduler()
    without = "import sys; sys.modules['stethoscope.dask.nanny'] = None"
    cluster.start_workers(1, "--preload-nanny", without)
    worker = Worker(cluster)
    eventually(lambda: "the nanny cannot read the black box: " in cluster.logs())
    worker.kill()
    eventually(worker.is_gone)
    assert Worker(cluster).address != worker.address
    assert worker.targets("postmortem") == []
    # Another process can read what is left.
    (file,) = directory.glob(f"{worker.pid}-*")
    assert b"stethoscope_process_alive 0" in stethoscope.read_segment(str(file))
    assert not own_tracebacks(cluster.logs())


@pytest.mark.parametrize("is_asked_for", [True, False])
def test_reason_is_logged_once(is_asked_for, tmp_path, monkeypatch, caplog) -> None:
    from stethoscope.dask import black_box

    caplog.set_level(logging.INFO, logger="distributed.stethoscope")
    monkeypatch.setattr(black_box, "_logged", None)
    open_to_all = Path(f"/dev/shm/stethoscope-test-open-{os.getpid()}")
    open_to_all.mkdir()
    try:
        open_to_all.chmod(0o777)
        for path in ("/nowhere/at/all", str(tmp_path), str(open_to_all)):
            monkeypatch.setenv("STETHOSCOPE_SEGMENT_DIR", path)
            before = len(caplog.records)
            for _ in range(2):
                box, reason = black_box.make(is_asked_for=is_asked_for)
                assert box is None
                assert path in str(reason)
            assert len(caplog.records) == before + 1
            level = logging.WARNING if is_asked_for else logging.INFO
            assert caplog.records[-1].levelno == level
    finally:
        open_to_all.rmdir()


def test_without_the_key_nothing_is_made(new_cluster, directory) -> None:
    before = set(directory.iterdir())
    cluster = new_cluster(
        DASK_DISTRIBUTED__STETHOSCOPE__BLACK_BOX="false", STETHOSCOPE_SEGMENT_DIR=str(directory)
    )
    cluster.start_scheduler()
    cluster.start_workers(1)
    (address,) = cluster.workers()

    def state(dask_worker: Any) -> tuple[str, bool]:
        attached = dask_worker._stethoscope
        return type(dask_worker.state.executing).__name__, hasattr(attached, "_announcement")

    assert cluster.of_worker(address, state) == ("set", False)
    assert not scrape(cluster.workers()[address]).has("dask_worker_executing")
    assert set(directory.iterdir()) <= before


def test_names_on_the_pages_of_the_dead_are_not_those_of_the_living() -> None:
    from stethoscope.dask.nanny import rename

    page = (
        b"# HELP a_total Lines\\nof help: # TYPE b x\n# TYPE a_total counter\n"
        b'a_total{x="c 1\\nd 2"} 1\n# HELP stethoscope_process_alive Alive.\n'
        b"# TYPE stethoscope_process_alive gauge\nstethoscope_process_alive 0\n"
        b"# TYPE stethoscope_sample_age_seconds gauge\nstethoscope_sample_age_seconds 1\n"
    )
    assert rename(page) == (
        b"# HELP postmortem_a_total Lines\\nof help: # TYPE b x\n"
        b"# TYPE postmortem_a_total counter\n"
        b'postmortem_a_total{x="c 1\\nd 2"} 1\n# HELP stethoscope_process_alive Alive.\n'
        b"# TYPE stethoscope_process_alive gauge\nstethoscope_process_alive 0\n"
        b"# TYPE postmortem_stethoscope_sample_age_seconds gauge\n"
        b"postmortem_stethoscope_sample_age_seconds 1\n"
    )


class _Scheduler:
    """A scheduler whose nannies answer if `answers` is true."""

    def __init__(self) -> None:
        self.handlers: dict[str, Any] = {}
        self.answers = True

    def rpc(self, nanny: str) -> Any:
        async def page() -> dict[str, bytes]:
            if not self.answers:
                raise OSError(f"{nanny} is gone")
            return {"page": b"page"}

        return types.SimpleNamespace(stethoscope_page=page)


def test_frozen_worker_is_forgotten_with_its_nanny() -> None:
    from stethoscope.dask import postmortem

    now = 0.0
    scheduler = _Scheduler()
    kept = postmortem.Postmortems(scheduler, clock=lambda: now)
    kept.froze("tcp://w", "w", "w:1", "tcp://nanny", True)
    ((path, _),) = kept.listed()
    identifier = path.removeprefix(postmortem.FROZEN_PATH)

    def is_listed_after(seconds: float, *, answers: bool) -> bool:
        nonlocal now
        now += seconds
        scheduler.answers = answers
        with contextlib.nullcontext() if answers else pytest.raises(OSError, match="is gone"):
            assert asyncio.run(kept.frozen_page(identifier)) == b"page"
        kept.expire()
        return list(kept.listed()) != []

    assert is_listed_after(0, answers=False)
    assert is_listed_after(299, answers=True)
    assert is_listed_after(299, answers=False)
    assert is_listed_after(299, answers=False)
    assert not is_listed_after(2, answers=False)


def test_log_says_how_long_a_worker_has_made_no_progress(monkeypatch, caplog, tmp_path) -> None:
    from stethoscope.dask import nanny

    path = tmp_path / "black-box"
    path.touch()
    box = types.SimpleNamespace(state=lambda: ("running", 0.0))
    monkeypatch.setattr(nanny, "BlackBoxReader", lambda _: box)
    monkeypatch.setattr(nanny, "INTERVAL", 0.001)

    async def watch() -> None:
        told: asyncio.Queue[bool] = asyncio.Queue()

        async def stethoscope_frozen(frozen: bool, **_: str) -> str:
            await told.put(frozen)
            return "OK"

        process = types.SimpleNamespace(
            status=types.SimpleNamespace(name="running"), on_exit=lambda _: None
        )
        watcher = nanny.Watcher(
            types.SimpleNamespace(
                address="tcp://nanny",
                handlers={},
                process=process,
                scheduler=types.SimpleNamespace(stethoscope_frozen=stethoscope_frozen),
                status=process.status,
            )
        )
        watcher.open(str(path), "w", "tcp://w", "w:1")
        # Ten seconds are allowed, and a process that ends is not frozen.
        for state in (("running", 10.0), ("dead", 60.0)):
            box.state = lambda state=state: state
            await asyncio.sleep(0.05)
            assert told.empty()
        box.state = lambda: ("running", 11.4)
        assert await told.get()
        box.state = lambda: ("running", 0.5)
        assert not await told.get()
        while "runs again" not in caplog.text:
            await asyncio.sleep(0.001)

    asyncio.run(asyncio.wait_for(watch(), 60))
    assert [record.getMessage() for record in caplog.records] == [
        "worker tcp://w is frozen: no progress for 11 s",
        "worker tcp://w runs again",
    ]


def test_pages_are_kept_until_scraped_twice_and_five_minutes() -> None:
    from stethoscope.dask import postmortem

    now = 0.0
    kept = postmortem.Postmortems(_Scheduler(), clock=lambda: now)

    def die(page: bytes = b"page") -> str:
        assert kept.died("tcp://w", "w", "w:1", {"signal": "SIGKILL"}, page) == "OK"
        return [path for path, _ in kept.listed()][-1].removeprefix(postmortem.POSTMORTEM_PATH)

    def is_listed(identifier: str) -> bool:
        kept.expire()
        return any(path.endswith(f"/{identifier}") for path, _ in kept.listed())

    scraped, ignored = die(), die()
    for _ in range(2):
        assert kept.last_page(scraped, counts=True) == b"page"
        assert kept.last_page(ignored, counts=False) == b"page"
    now = 299.0
    assert is_listed(scraped)
    assert is_listed(ignored)
    now = 301.0
    version = kept.version
    assert not is_listed(scraped)
    assert kept.version > version
    # Prometheus may still have the old list.
    assert kept.last_page(scraped, counts=True) == b"page"
    now = 3599.0
    assert is_listed(ignored)
    assert kept.last_page(scraped, counts=True) is None
    now = 3601.0
    assert not is_listed(ignored)

    first = die()
    for _ in range(postmortem.MOST_PAGES):
        last = die()
    assert kept.last_page(first, counts=True) is None
    assert kept.last_page(last, counts=True) == b"page"
    large = die(b"x" * postmortem.MOST_BYTES)
    assert not is_listed(last)
    assert is_listed(large)
    assert kept.died("tcp://w", "w", "w:1", {}, b"x" * (postmortem.MOST_BYTES + 1)) == "too large"
    assert is_listed(large)
