"""Metrics that users define, in any Python process."""

from __future__ import annotations

import asyncio
import errno
import gc
import http.client
import math
import os
import pickle
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import AsyncGenerator, Callable, Generator

import cloudpickle
import delimited
import pytest
from prometheus_client.parser import text_string_to_metric_families

import stethoscope
from stethoscope import Registry


@pytest.fixture
def registry() -> Registry:
    return Registry()


def samples(registry: Registry) -> dict[str, float]:
    """The samples of the page: `name{label="value"}` to value."""
    page, _ = registry.page()
    lines = [line for line in page.decode().splitlines() if not line.startswith("#")]
    return {series: float(value) for series, value in (line.rsplit(" ", 1) for line in lines)}


def test_counter_goes_up(registry: Registry) -> None:
    rows = registry.counter("rows_read", "Rows read.")
    rows.inc()
    rows.inc(41.5)
    rows.inc(amount=0)
    assert rows.value == 42.5
    assert registry.page()[0].decode() == (
        "# HELP rows_read_total Rows read.\n# TYPE rows_read_total counter\nrows_read_total 42.5\n"
    )


@pytest.mark.parametrize("amount", [-1, -1e-9, math.nan, math.inf])
def test_counter_refuses_to_go_down(registry: Registry, amount: float) -> None:
    rows = registry.counter("rows_read")
    with pytest.raises(ValueError, match="only goes up"):
        rows.inc(amount)
    assert rows.value == 0


def test_gauge_goes_up_and_down(registry: Registry) -> None:
    queue = registry.gauge("queue_length", "Waiting.")
    queue.set(10)
    queue.inc()
    queue.inc(0.5)
    queue.dec(2)
    queue.dec()
    assert queue.value == samples(registry)["queue_length"] == 8.5
    queue.set_to_current_time()
    assert queue.value > 1.7e9


def test_histogram_counts_in_its_buckets(registry: Registry) -> None:
    sizes = registry.histogram("size_bytes", "Sizes.", buckets=[1, 10, math.inf])
    for size in (0.5, 1, 5, 50):
        sizes.observe(size)
    assert samples(registry) == {
        'size_bytes_bucket{le="1"}': 2,
        'size_bytes_bucket{le="10"}': 3,
        'size_bytes_bucket{le="+Inf"}': 4,
        "size_bytes_sum": 56.5,
        "size_bytes_count": 4,
    }


def test_summary_shows_quantiles(registry: Registry) -> None:
    sizes = registry.summary("size_bytes", "Sizes.", quantiles=[0.9, 0.5], window=3600)
    for size in range(1, 1001):
        sizes.observe(size)
    page = samples(registry)
    assert page['size_bytes{quantile="0.5"}'] == pytest.approx(500, rel=0.01)
    assert page['size_bytes{quantile="0.9"}'] == pytest.approx(900, rel=0.01)
    assert (page["size_bytes_sum"], page["size_bytes_count"]) == (500500, 1000)


def native(registry: Registry, name: str) -> list[delimited.Histogram]:
    """The series of a family of histograms on the protobuf page."""
    page, content_type = registry.page(delimited.ACCEPT)
    assert content_type.startswith("application/vnd.google.protobuf")
    return delimited.histograms(page, name)


def test_native_histogram_needs_no_buckets(registry: Registry) -> None:
    seconds = registry.histogram("query_seconds", "Queries.", native=True)
    for value in (1, 1.05, 2, 1000, 0, -3, math.nan):
        seconds.observe(value)
    (histogram,) = native(registry, "query_seconds")
    assert (histogram.schema, histogram.zero, histogram.count) == (3, 2, 6)
    # Eight buckets from one power of two to the next.
    positive = [index for index, count in enumerate(histogram.native) if count]
    assert positive == [0, 1, 8, 80]
    assert histogram.sum == 1004.05
    assert histogram.bounds == []
    # In text there is but the bucket that everything is in.
    assert samples(registry) == {
        'query_seconds_bucket{le="+Inf"}': 6,
        "query_seconds_sum": 1004.05,
        "query_seconds_count": 6,
    }


