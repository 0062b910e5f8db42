"""The metrics of prometheus_client on our pages, without Dask."""

from __future__ import annotations

import subprocess
import sys
import textwrap


def run(script: str) -> None:
    """Run a script in a process whose prometheus_client is untouched by other tests."""
    prelude = """
        import sys, time, urllib.request
        import stethoscope
        from stethoscope import _prometheus_client as collection

        TEXT = "text/plain;version=0.0.4"
        OPENMETRICS = "application/openmetrics-text;version=1.0.0"

        def lines(server, accept=TEXT, query=""):
            request = urllib.request.Request(server.url + query, headers={"Accept": accept})
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.read().decode().splitlines()

        def eventually(check):
            deadline = time.monotonic() + 30
            while not check():
                assert time.monotonic() < deadline, lines(server)
                time.sleep(0.05)
    """
    source = textwrap.dedent(prelude) + textwrap.dedent(script)
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_type_is_shown_in_text_and_openmetrics() -> None:
    run("""
        server = stethoscope.serve()
        assert "prometheus_client" not in sys.modules
        import prometheus_client as client

        rows = client.Counter("rows_read", "Rows read.", ["table"])
        rows.labels("orders").inc(3, exemplar={"trace": "t1"})
        client.Gauge("depth", "Depth.").set(2.5)
        sizes = client.Histogram("size_bytes", "Sizes.", unit="bytes", buckets=[1, 10])
        sizes.observe(5, exemplar={"trace": "t2"})
        client.Summary("age_seconds", "Ages.").observe(4)
        client.Info("build", "The build.").info({"version": "1.2"})
        client.Enum("phase", "The phase.", states=["idle", "busy"]).state("busy")
        eventually(lambda: 'phase{phase="busy"} 1' in lines(server))

        shown = lines(server)
        for line in [
            'rows_read_total{table="orders"} 3', "depth 2.5", 'build_info{version="1.2"} 1',
            'size_bytes_bucket{le="1"} 0', 'size_bytes_bucket{le="10"} 1',
            'size_bytes_bucket{le="+Inf"} 1', "size_bytes_sum 5", "size_bytes_count 1",
            "age_seconds_sum 4", "age_seconds_count 1",
            'phase{phase="idle"} 0', 'phase{phase="busy"} 1',
            "# HELP rows_read_total Rows read.", "# TYPE size_bytes histogram",
        ]:
            assert line in shown, (line, shown)
        assert sum(line.startswith("python_info{") for line in shown) <= 1
        assert sum(line.startswith("process_cpu_seconds_total ") for line in shown) == 1
        assert not any(line.startswith("python_gc_") for line in shown)

        # In OpenMetrics with units, exemplars and the library's own created timestamps.
        shown = lines(server, OPENMETRICS)
        stethoscope.parse("\\n".join(shown) + "\\n", "openmetrics")
        for line in ["# TYPE build info", "# TYPE phase stateset", "# UNIT size_bytes bytes"]:
            assert line in shown, (line, shown)
        theirs = client.openmetrics.exposition if hasattr(client, "openmetrics") else None
        from prometheus_client.openmetrics.exposition import generate_latest
        theirs = stethoscope.parse(generate_latest(client.REGISTRY), "openmetrics", lenient=True)
        ours = stethoscope.parse("\\n".join(shown) + "\\n", "openmetrics")
        ours = {family.name: family for family in ours}
        for family in theirs:
            if family.name in ("rows_read", "size_bytes", "age_seconds", "build", "phase", "depth"):
                key = lambda sample: (sample.name, sorted(sample.labels.items()))
                assert ours[family.name].type == family.type
                assert sorted(ours[family.name].samples, key=key) == sorted(family.samples, key=key)
        assert any("# {trace=" in line for line in shown)
        assert any(line.startswith("rows_read_created{") for line in shown)

        # The name[] parameter chooses among them, too.
        assert [line for line in lines(server, query="?name[]=depth") if line[0] != "#"] == [
            "depth 2.5"
        ]
    """)


def test_values_and_series_follow_the_library() -> None:
    run("""
        import prometheus_client as client
        rows = client.Counter("rows_read", "Rows read.", ["table"])
        rows.labels("a").inc()
        rows.labels("b").inc(2)
        server = stethoscope.serve()
        eventually(lambda: 'rows_read_total{table="b"} 2' in lines(server))
        rows.labels("a").inc(10)
        rows.remove("b")
        eventually(lambda: 'rows_read_total{table="a"} 11' in lines(server))
        assert not any('table="b"' in line for line in lines(server))
        client.REGISTRY.unregister(rows)
        eventually(lambda: not any(line.startswith("rows_read") for line in lines(server)))
        age = [line for line in lines(server) if "prometheus_client_age" in line][-1]
        assert age.startswith("stethoscope_prometheus_client_age_seconds ")
        assert 0 <= float(age.split()[1]) < 30
    """)


