"""The package itself, without a cluster."""

from __future__ import annotations

import gc
import logging
import math
import re
import sysconfig
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import delimited
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

import stethoscope.dask
from stethoscope._native import Page
from stethoscope.dask import settings
from stethoscope.dask.digests import ForwardingDigests, NoCrickDigests

HERE = Path(__file__).parent

MEDIAN = "dask_worker_task_duration_median_seconds"


def answer(page: Page, accept: str = "") -> tuple[str, bytes]:
    """The content type and the body for who accepts this."""
    status, headers, body = page.respond("", accept, "")
    assert status == 200
    return dict(headers)["Content-Type"], body


def values(page: Page) -> dict[tuple[str, ...], float]:
    """The samples of a page, by name and label values."""
    text = answer(page)[1].decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def installed_configuration() -> dict[str, Any]:
    path = Path(sysconfig.get_path("data")) / "etc" / "dask" / "stethoscope.yaml"
    return yaml.safe_load(path.read_text())["distributed"]


def test_installed_configuration_repeats_the_defaults() -> None:
    import dask

    installed = installed_configuration()["stethoscope"]
    assert list(installed) == settings.keys()
    with dask.config.set({"distributed.stethoscope": installed}):
        assert settings.load() == settings.Settings()


def test_installed_preload_names_the_package_and_is_read_as_text() -> None:
    installed = installed_configuration()
    for server in ("scheduler", "worker"):
        (text,) = installed[server]["preload"]
        # Dask takes a preload with a blank for a script, unless it ends like a file's name.
        assert " " in text
        assert not text.endswith(".py")
        assert text.startswith("# stethoscope: ")
        namespace: dict[str, Any] = {}
        exec(text, namespace)
        assert namespace["dask_setup"] is stethoscope.dask.dask_setup
        assert namespace["dask_teardown"] is stethoscope.dask.dask_teardown


def test_each_key_is_documented() -> None:
    document = (HERE.parents[1] / "src" / "python" / "CONFIGURATION.md").read_text()
    for key, value in installed_configuration()["stethoscope"].items():
        row = re.search(rf"^\| `{key}` \| `([^`]+)` \|", document, flags=re.MULTILINE)
        assert row is not None, key
        assert yaml.safe_load(row[1]) == value, key
    for old in [*settings.RENAMED_KEYS, *settings.RENAMED_MODES]:
        assert f"`{old}`" in document