def test_native_histogram_with_buckets_has_both(registry: Registry) -> None:
    seconds = registry.histogram("query_seconds", buckets=[1, 10], native=True)
    for value in (0.5, 5, 50):
        seconds.observe(value)
    (histogram,) = native(registry, "query_seconds")
    assert sum(histogram.native) == 3
    assert histogram.bounds == [1, 10]
    page = samples(registry)
    assert page['query_seconds_bucket{le="1"}'] == 1
    assert page['query_seconds_bucket{le="10"}'] == 2


def test_native_histogram_with_labels_has_series(registry: Registry) -> None:
    seconds = registry.histogram("query_seconds", "", ["table"], native=True, max_series=2)
    orders = seconds.labels("orders")
    orders.observe(1)
    with seconds.labels(table="users").time():
        pass

    @orders.time()
    def query() -> None:
        pass

    query()
    seconds.labels("dropped").observe(1)
    by_table = {series.labels["table"]: series for series in native(registry, "query_seconds")}
    assert {table: series.count for table, series in by_table.items()} == {"orders": 2, "users": 1}
    assert by_table["orders"].sum > 1
    with pytest.raises(ValueError, match="choose a series"):
        seconds.observe(1)
    assert seconds.remove("users")
    assert [series.labels for series in native(registry, "query_seconds")] == [{"table": "orders"}]
    assert repr(orders) == "<stethoscope histogram query_seconds('orders',)>"


def test_native_histogram_is_widened_by_values_far_apart(registry: Registry) -> None:
    seconds = registry.histogram("query_seconds", native=True)
    for exponent in range(-100, 101):
        seconds.observe(2.0**exponent)
    (histogram,) = native(registry, "query_seconds")
    assert histogram.count == sum(histogram.native) == 201
    assert histogram.schema < 3
    assert len(histogram.native) <= 160


def test_histogram_asked_for_again_is_native_or_not_as_before(registry: Registry) -> None:
    first = registry.histogram("native_bytes", native=True)
    registry.histogram("native_bytes").observe(1)
    registry.histogram("native_bytes", native=True).observe(1)
    first.observe(1)
    assert native(registry, "native_bytes")[0].count == 3
    with pytest.raises(ValueError, match="native_bytes is registered already with native true"):
        registry.histogram("native_bytes", native=False)
    with pytest.raises(ValueError, match=r"with buckets \[\], not \[1.0\]"):
        registry.histogram("native_bytes", buckets=[1])
    classic = registry.histogram("classic_bytes")
    with pytest.raises(ValueError, match="classic_bytes is registered already with native false"):
        registry.histogram("classic_bytes", native=True)
    registry.histogram("classic_bytes", native=False).observe(1)
    classic.observe(1)
    assert samples(registry)["classic_bytes_count"] == 2
    # A metric of another name, kind or type comes after an unregistered one.
    assert registry.unregister("native_bytes")
    registry.histogram("native_bytes", native=False).observe(1)
    first.observe(1)
    assert samples(registry)['native_bytes_bucket{le="1"}'] == 1
    with pytest.raises(TypeError, match="native"):
        registry.histogram("wrong", native="yes")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unexpected keyword argument 'native'"):
        registry.summary("wrong", native=True)  # type: ignore[call-arg]


def test_pickled_native_histogram_stays_native() -> None:
    seconds = stethoscope.histogram("pickled_native_seconds", labels=["table"], native=True)
    pickled = pickle.dumps(seconds.labels("a"))
    timer = pickle.dumps(seconds.labels("a").time())
    pickle.loads(pickled).observe(1)
    assert stethoscope.unregister("pickled_native_seconds")
    pickle.loads(pickled).observe(1)
    with pickle.loads(timer):
        pass
    (series,) = native(stethoscope._registry, "pickled_native_seconds")
    assert (series.labels, series.count, sum(series.native)) == ({"table": "a"}, 2, 2)
    # Where the metric has become a classic one, the arriving one does not fit.
    assert stethoscope.unregister("pickled_native_seconds")
    stethoscope.histogram("pickled_native_seconds", labels=["table"])
    with pytest.raises(ValueError, match="already with native false, not true"):
        pickle.loads(pickled).observe(1)
    assert stethoscope.unregister("pickled_native_seconds")