def test_failing_collector_loses_itself_alone_and_is_logged_once() -> None:
    run("""
        import logging
        import prometheus_client as client

        records = []
        handler = logging.Handler()
        handler.emit = lambda record: records.append(record.getMessage())
        logging.getLogger("distributed.stethoscope").addHandler(handler)

        from prometheus_client.core import GaugeMetricFamily

        class Failing:
            def describe(self):
                return []
            def collect(self):
                yield GaugeMetricFamily("half", "Half of it.", value=1)
                raise KeyError("no such thing")

        client.REGISTRY.register(Failing())
        depth = client.Gauge("depth", "Depth.")
        server = stethoscope.serve()
        for value in (1, 2):
            depth.set(value)
            eventually(lambda: f"depth {value}" in lines(server))
        assert not any(line.startswith("half") for line in lines(server))
        [record] = [record for record in records if "Failing" in record]
        assert "KeyError: 'no such thing'" in record
    """)


def test_clashing_name_loses_and_is_logged_once() -> None:
    run("""
        import logging
        import prometheus_client as client

        records = []
        handler = logging.Handler()
        handler.emit = lambda record: records.append(record.getMessage())
        logging.getLogger("distributed.stethoscope").addHandler(handler)

        ours = stethoscope.gauge("depth", "Ours.")
        ours.set(5)
        client.Gauge("depth", "Theirs.").set(7)
        client.Gauge("dask_worker_depth", "Theirs.").set(7)
        other = client.Gauge("other", "Theirs.")
        server = stethoscope.serve()
        for value in (1, 2):
            other.set(value)
            eventually(lambda: f"other {value}" in lines(server))
        shown = lines(server)
        assert "depth 5" in shown and "depth 7" not in shown
        assert not any(line.startswith("dask_") for line in shown)
        assert sum("'depth'" in record for record in records) == 1, records
        assert sum("'dask_worker_depth'" in record for record in records) == 1, records
    """)


def test_repeated_series_loses_itself_alone_and_is_logged() -> None:
    run("""
        import logging

        import prometheus_client as client
        from prometheus_client.core import GaugeMetricFamily

        logged = []
        handler = logging.Handler()
        handler.emit = lambda record: logged.append(record.getMessage())
        logging.getLogger("distributed.stethoscope").addHandler(handler)

        class Repeats:
            def describe(self):
                return []
            def collect(self):
                family = GaugeMetricFamily("depth", "Depth.", labels=["queue"])
                for queue, depth in [("a", 1), ("b", 2), ("a", 3)]:
                    family.add_metric([queue], depth)
                yield family

        client.REGISTRY.register(Repeats())
        server = stethoscope.serve()
        eventually(lambda: 'depth{queue="b"} 2' in lines(server))
        shown = [line for line in lines(server) if line.startswith("depth")]
        assert shown == ['depth{queue="a"} 1', 'depth{queue="b"} 2'], shown
        told = [line for line in logged if "came twice" in line]
        assert len(told) == 1 and "depth" in told[0], logged
    """)


def test_slow_collector_delays_no_scrape() -> None:
    run("""
        import prometheus_client as client

        from prometheus_client.core import GaugeMetricFamily

        class Slow:
            def describe(self):
                return []
            def collect(self):
                time.sleep(1)
                yield GaugeMetricFamily("slow", "Slow.", value=1)

        client.REGISTRY.register(Slow())
        server = stethoscope.serve()
        eventually(lambda: "slow 1" in lines(server))
        slowest = 0
        for _ in range(100):
            start = time.perf_counter()
            lines(server)
            slowest = max(slowest, time.perf_counter() - start)
            time.sleep(0.02)
        assert slowest < 0.5, slowest
    """)


def test_prometheus_client_is_left_out_on_request() -> None:
    run("""
        import threading
        import prometheus_client as client
        client.Gauge("depth", "Depth.").set(2)
        server = stethoscope.serve(prometheus_client=False)
        apart = stethoscope.Registry().serve()
        time.sleep(0.5)
        for page in (server, apart):
            assert not any(line.startswith("depth") for line in lines(page))
        assert not any(thread.name == "prometheus-client" for thread in threading.enumerate())
        asked = stethoscope.Registry().serve(prometheus_client=True)
        eventually(lambda: "depth 2" in lines(asked))
    """)


def test_forked_child_can_serve_prometheus_client_again() -> None:
    run("""
        import os
        import prometheus_client as client
        depth = client.Gauge("depth", "Depth.")
        depth.set(2)
        server = stethoscope.serve()
        eventually(lambda: "depth 2" in lines(server))
        child = os.fork()
        if child == 0:
            depth.set(3)
            server = stethoscope.serve()
            eventually(lambda: "depth 3" in lines(server))
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert "depth 2" in lines(server)
    """)