@pytest.fixture
def logged() -> Iterator[list[logging.LogRecord]]:
    """Collect the records of the package's logger, which Dask's own handlers do not pass on."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logger = logging.getLogger("distributed.stethoscope")
    logger.addHandler(handler)
    yield records
    logger.removeHandler(handler)


def load(configured: Any) -> settings.Settings:
    """Load settings from this value of `distributed.stethoscope`."""
    import dask

    with dask.config.set({"distributed.stethoscope": configured}):
        return settings.load()


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("refresh-timeout", "soon", 'expected a number and a unit, for example "20ms", found'),
        ("refresh-timeout", -1, "expected a number and a unit"),
        ("refresh-timeout", None, "expected a number and a unit"),
        ("window", 0, "expected a finite duration of at least 1s, found 0"),
        ("refresh-interval", "0s", "expected a finite duration of at least 0.01s, found '0s'"),
        ("enabled", "perhaps", "expected true or false, found 'perhaps'"),
        ("serve", "carrier-pigeon", "expected one of take-over, dedicated-port, route, found"),
        ("serve", ["route"], "expected one of take-over, dedicated-port, route, found"),
        ("address", 9000, "expected HOST:PORT"),
        ("address", "localhost", "expected HOST:PORT"),
        ("address", "localhost:65536", "expected HOST:PORT"),
        ("address", "::1:9000", "expected HOST:PORT"),
        ("advertise-address", "", "expected HOST, HOST:PORT or :PORT"),
        ("advertise-address", "host:0", "expected HOST, HOST:PORT or :PORT"),
        ("advertise-address", "http://host", "expected HOST, HOST:PORT or :PORT"),
        ("targets-file", "", "expected the path of a file, or null, found ''"),
        ("max-task-prefixes", True, "expected a whole number of at least 0, found True"),
        ("max-task-prefixes", -1, "expected a whole number of at least 0, found -1"),
        ("buckets", [1, 1], "expected a list of ascending seconds"),
        ("buckets", "many", "expected a list of ascending seconds"),
        ("native-histograms", "yes", "expected true or false, found 'yes'"),
        ("native-histograms", 1, "expected true or false, found 1"),
        ("exclude-families", "python_info", "expected a list of family names"),
        ("labels", ["cluster"], "expected a mapping"),
        ("worker-name-label", 1, "expected true or false, found 1"),
        ("openmetrics2", "2.0.0", "expected true or false, found '2.0.0'"),
    ],
)
def test_wrong_value_is_logged_and_replaced_by_its_default(
    key: str, value: object, words: str, logged: list[logging.LogRecord]
) -> None:
    others = {"labels": {"cluster": "blue"}} if key != "labels" else {"enabled": False}
    loaded = load({**others, key: value})
    expected = settings.Settings(**others)
    assert loaded == expected
    (record,) = logged
    assert record.levelname == "ERROR"
    assert record.getMessage().startswith(f"distributed.stethoscope.{key}: {words}")
    assert record.getMessage().endswith("; using the default")


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("refresh-timeot", "did you mean 'refresh-timeout'?"),
        ("exclude_family", "did you mean 'exclude-families'?"),
        ("colour-of-the-sky", "known keys: enabled, serve, "),
    ],
)
def test_unknown_key_is_warned_of_with_the_nearest_known_one(
    key: str, hint: str, logged: list[logging.LogRecord]
) -> None:
    assert load({key: "1s"}) == settings.Settings()
    (record,) = logged
    assert record.levelname == "WARNING"
    assert f"distributed.stethoscope.{key.replace('_', '-')} is ignored" in record.getMessage()
    assert hint in record.getMessage()


def test_deprecated_spellings_work_and_are_warned_of(logged: list[logging.LogRecord]) -> None:
    # As beside the installed file, which has each new key with its default.
    defaults = installed_configuration()["stethoscope"]
    old = {
        "freshness": "50ms",
        "background_interval": "3s",
        "leave-out": ["python_info"],
        "serve": "own-address",
    }
    assert load({**defaults, **old}) == settings.Settings(
        refresh_timeout=0.05,
        refresh_interval=3.0,
        exclude_families=["python_info"],
        serve="dedicated-port",
    )
    messages = {record.getMessage() for record in logged}
    assert messages == {
        f"distributed.stethoscope.{old} is deprecated: use {new}"
        for old, new in [
            ("freshness", "refresh-timeout"),
            ("background-interval", "refresh-interval"),
            ("leave-out", "exclude-families"),
            ("serve: own-address", "serve: dedicated-port"),
        ]
    }


def test_new_key_that_was_set_wins_over_its_deprecated_spelling(
    logged: list[logging.LogRecord],
) -> None:
    loaded = load({"freshness": "50ms", "refresh-timeout": "70ms"})
    assert loaded.refresh_timeout == 0.07


def test_booleans_are_read_from_the_words_of_the_environment(
    logged: list[logging.LogRecord],
) -> None:
    loaded = load({"enabled": "False", "worker-name-label": "true"})
    assert (loaded.enabled, loaded.worker_name_label) == (False, True)
    assert not logged


def test_section_that_is_not_a_mapping_leaves_the_defaults(
    logged: list[logging.LogRecord],
) -> None:
    assert load(["enabled"]) == settings.Settings()  # type: ignore[arg-type]
    assert "expected a mapping" in logged[0].getMessage()


def test_page_leaves_out_the_parts_of_the_settings_that_it_refuses(
    logged: list[logging.LogRecord],
) -> None:
    wanted = settings.Settings(
        window=1e12,
        exclude_families=["nothing", "python_info"],
        labels={"1st": "a", "cluster": "blue", "state": "b"},
        worker_name_label=True,
    )
    page = settings.make_page("worker", wanted, worker_name="alice")
    messages = [record.getMessage() for record in logged]
    assert len(messages) == 4
    assert messages[0].startswith("distributed.stethoscope.window: ")
    assert messages[0].endswith("; using the default")
    left_out = [
        ("exclude-families", '"nothing"', 'unknown family "nothing"'),
        ("labels", '1st: "a"', 'label "1st": '),
        ("labels", 'state: "b"', 'label "state" cannot be added to each series'),
    ]
    for message, (key, entry, reason) in zip(messages[1:], left_out, strict=True):
        start = f"distributed.stethoscope.{key}: the entry {entry} is left out: {reason}"
        assert message.startswith(start)
    text = answer(page)[1].decode()
    assert "python_info" not in text
    assert 'process_max_fds{cluster="blue",worker_name="alice"} ' in text


def test_label_that_is_given_twice_is_left_out_once(logged: list[logging.LogRecord]) -> None:
    wanted = settings.Settings(labels={"worker_name": "own"}, worker_name_label=True)
    page = settings.make_page("worker", wanted, worker_name="alice")
    (record,) = logged
    assert record.getMessage().startswith(
        'distributed.stethoscope.worker-name-label: the entry worker_name: "alice" is left out: '
    )
    assert 'process_max_fds{worker_name="own"} ' in answer(page)[1].decode()


def test_refused_label_leaves_the_other_settings_as_they_are(
    logged: list[logging.LogRecord],
) -> None:
    # With series for each worker, their label cannot be one of all series.
    wanted = settings.Settings(max_workers=3, labels={"worker_name": "a", "cluster": "blue"})
    page = settings.make_page("scheduler", wanted)
    (record,) = logged
    assert 'the entry worker_name: "a" is left out: ' in record.getMessage()
    assert 'process_max_fds{cluster="blue"} ' in answer(page)[1].decode()


@pytest.mark.parametrize("buckets", [None, [0.5, 5.0]])
@pytest.mark.parametrize("event", ["tick", "task"])
@pytest.mark.parametrize("role", ["scheduler", "worker"])
def test_durations_are_native_if_asked_for(
    role: str, event: str, buckets: list[float] | None
) -> None:
    wanted = settings.Settings(native_histograms=True, buckets=buckets)
    page = settings.make_page(role, wanted)
    digest = page.digest(event, None)
    for seconds in (0.25, 0.26, 8):
        digest.add(seconds)
    name = f"dask_{role}_{event}_duration_seconds"
    content_type, body = answer(page, delimited.ACCEPT)
    assert content_type.startswith("application/vnd.google.protobuf")
    (histogram,) = delimited.histograms(body, name)
    assert (histogram.count, histogram.sum, sum(histogram.native)) == (3, 8.51, 3)
    assert histogram.schema == 3
    assert histogram.bounds == (buckets or [])
    shown = values(page)
    bounds = {key[1] for key in shown if key[0] == f"{name}_bucket"}
    assert bounds == ({"0.5", "5", "+Inf"} if buckets else {"+Inf"})
    assert shown[f"{name}_count",] == 3


@pytest.mark.parametrize("role", ["scheduler", "worker"])
def test_openmetrics_2_is_sent_if_switched_on(role: str, logged: list[logging.LogRecord]) -> None:
    accept = "application/openmetrics-text; version=2.0.0, text/plain; q=0.5"
    content_type, _ = answer(settings.make_page(role, settings.Settings()), accept)
    assert content_type.startswith("text/plain")
    # A mistake elsewhere does not switch it off.
    wanted = settings.Settings(openmetrics2=True, exclude_families=["nothing"])
    page = settings.make_page(role, wanted)
    assert len(logged) == 1
    page.digest("tick", None).add(0.25)
    content_type, body = answer(page, accept)
    assert content_type.startswith("application/openmetrics-text; version=2.0.0")
    assert f"\ndask_{role}_tick_duration_seconds {{count:1,sum:0.25,bucket:[" in body.decode()


@pytest.mark.parametrize("switch", [stethoscope.dask.attach, stethoscope.dask.detach])
@pytest.mark.parametrize("client", [None, "tcp://127.0.0.1:8786"])
def test_object_that_is_not_a_client_is_refused(switch: Any, client: Any) -> None:
    with pytest.raises(
        TypeError, match=rf"expected a distributed\.Client, found {type(client).__name__}"
    ):
        switch(client)


@pytest.mark.parametrize(
    ("address", "means"),
    [
        (":0", ("", 0)),
        ("0.0.0.0:9000", ("0.0.0.0", 9000)),
        ("localhost:80", ("localhost", 80)),
        ("[::1]:9000", ("::1", 9000)),
    ],
)
def test_address_is_a_host_and_a_port(address: str, means: tuple[str, int]) -> None:
    import dask

    with dask.config.set({"distributed.stethoscope.address": address}):
        assert settings.load().address == means


def test_version_is_that_of_the_package() -> None:
    from importlib.metadata import version

    assert stethoscope.__version__ == version("stethoscope")


def test_samples_show_every_state_and_withdraw_unknown_values() -> None:
    page = Page("worker")
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
    samples.publish([{}, None])
    shown = values(page)
    assert shown["dask_worker_tasks", "memory"] == 0
    assert ("dask_worker_threads",) not in shown


def test_counter_restarts_only_after_it_was_withdrawn() -> None:
    page = Page("worker")
    name = "dask_worker_tick_count_total"
    samples = page.samples([name])
    shown = []
    for value in (10, 4, 11, None, 4, 5):
        samples.publish([value])
        shown.append(values(page).get((name,)))
    assert shown == [10, 10, 11, None, 4, 5]


def test_family_without_states_shows_only_current_label_values() -> None:
    page = Page("scheduler")
    samples = page.samples(["dask_semaphore_max_leases", "dask_semaphore_acquire_total"])
    samples.publish([{"a": 1, "b": 2}, {"a": 3, "b": 4}])
    samples.publish([{"b": 5}, {"b": 3}])
    shown = {key: value for key, value in values(page).items() if "semaphore" in key[0]}
    assert shown == {
        ("dask_semaphore_max_leases", "b"): 5,
        # A counter never shows less than it did.
        ("dask_semaphore_acquire_total", "b"): 4,
    }


#: The attributes of a task prefix.
COLUMNS = ["suspicious", "nbytes_total", "_all_durations_us", "states", "state_counts"]


def prefix(name: str, number: int = 1) -> SimpleNamespace:
    return SimpleNamespace(
        name=name,
        suspicious=number,
        nbytes_total=100 * number,
        _all_durations_us={"compute": 2_000_000 * number, "transfer": 500_000},
        states={"memory": number, "waiting": 0},
        state_counts={"memory": 3 * number, "forgotten": number},
    )


EXAMPLE = prefix("example")


def by_prefix(page: Page, name: str) -> dict[tuple[str, ...], float]:
    return {key[1:]: value for key, value in values(page).items() if key[0] == name}


def take(prefixes, *rows: SimpleNamespace) -> None:
    prefixes.begin()
    prefixes.take(list(rows))
    prefixes.finish()


def test_tasks_are_counted_by_prefix_and_in_total() -> None:
    page = Page("scheduler")
    prefixes = page.prefixes(EXAMPLE)
    take(prefixes)
    assert set(by_prefix(page, "dask_scheduler_tasks").values()) == {0}
    take(prefixes, prefix("inc"), prefix("add", 2))
    assert by_prefix(page, "dask_scheduler_tasks")["memory",] == 3
    assert by_prefix(page, "dask_scheduler_tasks_forgotten_total") == {(): 3}
    assert by_prefix(page, "dask_scheduler_task_transitions_total")["memory",] == 9
    assert by_prefix(page, "dask_scheduler_tasks_suspicious_total") == {("inc",): 1, ("add",): 2}
    assert by_prefix(page, "dask_scheduler_tasks_output_bytes") == {("inc",): 100, ("add",): 200}
    compute = by_prefix(page, "dask_scheduler_tasks_compute_seconds_total")
    assert compute == {("inc",): 2, ("add",): 4}
    transfer = by_prefix(page, "dask_scheduler_tasks_transfer_seconds_total")
    assert transfer == {("inc",): 0.5, ("add",): 0.5}
    assert by_prefix(page, "dask_scheduler_prefix_state_totals_total") == {
        ("inc", "memory"): 3,
        ("inc", "forgotten"): 1,
        ("add", "memory"): 6,
        ("add", "forgotten"): 2,
    }


def test_totals_never_fall_when_the_scheduler_forgets_a_prefix() -> None:
    page = Page("scheduler")
    prefixes = page.prefixes(EXAMPLE)
    take(prefixes, prefix("inc", 5), prefix("add", 2))
    take(prefixes, prefix("add", 2))
    assert by_prefix(page, "dask_scheduler_tasks_forgotten_total") == {(): 7}
    assert by_prefix(page, "dask_scheduler_tasks_suspicious_total") == {("inc",): 5, ("add",): 2}
    assert by_prefix(page, "dask_scheduler_tasks_output_bytes") == {("inc",): 0, ("add",): 200}
    assert by_prefix(page, "dask_scheduler_tasks")["memory",] == 2
    # It meets both again, one of them without a pass between.
    take(prefixes, prefix("inc", 1), prefix("add", 1))
    assert by_prefix(page, "dask_scheduler_tasks_forgotten_total") == {(): 9}
    assert by_prefix(page, "dask_scheduler_tasks_suspicious_total") == {("inc",): 6, ("add",): 3}


def test_prefixes_beyond_the_cap_are_summed() -> None:
    page = Page("scheduler", max_task_prefixes=2)
    prefixes = page.prefixes(EXAMPLE)
    take(prefixes, *(prefix(name) for name in "abcd"), prefix("other"))
    take(prefixes, *(prefix(name, 2) for name in "abcd"), prefix("other", 2))
    assert by_prefix(page, "stethoscope_task_prefixes_folded") == {(): 2}
    suspicious = by_prefix(page, "dask_scheduler_tasks_suspicious_total")
    assert suspicious == {("a",): 2, ("b",): 2, ("other",): 6}
    output = by_prefix(page, "dask_scheduler_tasks_output_bytes")
    assert output == {("a",): 200, ("b",): 200, ("other",): 600}
    assert by_prefix(page, "dask_scheduler_prefix_state_totals_total")["other", "memory"] == 18
    assert by_prefix(page, "dask_scheduler_tasks")["memory",] == 10
    assert by_prefix(page, "dask_scheduler_tasks_forgotten_total") == {(): 10}


def test_column_unknown_to_this_dask_is_not_shown() -> None:
    page = Page("scheduler")
    prefixes = page.prefixes(SimpleNamespace(states={}))
    for number in (5, 2):
        take(prefixes, SimpleNamespace(name="inc", states={"memory": number}))
    assert by_prefix(page, "dask_scheduler_tasks")["memory",] == 2
    names = {key[0] for key in values(page) if key[0].startswith("dask_")}
    assert names == {"dask_scheduler_tasks", "dask_scheduler_prefix_tasks"}


def test_prefix_is_read_again_when_its_tasks_have_moved() -> None:
    page = Page("scheduler")
    prefixes = page.prefixes(EXAMPLE)
    inc, add = prefix("inc"), prefix("add")
    take(prefixes, inc, add)
    inc.nbytes_total = 7
    take(prefixes, inc, add)
    assert by_prefix(page, "dask_scheduler_tasks_output_bytes")["inc",] == 7
    # A task that has moved brings all the rest with it.
    inc.state_counts["erred"] = 1
    inc.states["erred"] = 1
    inc.states["memory"] = 0
    inc.suspicious = 3
    inc._all_durations_us["compute"] = 9_000_000
    take(prefixes, inc, add)
    assert by_prefix(page, "dask_scheduler_tasks_suspicious_total")["inc",] == 3
    assert by_prefix(page, "dask_scheduler_tasks_compute_seconds_total")["inc",] == 9
    tasks = by_prefix(page, "dask_scheduler_tasks")
    assert (tasks["erred",], tasks["memory",]) == (1, 1)
    # In any order, and others in between.
    inc.suspicious, inc.state_counts["erred"] = 4, 2
    take(prefixes, prefix("sub"), add, inc)
    take(prefixes, inc, prefix("sub"))
    take(prefixes, inc, add)
    suspicious = by_prefix(page, "dask_scheduler_tasks_suspicious_total")
    assert suspicious == {("inc",): 4, ("sub",): 1, ("add",): 2}
    assert by_prefix(page, "dask_scheduler_tasks")["memory",] == 1


@pytest.mark.parametrize("number", [float, Fraction, Decimal, lambda n: n + 0.25])
def test_any_type_of_number_is_accepted(number: Callable[[int], Any]) -> None:
    page = Page("scheduler")
    prefixes = page.prefixes(EXAMPLE)
    inc = prefix("inc")
    for times in (1, 2):
        inc.suspicious = number(times)
        inc.nbytes_total = number(10 * times)
        inc._all_durations_us["compute"] = number(1_000_000 * times)
        inc.states["memory"] = number(3 * times)
        inc.state_counts["memory"] = number(4 * times)
        take(prefixes, inc)
        # What is counted is whole.
        assert by_prefix(page, "dask_scheduler_tasks_suspicious_total") == {("inc",): times}
        assert by_prefix(page, "dask_scheduler_tasks")["memory",] == 3 * times
        assert by_prefix(page, "dask_scheduler_task_transitions_total")["memory",] == 4 * times
        output = by_prefix(page, "dask_scheduler_tasks_output_bytes")
        assert output == {("inc",): number(10 * times)}
        compute = by_prefix(page, "dask_scheduler_tasks_compute_seconds_total")
        assert compute["inc",] == pytest.approx(times, abs=1e-6)


def test_result_sizes_may_be_any_number() -> None:
    page = Page("scheduler", max_task_prefixes=1)
    prefixes = page.prefixes(EXAMPLE)
    shown, folded, other = prefix("inc"), prefix("folded"), prefix("other")
    for bytes_ in (10.5, -3, 2**80, -(2**80), float("inf"), float("nan"), 7):
        shown.nbytes_total = folded.nbytes_total = bytes_
        other.nbytes_total = 2**62
        take(prefixes, shown, folded, other)
        output = by_prefix(page, "dask_scheduler_tasks_output_bytes")
        assert output["inc",] == bytes_ or math.isnan(bytes_)
        assert by_prefix(page, "dask_scheduler_tasks")["memory",] == 3
    # The value that could not be added up has left no trace.
    other.nbytes_total = 1
    take(prefixes, shown, folded, other)
    assert by_prefix(page, "dask_scheduler_tasks_output_bytes") == {("inc",): 7, ("other",): 8}


#: The family that shows each column by prefix, how much of it for each of `prefix`'s number,
#: and a value that is not one.
TOLD = {
    "suspicious": ("dask_scheduler_tasks_suspicious_total", (), 1, "often"),
    "nbytes_total": ("dask_scheduler_tasks_output_bytes", (), 100, []),
    "_all_durations_us": ("dask_scheduler_tasks_compute_seconds_total", (), 2, {"compute": "long"}),
    "state_counts": (
        "dask_scheduler_prefix_state_totals_total", ("memory",), 3, {"memory": None}
    ),
}  # fmt: skip


@pytest.mark.parametrize("wrong", ["missing", "none", "of another kind"])
@pytest.mark.parametrize("column", COLUMNS)
def test_unreadable_field_costs_only_itself(column: str, wrong: str) -> None:
    page = Page("scheduler")
    prefixes = page.prefixes(EXAMPLE)
    names = ("first", "inc", "last")
    rows = [prefix(name) for name in names]
    take(prefixes, *rows)
    for number in (2, 3):
        for row in rows:
            vars(row).update(vars(prefix(row.name, number)))
        if wrong == "missing":
            delattr(rows[1], column)
        else:
            *_, another = TOLD.get(column, [{"waiting": 1, "memory": "many"}])
            setattr(rows[1], column, None if wrong == "none" else another)
        prefixes.begin()
        ((attribute, whose, error),) = prefixes.take(rows)
        prefixes.finish()
        assert (attribute, whose) == (column, rows[1])
        assert isinstance(error, AttributeError if wrong == "missing" else TypeError)
        for of, (family, state, each, _) in TOLD.items():
            shown = by_prefix(page, family)
            values_ = [shown[(name, *state)] for name in names]
            if of == column == "nbytes_total":
                assert math.isnan(values_.pop(1))
            elif of == column:
                assert values_.pop(1) == each
            assert set(values_) == {each * number}
        tasks = {key[0]: value for key, value in by_prefix(page, "dask_scheduler_tasks").items()}
        assert tasks["memory"] == number * (2 if column == "states" else 3)
        assert tasks["waiting"] == 0
    # No task of it moves, and what was wrong is right again.
    vars(rows[1]).update(vars(prefix("inc", 3)))
    take(prefixes, *rows)
    undisturbed = Page("scheduler")
    take(undisturbed.prefixes(EXAMPLE), *rows)
    for family in {name for name, *_ in values(page) if name.startswith("dask_scheduler_")}:
        # A state without tasks has a series once there was one.
        shown, expected = (
            {key: value for key, value in by_prefix(one, family).items() if value or len(key) < 2}
            for one in (page, undisturbed)
        )
        assert shown == expected, family


def test_prefix_without_a_name_costs_only_itself() -> None:
    page = Page("scheduler")
    prefixes = page.prefixes(EXAMPLE)
    for name in (1, None, "\ud800", SimpleNamespace()):
        rows = [prefix("inc", 2), prefix("inc"), prefix("add", 2)]
        rows[1].name = name
        prefixes.begin()
        ((what, whose, _),) = prefixes.take(rows)
        prefixes.finish()
        assert (what, whose) == ("name", rows[1])
        assert by_prefix(page, "dask_scheduler_tasks")["memory",] == 4
        suspicious = by_prefix(page, "dask_scheduler_tasks_suspicious_total")
        assert suspicious == {("inc",): 2, ("add",): 2}


def test_forgotten_prefix_gives_its_series_to_one_that_needs_them() -> None:
    page = Page("scheduler", max_task_prefixes=2)
    prefixes = page.prefixes(EXAMPLE, activities=True)
    families = [
        "dask_scheduler_tasks_suspicious_total",
        "dask_scheduler_tasks_compute_seconds_total",
        "dask_scheduler_prefix_state_totals_total",
        "dask_scheduler_activity_seconds_total",
    ]
    sums: dict[str, float] = dict.fromkeys(families, 0.0)

    def totals_do_not_fall() -> None:
        for family in families:
            now = sum(by_prefix(page, family).values())
            assert now >= sums[family], family
            sums[family] = now

    take(prefixes, prefix("a", 3), prefix("b", 2), prefix("c", 1))
    activity = ("execute", "a", "thread-cpu", "seconds")
    prefixes.take_activities([(activity, 5.0)], 0)
    totals_do_not_fall()
    suspicious = "dask_scheduler_tasks_suspicious_total"
    assert by_prefix(page, suspicious) == {("a",): 3, ("b",): 2, ("other",): 1}
    # As long as nothing needs the room, what is forgotten stays.
    take(prefixes, prefix("b", 2))
    assert by_prefix(page, suspicious) == {("a",): 3, ("b",): 2, ("other",): 1}
    assert by_prefix(page, "stethoscope_task_prefixes_folded") == {(): 0}
    # `a` is gone for good: its series go to `c`, and what they counted to `other`.
    take(prefixes, prefix("b", 2), prefix("c", 4))
    totals_do_not_fall()
    take(prefixes, prefix("b", 2), prefix("c", 5))
    totals_do_not_fall()
    assert by_prefix(page, suspicious) == {("b",): 2, ("c",): 1, ("other",): 8}
    output = by_prefix(page, "dask_scheduler_tasks_output_bytes")
    assert output == {("b",): 200, ("c",): 500, ("other",): 0}
    tasks = by_prefix(page, "dask_scheduler_prefix_tasks")
    assert (tasks["b", "memory"], tasks["c", "memory"]) == (2, 5)
    assert tasks["other", "memory"] == 0
    assert by_prefix(page, "dask_scheduler_activity_seconds_total") == {
        ("execute", "other", "thread-cpu"): 5
    }
    prefixes.take_activities([(activity, 7.5)], 0)
    assert by_prefix(page, "dask_scheduler_activity_seconds_total") == {
        ("execute", "other", "thread-cpu"): 7.5
    }
    totals_do_not_fall()


def test_activities_are_counted_by_prefix_and_unit() -> None:
    page = Page("scheduler", max_task_prefixes=1)
    prefixes = page.prefixes(EXAMPLE, activities=True)
    take(prefixes, prefix("inc"), prefix("add"))
    metrics = {
        ("execute", "inc", "thread-cpu", "seconds"): 2.5,
        ("execute", "add", "thread-cpu", "seconds"): 1,
        ("execute", "never seen", "disk-read", "bytes"): 10,
        ("gather-dep", "network", "bytes"): 100,
        ("gather-dep", "network", "count"): 7,
        "latency": 3.0,
        ("odd",): 1,
        (1, 2, 3): 1,
    }
    for times in (1, 2):
        items = [(key, value * times) for key, value in metrics.items()]
        prefixes.take_activities(items[:3], 0)
        prefixes.take_activities(items[3:], 3)
        assert by_prefix(page, "dask_scheduler_activity_seconds_total") == {
            ("execute", "inc", "thread-cpu"): 2.5 * times,
            ("execute", "other", "thread-cpu"): 1 * times,
        }
        assert by_prefix(page, "dask_scheduler_activity_bytes_total") == {
            ("execute", "other", "disk-read"): 10 * times,
            ("gather-dep", "", "network"): 100 * times,
        }
    # In another order they are the same ones.
    items = [(key, value * 3) for key, value in reversed(metrics.items())]
    prefixes.take_activities(items, 0)
    seconds = by_prefix(page, "dask_scheduler_activity_seconds_total")
    assert seconds["execute", "inc", "thread-cpu"] == 7.5
    # Users can define any number of activities: not all have series.
    items = [(("execute", "inc", f"custom-{n}", "seconds"), 1.0) for n in range(1000)]
    prefixes.take_activities(items, 0)
    seconds = by_prefix(page, "dask_scheduler_activity_seconds_total")
    assert len(seconds) < 200
    assert seconds["execute", "inc", "other"] > 800


def worker(name: str, **changes: Any) -> SimpleNamespace:
    metrics = {
        "memory": 1000,
        "cpu": 50.0,
        "task_counts": {"executing": 2, "memory": 7},
        "spilled_bytes": {"memory": 30, "disk": 20},
    }
    known = {
        "address": f"tcp://{name}",
        "name": name,
        "memory_limit": 5000,
        "nthreads": 4,
        "last_seen": 100.0,
        "nbytes": 330,
        "processing": {},
        "executing": {},
        "metrics": metrics,
    }
    return SimpleNamespace(**(known | changes))


def take_workers(workers: Any, now: float, *all_: SimpleNamespace) -> None:
    workers.begin()
    assert workers.take(list(all_), now) == []
    workers.finish()


def test_workers_are_summed_on_the_schedulers_page() -> None:
    page = Page("scheduler")
    workers = page.workers()
    take_workers(workers, 103.0, worker("a"), worker("b", last_seen=101.0, nbytes=5000))
    assert by_prefix(page, "dask_scheduler_workers_memory_bytes") == {
        ("managed",): 1300,
        ("unmanaged",): 700,
        ("spilled",): 40,
    }
    assert by_prefix(page, "dask_scheduler_workers_memory_limit_bytes") == {(): 10000}
    assert by_prefix(page, "dask_scheduler_workers_threads") == {(): 8}
    assert by_prefix(page, "dask_scheduler_workers_executing") == {(): 4}
    assert by_prefix(page, "dask_scheduler_workers_cpu_percent") == {(): 100}
    (age,) = by_prefix(page, "dask_scheduler_worker_heartbeat_age_seconds").values()
    assert 3.0 <= age < 3.5
    # Between two passes it grows.
    time.sleep(0.02)
    (later,) = by_prefix(page, "dask_scheduler_worker_heartbeat_age_seconds").values()
    assert later >= age + 0.02
    # Before its first heartbeat a worker is known by what it said when it came.
    take_workers(workers, 104.0, worker("a", metrics={}))
    assert by_prefix(page, "dask_scheduler_workers_threads") == {(): 4}
    assert by_prefix(page, "dask_scheduler_workers_executing") == {}
    take_workers(workers, 105.0)
    assert by_prefix(page, "dask_scheduler_workers_threads") == {(): 0}
    assert by_prefix(page, "dask_scheduler_worker_heartbeat_age_seconds") == {(): 0}


def test_workers_have_series_of_their_own_up_to_the_cap() -> None:
    page = Page("scheduler", max_workers=2)
    workers = page.workers()
    take_workers(workers, 103.0, *(worker(name) for name in "abcd"))
    threads = "dask_scheduler_workers_threads"
    assert by_prefix(page, threads) == {("a",): 4, ("b",): 4, ("other",): 8}
    assert by_prefix(page, "dask_scheduler_workers_memory_bytes")["spilled", "a"] == 20
    take_workers(workers, 104.0, *(worker(name) for name in "bcd"))
    assert by_prefix(page, threads) == {("b",): 4, ("other",): 8}
    take_workers(workers, 105.0, *(worker(name, nthreads=1) for name in "bcd"))
    assert by_prefix(page, threads) == {("b",): 1, ("c",): 1, ("other",): 1}
    take_workers(workers, 106.0, worker("b"), worker("c"))
    assert by_prefix(page, threads) == {("b",): 4, ("c",): 4}


def test_oldest_processing_task_is_that_of_any_worker() -> None:
    page = Page("scheduler")
    workers = page.workers()

    def age(now: float, **executing: float) -> float:
        busy = worker("a", executing=executing, last_seen=100.0)
        take_workers(workers, now, worker("b", executing={"x": 0.5}, last_seen=now), busy)
        (shown,) = by_prefix(page, "dask_scheduler_oldest_processing_age_seconds").values()
        return shown

    assert 0.5 <= age(100.0) < 1
    # As of the heartbeat, and what has passed since.
    assert 7 <= age(102.0, x=3.0, y=5.0) < 7.5
    take_workers(workers, 105.0, worker("a"))
    assert by_prefix(page, "dask_scheduler_oldest_processing_age_seconds") == {(): 0}


def test_worker_without_a_name_costs_itself() -> None:
    page = Page("scheduler")
    workers = page.workers()
    workers.begin()
    odd = SimpleNamespace(name="odd")
    ((whose, error),) = workers.take([worker("a"), odd, worker("b")], 103.0)
    workers.finish()
    assert whose is odd
    assert isinstance(error, AttributeError)
    assert by_prefix(page, "dask_scheduler_workers_threads") == {(): 8}


def test_unfinished_pass_forgets_no_prefix() -> None:
    page = Page("scheduler", max_task_prefixes=1)
    prefixes = page.prefixes(EXAMPLE)
    rows = [prefix("inc", 5), prefix("add", 5), prefix("sub", 5)]
    take(prefixes, *rows)
    before = values(page)
    prefixes.begin()
    prefixes.take(rows[:1])
    take(prefixes, *rows)
    after = values(page)
    own = {key for key in before if key[0].startswith("dask_")}
    assert {key: after[key] for key in own} == {key: before[key] for key in own}


def test_finished_tasks_are_observed_and_passed_on() -> None:
    page = Page("scheduler", buckets=[0.5, 2.0])
    passed: list = []
    handler = page.task_finished(lambda *args, **message: passed.append((args, message)) or 7)
    spans = [
        {"action": "transfer", "start": 0.0, "stop": 100.0},
        {"action": "compute", "start": 10.0, "stop": 11.0},
    ]
    assert handler(key="x", startstops=spans) == 7
    for odd in ({}, {"startstops": None}, {"startstops": [{}]}, {"startstops": [spans[0]]}):
        handler(1, **odd)
    assert passed[0] == ((), {"key": "x", "startstops": spans})
    assert len(passed) == 5
    name = "dask_scheduler_task_duration_seconds"
    assert by_prefix(page, f"{name}_bucket") == {("0.5",): 0, ("2",): 1, ("+Inf",): 1}
    assert by_prefix(page, f"{name}_sum") == {(): 1.0}


def test_families_are_excluded_and_series_labelled() -> None:
    page = Page(
        "worker",
        left_out=["python_info", "dask_worker_threads", "process_open_fds"],
        labels=[("cluster", "blue")],
    )
    samples = page.samples(["dask_worker_threads", "dask_worker_connections"])
    samples.publish([1, 2])
    text = answer(page)[1].decode()
    assert 'dask_worker_connections{cluster="blue"} 2\n' in text
    assert 'process_max_fds{cluster="blue"} ' in text
    for name in ("python_info", "dask_worker_threads", "process_open_fds"):
        assert name not in text
    with pytest.raises(ValueError, match="dask_worker_treads"):
        Page("worker", left_out=["dask_worker_treads"])
    with pytest.raises(ValueError, match="cluster"):
        Page("worker", labels=[("cluster", "a"), ("cluster", "b")])


@pytest.mark.parametrize("value", ["four", {"executing": None}, {1: 1}, [1]])
def test_wrong_type_of_value_is_refused(value: object) -> None:
    samples = Page("worker").samples(["dask_worker_tasks"])
    with pytest.raises(TypeError):
        samples.publish([value])


def test_unknown_or_foreign_family_is_refused() -> None:
    for family in ("dask_worker_nonsense", "dask_scheduler_clients", MEDIAN, "python_info"):
        with pytest.raises(ValueError, match=family):
            Page("worker").samples([family])
    with pytest.raises(ValueError, match="is registered already"):
        Page("worker").samples(["dask_worker_threads", "dask_worker_threads"])
    with pytest.raises(ValueError, match="gardener"):
        Page("gardener")


def test_garbage_collections_are_counted_from_the_interpreters_start() -> None:
    page = Page("worker")
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


def test_dasks_own_digests_receive_everything_too() -> None:
    from collections import defaultdict

    inner = defaultdict(Recorder)
    inner["latency"].add(1.0)
    page = Page("worker")
    digests = ForwardingDigests(page, {"task-duration": "task"}, inner)
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


def test_digests_without_crick_look_empty() -> None:
    page = Page("worker")
    digests = NoCrickDigests(page, {"task-duration": "task"})
    assert math.isnan(values(page)[MEDIAN,])
    digests["task-duration"].add(0.5)
    digests["latency"].add(1.0)
    digests["execute", "thread-cpu", "seconds"].add(1.0)
    assert not digests
    assert list(digests) == list(digests.values()) == list(digests.items()) == []
    assert values(page)[MEDIAN,] == pytest.approx(0.5, rel=0.01)


def test_page_follows_the_accept_header() -> None:
    page = Page("scheduler")
    content_type, body = answer(page, "application/openmetrics-text;version=1.0.0")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith(b"# EOF\n")
    content_type, body = answer(page, "*/*;q=0.8")
    assert content_type.startswith("text/plain; version=0.0.4")
    assert not body.endswith(b"# EOF\n")