@pytest.mark.parametrize("kind", ["histogram", "summary"])
def test_timer_observes_block_that_raises(registry: Registry, kind: str) -> None:
    seconds = getattr(registry, kind)("query_seconds", "Queries.")
    with seconds.time():
        pass
    with pytest.raises(KeyError), seconds.time():
        raise KeyError
    page = samples(registry)
    assert page["query_seconds_count"] == 2
    assert page["query_seconds_sum"] > 0


def test_timer_nested_and_shared_by_threads_observes_each_block(registry: Registry) -> None:
    seconds = registry.histogram("query_seconds", "Queries.")
    timer = seconds.time()

    def work() -> None:
        for _ in range(20):
            with timer, timer:
                time.sleep(0.001)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    page = samples(registry)
    assert page["query_seconds_count"] == 8 * 20 * 2
    assert page["query_seconds_sum"] >= 8 * 20 * 2 * 0.001


def test_timer_shared_by_asyncio_tasks_observes_each_block(registry: Registry) -> None:
    seconds = registry.histogram("query_seconds", "Queries.", buckets=[0.05, 0.15])
    timer = seconds.time()

    async def block(pause: float) -> None:
        with timer:
            await asyncio.sleep(pause)

    async def both() -> None:
        # The first to begin is the first to end: not a stack.
        await asyncio.gather(block(0.01), block(0.1))

    asyncio.run(both())
    page = samples(registry)
    assert page['query_seconds_bucket{le="0.05"}'] == 1
    assert page['query_seconds_bucket{le="0.15"}'] == 2


@pytest.mark.parametrize("kind", ["histogram", "summary"])
def test_timer_decorates_every_kind_of_function(registry: Registry, kind: str) -> None:
    seconds = getattr(registry, kind)("query_seconds", "Queries.")
    counted = iter(range(1, 100))

    def observed() -> None:
        page = samples(registry)
        assert page["query_seconds_count"] == (calls := next(counted))
        assert page["query_seconds_sum"] >= calls * 0.01

    @seconds.time()
    def function(value: int) -> int:
        """Double it."""
        time.sleep(0.01)
        return 2 * value

    assert function(3) == 6
    assert (function.__name__, function.__doc__) == ("function", "Double it.")
    observed()

    @seconds.time()
    def recursive(depth: int) -> int:
        time.sleep(0.01)
        return 0 if depth == 0 else 1 + recursive(depth - 1)

    assert recursive(1) == 1
    next(counted)
    observed()

    @seconds.time()
    def generator() -> Generator[int, int, str]:
        sent = yield 1
        time.sleep(0.01)
        yield sent
        return "end"

    def delegate() -> Generator[int, int, None]:
        assert (yield from generator()) == "end"

    values = delegate()
    assert (next(values), values.send(7)) == (1, 7)
    assert list(values) == []
    observed()

    @seconds.time()
    async def coroutine() -> str:
        await asyncio.sleep(0.011)
        return "done"

    assert asyncio.run(coroutine()) == "done"
    observed()

    @seconds.time()
    async def async_generator() -> AsyncGenerator[int, int]:
        try:
            sent = yield 1
        except KeyError:
            sent = -1
        await asyncio.sleep(0.011)
        yield sent

    async def consume() -> None:
        values = async_generator()
        assert await anext(values) == 1
        assert await values.asend(7) == 7
        assert [value async for value in values] == []
        observed()
        values = async_generator()
        assert await anext(values) == 1
        assert await values.athrow(KeyError) == -1
        await values.aclose()
        observed()

    asyncio.run(consume())

    @seconds.time()
    def failing() -> None:
        time.sleep(0.01)
        raise KeyError

    with pytest.raises(KeyError):
        failing()
    observed()


