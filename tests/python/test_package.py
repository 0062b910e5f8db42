"""The package itself, without a cluster."""

from __future__ import annotations

import gc
import math
import sysconfig
from pathlib import Path

import pytest
import stethoscope
import yaml
from prometheus_client.parser import text_string_to_metric_families
from stethoscope._native import Page
from stethoscope.dask import settings
from stethoscope.dask.digests import BareDigests, TappedDigests

MEDIAN = "dask_worker_task_duration_median_seconds"


def values(page: Page) -> dict[tuple[str, ...], float]:
    """The samples of a page, by name and label values."""
    text = page.render("")[0].decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_installed_configuration_switches_it_on_and_tells_the_defaults() -> None:
    path = Path(sysconfig.get_path("data")) / "etc" / "dask" / "stethoscope.yaml"
    installed = yaml.safe_load(path.read_text())["distributed"]
    for server in ("scheduler", "worker"):
        assert installed[server]["preload"] == ["stethoscope.dask"]
    import dask

    with dask.config.set({"distributed.stethoscope": installed["stethoscope"]}):
        assert settings.load() == settings.Settings()
    keys = {name.replace("_", "-") for name in settings.Settings.__dataclass_fields__}
    assert installed["stethoscope"].keys() == keys


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("freshness", "soon"),
        ("freshness", "-1s"),
        ("window", 0),
        ("background-interval", "0s"),
        ("serve", "carrier-pigeon"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(key: str, value: object) -> None:
    import dask

    with (
        dask.config.set({f"distributed.stethoscope.{key}": value}),
        pytest.raises(ValueError, match=f"^distributed.stethoscope.{key}: "),
    ):
        settings.load()


def test_the_version_is_that_of_the_package() -> None:
    from importlib.metadata import version

    assert stethoscope.__version__ == version("stethoscope")


def test_samples_show_every_state_and_withdraw_what_is_unknown() -> None:
    page = Page("worker", 60.0)
    samples = page.samples(["dask_worker_tasks", "dask_worker_threads"])
    assert ("dask_worker_threads",) not in values(page)
    samples.publish([{"executing": 3, "of-a-later-dask": 1}, 4])
    shown = values(page)
    assert shown["dask_worker_tasks", "executing"] == 3
    assert shown["dask_worker_tasks", "of-a-later-dask"] == 1
    assert shown["dask_worker_tasks", "memory"] == 0
    assert shown["dask_worker_threads",] == 4

    samples.publish([{"memory": 2}, 5.5])
    shown = values(page)
    assert shown["dask_worker_tasks", "executing"] == 0
    assert shown["dask_worker_tasks", "of-a-later-dask"] == 0
    assert shown["dask_worker_tasks", "memory"] == 2
    assert shown["dask_worker_threads",] == 5.5

    samples.withdraw(0)
    assert not any(name == "dask_worker_tasks" for name, *_ in values(page))
    samples.publish([{}, 1])
    assert values(page)["dask_worker_tasks", "memory"] == 0


@pytest.mark.parametrize("value", [None, "four", {"executing": None}, {1: 1}, [1]])
def test_what_is_no_value_is_refused(value: object) -> None:
    samples = Page("worker", 60.0).samples(["dask_worker_tasks"])
    with pytest.raises(TypeError):
        samples.publish([value])


def test_families_are_those_of_the_catalogue_and_role() -> None:
    for family in ("dask_worker_nonsense", "dask_scheduler_clients", MEDIAN, "python_info"):
        with pytest.raises(ValueError, match=family):
            Page("worker", 60.0).samples([family])
    with pytest.raises(ValueError, match="already on the page"):
        Page("worker", 60.0).samples(["dask_worker_threads", "dask_worker_threads"])
    with pytest.raises(ValueError, match="gardener"):
        Page("gardener", 60.0)


def test_the_garbage_collector_is_counted_from_the_interpreters_start() -> None:
    page = Page("worker", 60.0)
    watcher = page.gc_watcher()
    gc.callbacks.append(watcher)
    try:
        watcher.seed(gc.get_stats)
        for generation in (0, 1, 2):
            knot: list = []
            knot.append(knot)
            del knot
            gc.collect(generation)
        gc.disable()
        stats = gc.get_stats()
        shown = values(page)
    finally:
        gc.enable()
        gc.callbacks.remove(watcher)
    for generation, expected in enumerate(stats):
        for what, name in {
            "collections": "python_gc_collections_total",
            "collected": "python_gc_objects_collected_total",
            "uncollectable": "python_gc_objects_uncollectable_total",
        }.items():
            assert shown[name, str(generation)] == expected[what], (name, generation)


class Recorder:
    """A digest as crick's."""

    intervals = (5, 60)

    def __init__(self) -> None:
        self.added: list[float] = []
        self.shifts = 0
        self.components = [self]

    def add(self, item: float) -> None:
        self.added.append(item)

    def shift(self) -> None:
        self.shifts += 1

    def size(self) -> float:
        return len(self.added)


def test_digests_of_dask_get_everything_too() -> None:
    from collections import defaultdict

    inner = defaultdict(Recorder)
    inner["latency"].add(1.0)
    page = Page("worker", 60.0)
    digests = TappedDigests(page, {"task-duration": MEDIAN}, inner)
    digests["task-duration"].add(2.0)
    digests["task-duration"].update([2.0, 2])
    digests["latency"].add(3.0)
    for digest in digests.values():
        digest.shift()

    assert set(digests) == {"latency", "task-duration"}
    assert inner["task-duration"].added == [2.0, 2.0, 2.0]
    assert inner["latency"].added == [1.0, 3.0]
    assert [digest.shifts for digest in inner.values()] == [1, 1]
    tapped = digests["task-duration"]
    assert tapped.components == [inner["task-duration"]]
    assert tapped.intervals == (5, 60)
    assert tapped.size() == 3
    assert values(page)[MEDIAN,] == pytest.approx(2.0, rel=0.01)


def test_without_crick_digests_look_as_empty_as_before() -> None:
    page = Page("worker", 60.0)
    digests = BareDigests(page, {"task-duration": MEDIAN})
    assert math.isnan(values(page)[MEDIAN,])
    digests["task-duration"].add(0.5)
    digests["latency"].add(1.0)
    digests["execute", "thread-cpu", "seconds"].add(1.0)
    assert not digests
    assert list(digests) == list(digests.values()) == list(digests.items()) == []
    assert values(page)[MEDIAN,] == pytest.approx(0.5, rel=0.01)


def test_the_page_follows_the_accept_header() -> None:
    page = Page("scheduler", 60.0)
    body, content_type = page.render("application/openmetrics-text;version=1.0.0")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith(b"# EOF\n")
    body, content_type = page.render("text/html,*/*;q=0.8")
    assert content_type.startswith("text/plain; version=0.0.4")
    assert not body.endswith(b"# EOF\n")
