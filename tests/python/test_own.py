"""Metrics of one's own, in any Python process."""

from __future__ import annotations

import gc
import math
import os
import pickle
import socket
import threading
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

import stethoscope
from stethoscope import Registry


@pytest.fixture
def registry() -> Registry:
    return Registry()


def samples(registry: Registry) -> dict[str, float]:
    """What the page shows: `name{label="value"}` to value."""
    page, _ = registry.page()
    lines = [line for line in page.decode().splitlines() if not line.startswith("#")]
    return {series: float(value) for series, value in (line.rsplit(" ", 1) for line in lines)}


def test_a_counter_goes_up(registry: Registry) -> None:
    rows = registry.counter("rows_read", "Rows read.")
    rows.inc()
    rows.inc(41.5)
    rows.inc(amount=0)
    assert rows.value == 42.5
    assert registry.page()[0].decode() == (
        "# HELP rows_read_total Rows read.\n# TYPE rows_read_total counter\nrows_read_total 42.5\n"
    )


@pytest.mark.parametrize("amount", [-1, -1e-9, math.nan, math.inf])
def test_a_counter_does_not_go_down(registry: Registry, amount: float) -> None:
    rows = registry.counter("rows_read")
    with pytest.raises(ValueError, match="only goes up"):
        rows.inc(amount)
    assert rows.value == 0


def test_a_gauge_goes_anywhere(registry: Registry) -> None:
    queue = registry.gauge("queue_length", "Waiting.")
    queue.set(10)
    queue.inc()
    queue.inc(0.5)
    queue.dec(2)
    queue.dec()
    assert queue.value == samples(registry)["queue_length"] == 8.5
    queue.set_to_current_time()
    assert queue.value > 1.7e9


def test_a_histogram_counts_in_its_buckets(registry: Registry) -> None:
    sizes = registry.histogram("size_bytes", "Sizes.", buckets=[1, 10, math.inf])
    for size in (0.5, 1, 5, 50):
        sizes.observe(size)
    assert samples(registry) == {
        'size_bytes_bucket{le="1.0"}': 2,
        'size_bytes_bucket{le="10.0"}': 3,
        'size_bytes_bucket{le="+Inf"}': 4,
        "size_bytes_sum": 56.5,
        "size_bytes_count": 4,
    }


def test_a_summary_tells_quantiles(registry: Registry) -> None:
    sizes = registry.summary("size_bytes", "Sizes.", quantiles=[0.9, 0.5], window=3600)
    for size in range(1, 1001):
        sizes.observe(size)
    page = samples(registry)
    assert page['size_bytes{quantile="0.5"}'] == pytest.approx(500, rel=0.01)
    assert page['size_bytes{quantile="0.9"}'] == pytest.approx(900, rel=0.01)
    assert (page["size_bytes_sum"], page["size_bytes_count"]) == (500500, 1000)


@pytest.mark.parametrize("kind", ["histogram", "summary"])
def test_the_time_of_a_block_is_observed_however_it_is_left(registry: Registry, kind: str) -> None:
    seconds = getattr(registry, kind)("query_seconds", "Queries.")
    with seconds.time():
        pass
    with pytest.raises(KeyError), seconds.time():
        raise KeyError
    page = samples(registry)
    assert page["query_seconds_count"] == 2
    assert page["query_seconds_sum"] > 0


def test_labels_are_given_in_order_or_by_name_as_str_has_them(registry: Registry) -> None:
    rows = registry.counter("rows_read", "Rows.", ["table", "shard"])
    rows.labels("orders", 7).inc()
    rows.labels(shard="7", table="orders").inc()
    rows.labels('"quoted"\n', None).inc(3)
    assert samples(registry) == {
        'rows_read_total{table="orders",shard="7"}': 2,
        'rows_read_total{table="\\"quoted\\"\\n",shard="None"}': 3,
    }
    assert rows.remove("orders", 7)
    assert not rows.remove(table="orders", shard=7)
    assert len(samples(registry)) == 1


def test_labels_must_fit(registry: Registry) -> None:
    rows = registry.counter("rows_read", "Rows.", labels=["table"])
    for values, named in [((), {}), (("a", "b"), {}), (("a",), {"table": "b"}), ((), {"shard": 1})]:
        with pytest.raises(ValueError, match=r'one value for each of the labels \["table"\]'):
            rows.labels(*values, **named)
    with pytest.raises(ValueError, match="choose a series"):
        rows.inc()
    with pytest.raises(ValueError, match="choose a series"):
        _ = rows.value
    with pytest.raises(ValueError, match="chosen already"):
        rows.labels("a").labels("b")
    with pytest.raises(ValueError, match="has no labels"):
        registry.gauge("plain").labels("a")
    # A string is a sequence of strings, which nobody means.
    with pytest.raises(TypeError, match=r'labels are a list of names, such as \["table"\], not'):
        registry.gauge("depth", "", "table")
    with pytest.raises(TypeError, match="help is a string, and labels come after it"):
        registry.gauge("depth", ["table"])