def test_timer_above_a_static_or_class_method_times_it(registry: Registry) -> None:
    seconds = registry.histogram("seconds")

    class Job:
        @seconds.time()
        @staticmethod
        def double(number: int) -> int:
            return 2 * number

        @seconds.time()
        @classmethod
        def name(cls) -> str:
            return cls.__name__

    assert (Job.double(2), Job().double(3), Job.name(), Job().name()) == (4, 6, "Job", "Job")
    assert samples(registry)["seconds_count"] == 4


@pytest.mark.parametrize("other", [3, "run", None, property(len)])
def test_timer_refuses_to_decorate_other_objects(registry: Registry, other: object) -> None:
    with pytest.raises(TypeError, match="a timer decorates a function, not a"):
        registry.histogram("seconds").time()(other)


def test_timer_travels_with_a_pickled_function() -> None:
    seconds = stethoscope.histogram("pickled_timer_seconds")
    with pickle.loads(pickle.dumps(seconds.time())):
        pass

    @seconds.time()
    def function() -> int:
        return 5

    assert cloudpickle.loads(cloudpickle.dumps(function))() == 5
    assert b"pickled_timer_seconds_count 2\n" in stethoscope.page()[0]


def test_gauge_beside_counter_of_that_name_is_another_metric(registry: Registry) -> None:
    registry.counter("rows").inc()
    registry.gauge("rows").set(5)
    assert samples(registry) == {"rows_total": 1, "rows": 5}
    assert registry.unregister("rows")
    assert samples(registry) == {"rows_total": 1}
    assert registry.unregister("rows")
    assert samples(registry) == {}


@pytest.mark.parametrize("port", [-1, 65536, 99999])
def test_serve_names_a_port_that_does_not_exist(registry: Registry, port: int) -> None:
    with pytest.raises(ValueError, match=f"invalid port {port}: expected 0 to 65535"):
        registry.serve(port)


def test_unknown_option_is_refused(registry: Registry) -> None:
    with pytest.raises(TypeError, match=r"gauge\(\) got an unexpected keyword argument 'buckets'"):
        registry.gauge("depth", buckets=[1])  # type: ignore[call-arg]


def test_open_descriptors_are_counted_when_they_run_out(registry: Registry) -> None:
    with registry.serve(prometheus_client=False) as server:
        # Kept alive: a new connection would need descriptors of its own.
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)

        def counted() -> float:
            connection.request("GET", "/metrics")
            page = connection.getresponse().read().decode()
            (line,) = [line for line in page.splitlines() if line.startswith("process_open_fds ")]
            return float(line.split()[1])

        before = counted()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        taken = []
        try:
            while True:
                taken.append(os.open("/dev/null", os.O_RDONLY))
        except OSError as error:
            assert error.errno == errno.EMFILE  # noqa: PT017
            assert counted() == before + len(taken)
        finally:
            for descriptor in taken:
                os.close(descriptor)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        connection.close()


def test_fork_while_a_page_is_rendered_leaves_the_child_able_to_render(registry: Registry) -> None:
    for number in range(2000):
        registry.gauge(f"depth_{number}").set(number)
    stop = threading.Event()

    def render() -> None:
        while not stop.is_set():
            registry.page()

    thread = threading.Thread(target=render)
    thread.start()
    try:
        for _ in range(50):
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                registry.page()
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        stop.set()
        thread.join()


def test_labels_are_given_in_order_or_by_name(registry: Registry) -> None:
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


