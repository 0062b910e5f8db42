"""Metrics of Python processes that others read: while they run, and after they died."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import stethoscope


def start(script: str, directory: Path | None = None) -> subprocess.Popen[str]:
    environment = dict(os.environ)
    environment.pop("STETHOSCOPE_SEGMENT_DIR", None)
    if directory is not None:
        environment["STETHOSCOPE_SEGMENT_DIR"] = str(directory)
    return subprocess.Popen(
        [sys.executable, "-c", script],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def samples(page: bytes) -> list[str]:
    return [line for line in page.decode().splitlines() if not line.startswith("#")]


COUNT = """
import stethoscope, sys
rows = stethoscope.counter("rows_read", "Rows.", labels=["table"])
rows.labels("orders").inc(1000)
stethoscope.gauge("depth").set(-2.5)
with stethoscope.histogram("seconds", buckets=[1, 60]).time():
    rows.labels("orders").inc(1)
print("ready", flush=True)
sys.stdin.read()
"""


def test_killed_process_leaves_its_last_page(directory: Path) -> None:
    process = start(COUNT, directory)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    [file] = directory.iterdir()
    alive = samples(stethoscope.read_segment(str(file)))
    process.kill()
    process.wait()
    process.communicate()
    dead = samples(stethoscope.read_segment(str(file)))
    assert "stethoscope_process_alive 1" in alive
    assert "stethoscope_process_alive 0" in dead
    for page in alive, dead:
        assert 'rows_read_total{table="orders"} 1001' in page
        assert "depth -2.5" in page
        assert 'seconds_bucket{le="1"} 1' in page or 'seconds_bucket{le="1.0"} 1' in page


def test_stopped_process_is_read(directory: Path) -> None:
    process = start(COUNT, directory)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)
    [file] = directory.iterdir()
    page = samples(stethoscope.read_segment(str(file)))
    process.kill()
    process.communicate()
    assert 'stethoscope_process_state{stethoscope_process_state="stopped"} 1' in page
    assert 'rows_read_total{table="orders"} 1001' in page


def test_children_count_in_files_of_their_own(directory: Path) -> None:
    script = f"""
import multiprocessing, stethoscope
path = stethoscope.configure(segment_dir={str(directory)!r})
jobs = stethoscope.counter("jobs", labels=["kind"])
jobs.labels("parent").inc(5)
def work(number):
    jobs.labels("parent").inc(number)
    jobs.labels("child").inc(10)
context = multiprocessing.get_context("fork")
children = [context.Process(target=work, args=(number,)) for number in (1, 2)]
for child in children:
    child.start()
for child in children:
    child.join()
    assert child.exitcode == 0
print(path)
"""
    process = start(script)
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    counted = []
    for file in sorted(directory.iterdir()):
        page = samples(stethoscope.read_segment(str(file)))
        counted += [line for line in page if line.startswith("jobs_total")]
        if str(file) == output.strip():
            assert 'jobs_total{kind="parent"} 5' in page
    assert sorted(counted) == [
        'jobs_total{kind="child"} 10',
        'jobs_total{kind="child"} 10',
        'jobs_total{kind="parent"} 1',
        'jobs_total{kind="parent"} 2',
        'jobs_total{kind="parent"} 5',
    ]


def test_children_that_count_nothing_leave_no_files(directory: Path) -> None:
    script = f"""
import multiprocessing, os, pathlib, stethoscope, subprocess
directory = pathlib.Path({str(directory)!r})
stethoscope.configure(segment_dir=str(directory))
jobs = stethoscope.counter("jobs", "Jobs.", labels=["kind"])
jobs.labels("parent").inc(5)
seconds = stethoscope.histogram("seconds")
for _ in range(30):
    subprocess.run(["true"], preexec_fn=lambda: None, check=True)
    assert len(list(directory.iterdir())) <= 9
context = multiprocessing.get_context("fork")
for target in 30 * [os.getpid] + 3 * [jobs.labels("parent").inc]:
    child = context.Process(target=target)
    child.start()
    child.join()
for _ in range(3):
    if os.fork() == 0:
        raise SystemExit
    os.wait()
"""
    process = start(script)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    pages = [samples(stethoscope.read_segment(str(file))) for file in directory.iterdir()]
    counted = [line for page in pages for line in page if line.startswith("jobs_total")]
    one = 'jobs_total{kind="parent"} 1'
    assert sorted(counted) == [one, one, one, 'jobs_total{kind="parent"} 5']


def test_configure_after_the_first_metric_raises(directory: Path) -> None:
    script = f"""
import stethoscope
stethoscope.counter("early").inc()
stethoscope.configure(segment_dir={str(directory)!r})
"""
    _, errors = start(script).communicate()
    assert "RuntimeError: expected no metrics yet" in errors
    assert list(directory.iterdir()) == []


def test_configure_twice_raises(directory: Path) -> None:
    script = f"""
import stethoscope
stethoscope.configure(segment_dir={str(directory)!r})
stethoscope.configure(segment_dir={str(directory)!r})
"""
    _, errors = start(script).communicate()
    assert "RuntimeError: the process has a segment already" in errors
    assert len(list(directory.iterdir())) == 1


def test_unusable_directory_of_the_environment_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    process = start(COUNT, tmp_path / "file")
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    _, errors = process.communicate()
    assert process.returncode == 0
    assert "RuntimeWarning: STETHOSCOPE_SEGMENT_DIR: " in errors


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        stethoscope.read_segment(str(tmp_path / "missing"))
    other = tmp_path / "other"
    other.write_text("text")
    with pytest.raises(ValueError, match="not a segment"):
        stethoscope.read_segment(str(other))