def test_the_same_name_is_the_same_metric(registry: Registry) -> None:
    first = registry.counter("rows_read", "Rows.", ["table"])
    again = registry.counter("rows_read_total", "In other words.", ["table"])
    first.labels("a").inc()
    again.labels("a").inc()
    assert first.labels("a").value == 2
    sizes = registry.histogram("size_bytes", buckets=[1, 10])
    registry.histogram("size_bytes").observe(5)
    registry.histogram("size_bytes", buckets=[1, 10, math.inf]).observe(5)
    sizes.observe(5)
    assert samples(registry)["size_bytes_count"] == 3
    # What nobody said the first time is what there is by default.
    registry.summary("by_default")
    registry.summary("by_default", quantiles=[0.99, 0.5, 0.9], window=60)


def test_the_same_name_for_something_else_is_refused(registry: Registry) -> None:
    registry.counter("rows_read", labels=["table"], max_series=5)
    registry.histogram("size_bytes", buckets=[1, 10])
    registry.summary("age_seconds", quantiles=[0.5], window=60)
    with pytest.raises(ValueError, match="is a counter already: it can't be a gauge"):
        registry.gauge("rows_read")
    with pytest.raises(ValueError, match=r'labels \["table"\], not \["shard"\]'):
        registry.counter("rows_read", labels=["shard"])
    with pytest.raises(ValueError, match="max_series 5, not 6"):
        registry.counter("rows_read", labels=["table"], max_series=6)
    with pytest.raises(ValueError, match=r"buckets \[1.0, 10.0\], not \[1.0\]"):
        registry.histogram("size_bytes", buckets=[1])
    with pytest.raises(ValueError, match=r"quantiles \[0.5\], not \[0.9\]"):
        registry.summary("age_seconds", quantiles=[0.9])
    with pytest.raises(ValueError, match=r"window \[60.0\], not \[5.0\]"):
        registry.summary("age_seconds", window=5)
    # A line of a histogram would have this name.
    with pytest.raises(ValueError, match="size_bytes_count"):
        registry.gauge("size_bytes_count")


@pytest.mark.parametrize(
    ("kind", "name", "options"),
    [
        ("counter", "1st", {}),
        ("counter", "", {}),
        ("gauge", "größe", {}),
        ("gauge", "depth", {"labels": ["__name__"]}),
        ("gauge", "depth", {"labels": ["a", "a"]}),
        ("histogram", "size", {"labels": ["le"]}),
        ("histogram", "size", {"buckets": [2, 1]}),
        ("histogram", "size", {"buckets": [math.nan]}),
        ("summary", "size", {"quantiles": [50]}),
        ("summary", "size", {"quantiles": []}),
        ("summary", "size", {"window": 0}),
        ("summary", "size", {"window": -1}),
    ],
)
def test_what_prometheus_would_not_read_is_refused(
    registry: Registry, kind: str, name: str, options: dict
) -> None:
    with pytest.raises(ValueError, match=r"."):
        getattr(registry, kind)(name, **options)
    assert samples(registry) == {}


def test_a_full_family_counts_what_it_refuses_and_fails_nobody(registry: Registry) -> None:
    rows = registry.counter("rows_read", "Rows.", ["table"], max_series=2)
    for table in "abcd":
        series = rows.labels(table)
        series.inc()
    assert series.value == 0
    page = samples(registry)
    assert page['rows_read_total{table="b"}'] == 1
    assert page['stethoscope_series_refused_total{family="rows_read_total"}'] == 2
    assert sum(name.startswith("rows_read_total") for name in page) == 2


def test_no_increment_is_lost_between_threads(registry: Registry) -> None:
    rows = registry.counter("rows_read", "Rows.", ["table"])

    def work() -> None:
        for number in range(10_000):
            rows.labels(str(number % 7)).inc()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(samples(registry).values()) == 40_000


def test_names_of_dasks_pages_are_kept_for_them() -> None:
    for name in ["dask_worker_rows", "stethoscope_rows", "process_open_fds", "python"]:
        with pytest.raises(ValueError, match="Dask"):
            stethoscope.gauge(name)
    with pytest.raises(ValueError, match="Dask"):
        stethoscope.counter("process_cpu_seconds")
    # Of a registry apart they are nobody's.
    Registry().gauge("dask_worker_rows")


def test_pickled_it_is_the_metric_of_that_name_where_it_arrives() -> None:
    rows = stethoscope.counter("pickled_rows", "Rows.", ["table"], max_series=3)
    for metric in [rows, rows.labels("a")]:
        copy = pickle.loads(pickle.dumps(metric))
        assert repr(copy) == repr(metric)
    pickle.loads(pickle.dumps(rows.labels("a"))).inc()
    assert rows.labels("a").value == 1
    sizes = stethoscope.histogram("pickled_bytes", buckets=[1, 2])
    pickle.loads(pickle.dumps(sizes)).observe(1)
    ages = stethoscope.summary("pickled_seconds", quantiles=[0.25], window=10)
    pickle.loads(pickle.dumps(ages)).observe(1)
    depth = stethoscope.gauge("pickled_depth")
    pickle.loads(pickle.dumps(depth)).set(5)
    assert depth.value == 5
    with pytest.raises(TypeError, match="registry that other processes do not have"):
        pickle.dumps(Registry().gauge("depth"))