def test_wrong_labels_are_refused(registry: Registry) -> None:
    rows = registry.counter("rows_read", "Rows.", labels=["table"])
    for values, named in [((), {}), (("a", "b"), {}), (("a",), {"table": "b"}), ((), {"shard": 1})]:
        with pytest.raises(ValueError, match=r'one value for each of the labels \["table"\]'):
            rows.labels(*values, **named)
    pairs = registry.counter("pairs", labels=["a", "b"])
    with pytest.raises(ValueError, match='it has no label "c"'):
        pairs.labels(a="x", c="y")
    with pytest.raises(ValueError, match="all in order, or all by name"):
        pairs.labels("x", b="y")
    with pytest.raises(ValueError, match="choose a series"):
        rows.inc()
    with pytest.raises(ValueError, match="choose a series"):
        _ = rows.value
    with pytest.raises(ValueError, match="chosen already"):
        rows.labels("a").labels("b")
    with pytest.raises(ValueError, match="has no labels"):
        registry.gauge("plain").labels("a")
    # A string is a sequence of strings, which nobody means.
    with pytest.raises(
        TypeError, match=r'labels must be a list of names, such as \["table"\], not'
    ):
        registry.gauge("depth", "", "table")
    with pytest.raises(TypeError, match="help must be a string, followed by the labels"):
        registry.gauge("depth", ["table"])


def test_same_name_is_the_same_metric(registry: Registry) -> None:
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


def test_same_name_with_other_options_is_refused(registry: Registry) -> None:
    registry.counter("rows_read", labels=["table"], max_series=5)
    registry.histogram("size_bytes", buckets=[1, 10])
    registry.summary("age_seconds", quantiles=[0.5], window=60)
    with pytest.raises(ValueError, match="is a counter already: it can't be a gauge"):
        registry.gauge("rows_read_total")
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
def test_invalid_names_and_options_are_refused(
    registry: Registry, kind: str, name: str, options: dict
) -> None:
    with pytest.raises(ValueError, match=r"."):
        getattr(registry, kind)(name, **options)
    assert samples(registry) == {}


def test_full_family_drops_updates_and_counts_them(registry: Registry) -> None:
    rows = registry.counter("rows_read", "Rows.", ["table"], max_series=2)
    for table in "abcd":
        series = rows.labels(table)
        series.inc()
    assert series.value == 0
    page = samples(registry)
    assert page['rows_read_total{table="b"}'] == 1
    assert page['stethoscope_series_refused_total{family="rows_read_total"}'] == 2
    assert sum(name.startswith("rows_read_total") for name in page) == 2


def test_limit_of_no_series_is_refused(registry: Registry) -> None:
    for make in (registry.counter, registry.gauge, registry.histogram, registry.summary):
        with pytest.raises(ValueError, match="invalid max_series 0: expected at least 1, or None"):
            make("rows_read", max_series=0)
    assert samples(registry) == {}


def test_refused_series_counts_once_there_is_room(registry: Registry) -> None:
    rows = registry.counter("rows_read", "Rows.", ["table"], max_series=1)
    rows.labels("a").inc()
    refused = rows.labels("b")
    refused.inc()
    assert refused.value == 0
    assert rows.remove("a")
    refused.inc(2)
    assert refused.value == 2
    assert samples(registry)['rows_read_total{table="b"}'] == 2


def test_threads_lose_no_increment(registry: Registry) -> None:
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


def test_names_of_dask_pages_are_reserved() -> None:
    for name in ["dask_worker_rows", "stethoscope_rows", "process_open_fds", "python"]:
        with pytest.raises(ValueError, match="Dask"):
            stethoscope.gauge(name)
    with pytest.raises(ValueError, match="Dask"):
        stethoscope.counter("process_cpu_seconds")
    # In a registry apart the name is free.
    Registry().gauge("dask_worker_rows")


def test_objects_are_equal_if_they_are_the_same_series(registry: Registry) -> None:
    jobs = registry.counter("jobs", labels=["queue"])
    assert jobs == registry.counter("jobs_total", labels=["queue"])
    assert jobs.labels("a") == jobs.labels(queue="a")
    assert len({jobs, jobs.labels("a"), jobs.labels("b"), jobs.labels("a")}) == 3
    assert jobs.labels(1) == jobs.labels("1")
    for other in [
        jobs.labels("a"),
        registry.counter("tasks", labels=["queue"]),
        Registry().counter("jobs", labels=["queue"]),
        registry.gauge("jobs_now"),
        "jobs",
    ]:
        assert jobs != other
    native = registry.histogram("native_seconds", native=True)
    assert native == registry.histogram("native_seconds", native=True)
    assert native != registry.histogram("classic_seconds")
    assert registry.summary("seconds") == registry.summary("seconds")


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda r: r.counter(""), r"can't register \"\": a name cannot be empty"),
        (lambda r: r.gauge("no-hyphen"), r"\"no-hyphen\".*beginning with a digit$"),
        (lambda r: r.gauge("g", labels=["no-hyphen"]), r"\"no-hyphen\".*beginning with a digit$"),
        (lambda r: r.gauge("g", "\ud800"), "help has characters that are no text"),
        (lambda r: r.summary("s", window=-1), "a window of 0.006 seconds to 6 years.*found -1$"),
        (lambda r: r.summary("s", window=math.nan), "a window of .*found NaN$"),
        (lambda r: r.summary("s", window=3e9), "a window of .*found 3000000000$"),
    ],
)
def test_errors_speak_of_what_was_given(
    registry: Registry, call: Callable[[Registry], object], error: str
) -> None:
    with pytest.raises(ValueError, match=error):
        call(registry)


def test_pickled_metric_is_the_one_of_that_name() -> None:
    rows = stethoscope.counter("pickled_rows", "Rows.", ["table"], max_series=3)
    for metric in [rows, rows.labels("a")]:
        copy = pickle.loads(pickle.dumps(metric))
        assert copy == metric
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


def test_unpickled_metric_is_registered_at_first_use() -> None:
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


def test_unpickled_metric_that_does_not_fit_raises_when_used() -> None:
    here = stethoscope.histogram("unfit_seconds", labels=["a"], buckets=[1, 2])
    pickled = pickle.dumps(here.labels("x"))
    assert stethoscope.unregister("unfit_seconds")
    stethoscope.histogram("unfit_seconds", labels=["b"], buckets=[1, 2, 3])
    arrived = pickle.loads(pickled)
    for _ in range(2):
        with pytest.raises(ValueError, match="unfit_seconds is registered already with labels"):
            arrived.observe(1)
    # What made it fit, where it was, makes it fit here.
    stethoscope.unregister("unfit_seconds")
    arrived.observe(1)
    assert b'unfit_seconds_count{a="x"} 1\n' in stethoscope.page()[0]


def test_unregistered_name_can_be_defined_differently(registry: Registry) -> None:
    rows = registry.counter("rows_total", labels=["table"])
    rows.labels("a").inc()
    with pytest.raises(ValueError, match="is a counter already"):
        registry.gauge("rows_total")
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


def test_summary_keeps_the_last_quantiles_on_request(registry: Registry) -> None:
    window = 0.06
    kept = registry.summary("kept", quantiles=[0.5], window=window, keep_last=True)
    dropped = registry.summary("dropped", quantiles=[0.5], window=window)
    for summary in (kept, dropped):
        summary.observe(3)
    time.sleep(3 * window)
    shown = samples(registry)
    assert math.isnan(shown['dropped{quantile="0.5"}'])
    assert shown['kept{quantile="0.5"}'] == pytest.approx(3, rel=0.01)
    assert registry.summary("kept", keep_last=True) is not None
    with pytest.raises(ValueError, match="already with keep_last true, not false"):
        registry.summary("kept", keep_last=False)


def test_signal_that_the_program_waits_for_reaches_it() -> None:
    program = """
import signal, stethoscope
server = stethoscope.serve()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
print("ready", flush=True)
print(signal.sigwait([signal.SIGTERM]).name, flush=True)
"""
    for _ in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout.readline() == "ready\n"
            # The kernel may give it to any thread that does not block it.
            child.terminate()
            assert child.communicate(timeout=30)[0] == "SIGTERM\n"
            assert child.returncode == 0