def test_what_arrives_is_registered_when_it_is_used() -> None:
    # As on a scheduler, which unpickles the tasks that it passes on.
    depth = stethoscope.gauge("arriving_depth", labels=["queue"])
    pickles = [pickle.dumps(depth), pickle.dumps(depth.labels("a"))]
    assert stethoscope.unregister("arriving_depth")
    unused = [pickle.loads(pickle.loads(pickle.dumps(pickled))) for pickled in pickles]
    # It travels on unused, too.
    family, series = (pickle.loads(pickle.dumps(metric)) for metric in unused)
    assert b"arriving_depth" not in stethoscope.page()[0]
    series.set(5)
    assert b'arriving_depth{queue="a"} 5\n' in stethoscope.page()[0]
    assert family.labels("a").value == 5
    assert repr(family) == repr(depth)


def test_what_does_not_fit_where_it_arrives_is_an_error_of_its_use() -> None:
    here = stethoscope.histogram("unfit_seconds", labels=["a"], buckets=[1, 2])
    pickled = pickle.dumps(here.labels("x"))
    assert stethoscope.unregister("unfit_seconds")
    stethoscope.histogram("unfit_seconds", labels=["b"], buckets=[1, 2, 3])
    arrived = pickle.loads(pickled)
    for _ in range(2):
        with pytest.raises(ValueError, match="unfit_seconds is there already with the labels"):
            arrived.observe(1)
    # What made it fit, where it was, makes it fit here.
    stethoscope.unregister("unfit_seconds")
    arrived.observe(1)
    assert b'unfit_seconds_count{a="x"} 1\n' in stethoscope.page()[0]


def test_a_metric_can_be_defined_otherwise_once_it_is_gone(registry: Registry) -> None:
    rows = registry.counter("rows_total", labels=["table"])
    rows.labels("a").inc()
    with pytest.raises(ValueError, match="is a counter already"):
        registry.gauge("rows")
    assert registry.unregister("rows_total")
    assert not registry.unregister("rows_total")
    registry.gauge("rows").set(2)
    rows.labels("a").inc()
    assert samples(registry) == {"rows": 2}
    assert registry.unregister("rows")
    registry.counter("rows", labels=["table"]).labels("a").inc()
    assert samples(registry) == {'rows_total{table="a"}': 1}
    assert registry.unregister("rows")
    assert not registry.page()[0]


def test_a_summary_may_be_of_values_of_any_size(registry: Registry) -> None:
    times = registry.summary("taken_nanoseconds", quantiles=[0.5], range=(1e9, 1e19))
    times.observe(1.7e18)
    shown = samples(registry)['taken_nanoseconds{quantile="0.5"}']
    assert shown == pytest.approx(1.7e18, rel=0.01)
    with pytest.raises(ValueError, match="range"):
        registry.summary("taken_nanoseconds", range=(1, 2))
    with pytest.raises(ValueError, match="range of a quantile"):
        registry.summary("wrong", range=(2, 1))


def test_a_page_can_be_served_without_dask(registry: Registry) -> None:
    registry.gauge("depth", "Depth.").set(3)
    with registry.serve() as server:
        with urllib.request.urlopen(server.url, timeout=30) as response:
            page = response.read().decode()
        families = {family.name for family in text_string_to_metric_families(page)}
        assert {"depth", "process_cpu_seconds", "process_open_fds"} <= families
        registry.counter("later").inc()
        with urllib.request.urlopen(server.url, timeout=30) as response:
            assert b"later_total 1\n" in response.read()
        with pytest.raises(OSError, match=str(server.port)):
            registry.serve(server.port)
    with socket.create_server(("127.0.0.1", server.port)):
        server.stop()


def test_a_server_that_nobody_keeps_goes_on(registry: Registry) -> None:
    registry.gauge("depth").set(3)
    url = registry.serve().url
    gc.collect()
    with urllib.request.urlopen(url, timeout=30) as response:
        assert b"depth 3\n" in response.read()


def test_the_page_comes_in_the_format_that_is_asked_for(registry: Registry) -> None:
    registry.counter("rows").inc()
    page, content_type = registry.page("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert page.endswith(b"# EOF\n")


def test_a_forked_child_goes_on_by_itself() -> None:
    rows = stethoscope.counter("forked_rows")
    rows.inc()
    child = os.fork()
    if child == 0:
        rows.inc(10)
        os._exit(int(rows.value))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 11
    assert rows.value == 1


def test_asking_and_dropping_leaks_nothing(registry: Registry) -> None:
    def resident() -> int:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    rows = registry.counter("rows", "", ["table"])

    def churn(times: int) -> None:
        for number in range(times):
            rows.labels(f"{number}").inc()
            rows.remove(f"{number}")
            registry.counter("rows", "", ["table"])
        registry.page()

    churn(20_000)
    before = resident()
    for _ in range(5):
        churn(20_000)
    # Of 100,000 series that came and went, not one byte each.
    assert resident() - before < 100_000 * 10