def test_summary_range_covers_large_values(registry: Registry) -> None:
    times = registry.summary("taken_nanoseconds", quantiles=[0.5], range=(1e9, 1e19))
    times.observe(1.7e18)
    shown = samples(registry)['taken_nanoseconds{quantile="0.5"}']
    assert shown == pytest.approx(1.7e18, rel=0.01)
    with pytest.raises(ValueError, match="range"):
        registry.summary("taken_nanoseconds", range=(1, 2))
    with pytest.raises(ValueError, match="expected a range of values"):
        registry.summary("wrong", range=(2, 1))


def test_serve_without_dask(registry: Registry) -> None:
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


def test_dropped_server_keeps_serving(registry: Registry) -> None:
    registry.gauge("depth").set(3)
    url = registry.serve().url
    gc.collect()
    with urllib.request.urlopen(url, timeout=30) as response:
        assert b"depth 3\n" in response.read()


def test_page_has_the_requested_format(registry: Registry) -> None:
    registry.counter("rows").inc()
    page, content_type = registry.page("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert page.endswith(b"# EOF\n")


OPENMETRICS_2 = "application/openmetrics-text; version=2.0.0"


def test_page_is_openmetrics_2_if_switched_on_and_asked_for(registry: Registry) -> None:
    registry.histogram("wait_seconds", buckets=[0.5]).observe(0.25)
    line = b"wait_seconds {count:1,sum:0.25,bucket:[0.5:1,+Inf:1]}\n"
    page, content_type = registry.page(OPENMETRICS_2, openmetrics2=True)
    assert content_type.startswith(OPENMETRICS_2)
    assert line in page
    # Off unless switched on, and not for a client that does not name it.
    for accept, switched_on in [(OPENMETRICS_2, False), ("", True)]:
        page, content_type = registry.page(accept, openmetrics2=switched_on)
        assert content_type.startswith("text/plain")
        assert b'wait_seconds_bucket{le="0.5"} 1\n' in page
    with pytest.raises(TypeError):
        registry.page(OPENMETRICS_2, True)  # type: ignore[misc]


@pytest.mark.parametrize("switched_on", [True, False])
def test_server_sends_openmetrics_2_if_switched_on(registry: Registry, switched_on: bool) -> None:
    registry.histogram("wait_seconds", buckets=[0.5]).observe(0.25)
    with registry.serve(prometheus_client=False, openmetrics2=switched_on) as server:
        check_openmetrics_2(server, switched_on)


def check_openmetrics_2(server: stethoscope.Server, switched_on: bool) -> None:
    """A scraper that asks for OpenMetrics 2.0 gets it, or 1.0 if that is not switched on."""
    accept = f"{OPENMETRICS_2}, application/openmetrics-text; version=1.0.0; q=0.5"
    request = urllib.request.Request(server.url, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=30) as response:
        version = "2.0.0" if switched_on else "1.0.0"
        assert f"version={version}" in response.headers["Content-Type"]
        lines = response.read().decode().splitlines()
    assert lines[-1] == "# EOF"
    assert ("wait_seconds {count:1,sum:0.25,bucket:[0.5:1,+Inf:1]}" in lines) == switched_on
    assert ("wait_seconds_count 1" in lines) != switched_on


def test_forked_child_counts_separately() -> None:
    # In a process of its own: in this one a Dask server may have put the metrics in a segment,
    # where a child begins with 0.
    script = """
import os
import stethoscope

rows = stethoscope.counter("forked_rows")
rows.inc()
child = os.fork()
if child == 0:
    rows.inc(10)
    os._exit(int(rows.value))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), rows.value)
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.stdout == "11 1.0\n", result.stderr


def test_lookups_and_removals_leak_nothing(registry: Registry) -> None:
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
