"""`stethoscope.parse`: pages as those who test them get them."""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families as text_families

import stethoscope
from stethoscope import Exemplar, Family, ParseError, Registry, Sample

PAGES = Path(__file__).parents[2] / "benches" / "pages"

PAGE = """\
# HELP http_requests Requests.
# TYPE http_requests counter
http_requests_total{method="GET",path="/a \\"b\\""} 3 1.5 # {trace="x"} 0.25 1.25
http_requests_created{method="GET",path="/a \\"b\\""} 1 1.5
# TYPE latency_seconds histogram
# UNIT latency_seconds seconds
latency_seconds_bucket{le="0.1"} 1
latency_seconds_bucket{le="+Inf"} 2
latency_seconds_count 2
latency_seconds_sum 0.5
# EOF
"""


def test_page_is_a_list_of_families_with_samples() -> None:
    requests, latency = stethoscope.parse(PAGE)
    labels = {"method": "GET", "path": '/a "b"'}
    exemplar = Exemplar({"trace": "x"}, 0.25, 1.25)
    assert requests == Family(
        name="http_requests",
        type="counter",
        help="Requests.",
        unit="",
        samples=[
            Sample("http_requests_total", labels, 3.0, 1.5, exemplar),
            Sample("http_requests_created", labels, 1.0, 1.5),
        ],
    )
    assert (latency.type, latency.unit, latency.help) == ("histogram", "seconds", "")
    names = [sample.name.removeprefix("latency_seconds") for sample in latency.samples]
    assert names == ["_bucket", "_bucket", "_count", "_sum"]
    assert math.isnan(stethoscope.parse("a NaN\n")[0].samples[0].value)


def test_bytes_and_text_are_the_same_page() -> None:
    assert stethoscope.parse(b'a{b="\xc3\xa9"} 1\n') == stethoscope.parse('a{b="é"} 1\n')
    assert stethoscope.parse(bytearray(b"a 1\n")) == stethoscope.parse("a 1\n")
    with pytest.raises(TypeError, match=r"must be str or bytes, not <class 'int'>"):
        stethoscope.parse(1)  # type: ignore[arg-type]
    with pytest.raises(UnicodeEncodeError):
        stethoscope.parse('a{b="\ud800"} 1\n')


def test_sample_without_metadata_is_a_family_of_its_own() -> None:
    page = "# TYPE h histogram\nother_bucket 1\nup 2\nup_total 3\n"
    found = [(family.name, family.type, len(family.samples)) for family in stethoscope.parse(page)]
    assert found == [
        ("h", "histogram", 0),
        ("other_bucket", "unknown", 1),
        ("up", "unknown", 1),
        ("up_total", "unknown", 1),
    ]
    assert stethoscope.parse("") == []


def test_an_untyped_family_is_unknown_in_every_format() -> None:
    for page in ("# TYPE a untyped\na 1\n", "# TYPE a unknown\na 1\n# EOF\n"):
        assert stethoscope.parse(page)[0].type == "unknown"


def test_timestamps_are_seconds_in_every_format() -> None:
    for page in ("a 1 1500\n", "a 1 1.5\n# EOF\n"):
        assert stethoscope.parse(page)[0].samples[0].timestamp == 1.5


def test_openmetrics_2_is_refused_rather_than_misread() -> None:
    with pytest.raises(ValueError, match=r"OpenMetrics 2\.0"):
        stethoscope.parse("a 1\n# EOF\n", "application/openmetrics-text; version=2.0.0")


def test_format_is_detected_given_or_of_the_content_type() -> None:
    quoted = '{"a.b"} 1\n'
    assert stethoscope.parse(quoted)[0].name == "a.b"
    assert stethoscope.parse(quoted, "prometheus1")[0].name == "a.b"
    assert stethoscope.parse(quoted, format="text/plain; version=1.0.0")[0].name == "a.b"
    for older in ("prometheus", "text/plain; version=0.0.4"):
        with pytest.raises(ParseError, match="quoted name"):
            stethoscope.parse(quoted, older)
    with pytest.raises(ParseError, match="# EOF"):
        stethoscope.parse("a 1\n", "openmetrics")
    header = "application/openmetrics-text; version=1.0.0; escaping=allow-utf-8"
    assert stethoscope.parse(quoted + "# EOF\n", header)[0].name == "a.b"
    with pytest.raises(ParseError, match="quoted name"):
        stethoscope.parse(quoted + "# EOF\n", "openmetrics")
    for unknown in ["html", "text/html", "application/json", "nonsense/x"]:
        with pytest.raises(ValueError, match=f'unknown format "{unknown}"') as raised:
            stethoscope.parse("a 1\n", unknown)
        assert not isinstance(raised.value, ParseError)


def test_own_page_is_read_with_its_content_type() -> None:
    registry = Registry()
    registry.counter("rows_read", "Rows read.", ["table"]).labels("a\nb").inc(2)
    registry.histogram("wait_seconds", "Wait.", buckets=[0.5]).observe(0.1)
    for accept in ("", "application/openmetrics-text", "text/plain;version=1.0.0"):
        rows, wait = stethoscope.parse(*registry.page(accept))
        assert rows.samples == [("rows_read_total", {"table": "a\nb"}, 2.0, None, None)]
        assert wait.samples[0] == ("wait_seconds_bucket", {"le": "0.5"}, 1.0, None, None)


def test_only_strict_reading_checks_lines_against_each_other() -> None:
    page = "# TYPE a gauge\na 1\nb 1\na 2\n# TYPE b counter\n"
    with pytest.raises(ParseError, match="stand together"):
        stethoscope.parse(page)
    a, b = stethoscope.parse(page, lenient=True)
    assert [sample.value for sample in a.samples] == [1, 2]
    assert (b.type, len(b.samples)) == ("counter", 1)


def test_error_has_line_column_and_excerpt() -> None:
    page = 'a{b="é"} 1\na{b=c} 1\n'
    with pytest.raises(ParseError) as raised:
        stethoscope.parse(page)
    error = raised.value
    assert (error.offset, error.line, error.column) == (page.index("c}"), 2, 5)
    assert error.reason == "a label value must be in double quotes"
    assert str(error) == f"line 2, column 5: {error.reason}\n  a{{b=c}} 1\n      ^"
    with pytest.raises(ParseError) as in_bytes:
        stethoscope.parse(page.encode())
    assert page.encode()[in_bytes.value.offset :].startswith(b"c}")
    assert str(in_bytes.value) == str(error)


def test_error_at_the_end_of_the_page_has_a_place() -> None:
    with pytest.raises(ParseError, match="newline") as raised:
        stethoscope.parse("a 1")
    assert (raised.value.offset, raised.value.line, raised.value.column) == (3, 1, 4)
    with pytest.raises(ParseError, match=r"no bucket le") as raised:
        stethoscope.parse('# TYPE h histogram\nh_bucket{le="1"} 1\n')
    assert raised.value.line == 2


def test_parsed_page_can_be_pickled() -> None:
    families = stethoscope.parse(PAGE)
    copies = pickle.loads(pickle.dumps(families))
    assert repr(copies) == repr(families)
    with pytest.raises(ParseError) as raised:
        stethoscope.parse("a\n")
    copy = pickle.loads(pickle.dumps(raised.value))
    assert (str(copy), vars(copy)) == (str(raised.value), vars(raised.value))


def samples(families) -> list[tuple]:
    """Return the parts of a sample that this package and client_python both have."""
    return [
        (
            family.type,
            sample.name,
            sample.labels,
            repr(float(sample.value)),
            sample.timestamp and float(sample.timestamp),
            sample.exemplar and (sample.exemplar.labels, sample.exemplar.value),
        )
        for family in families
        for sample in family.samples
    ]


@pytest.mark.parametrize("name", ["scheduler", "worker"])
def test_client_python_agrees_on_a_page_of_dask(name: str) -> None:
    page = (PAGES / f"{name}.txt").read_text()
    ours, theirs = stethoscope.parse(page), list(text_families(page))
    assert samples(ours) == samples(theirs)
    assert len(samples(ours)) > 50
    # It drops the suffix of a counter's family, which OpenMetrics does without.
    assert [family.name.removesuffix("_total") for family in ours] == [
        family.name for family in theirs
    ]
    assert [family.help for family in ours] == [family.documentation for family in theirs]


def test_client_python_agrees_on_a_page_of_ours() -> None:
    registry = Registry()
    for kind in ("gauge", "histogram", "summary", "counter"):
        metric = getattr(registry, kind)(f"a_{kind}", f'A\\ {kind}:\n"é"', ["x", "y"])
        for x in ('"', "\\n", "é\n"):
            series = metric.labels(x, "")
            getattr(series, {"gauge": "set", "counter": "inc"}.get(kind, "observe"))(1e-7)
    page, header = registry.page("application/openmetrics-text")
    ours, theirs = stethoscope.parse(page, header), list(openmetrics_families(page.decode()))
    assert samples(ours) == samples(theirs)
    described = [(family.name, family.help, family.unit) for family in ours]
    assert described == [(family.name, family.documentation, family.unit) for family in theirs]
    page, header = registry.page()
    assert samples(stethoscope.parse(page, header)) == samples(text_families(page.decode()))


def test_line_limit_can_be_set() -> None:
    page = "# HELP a " + "x" * 2_000_000 + "\n# TYPE a gauge\na 1\n"
    with pytest.raises(stethoscope.ParseError, match="line"):
        stethoscope.parse(page)
    (family,) = stethoscope.parse(page, max_line=3_000_000)
    assert len(family.help) == 2_000_000
    (family,) = stethoscope.parse(page, lenient=True)
    assert family.name == "a"
    with pytest.raises(stethoscope.ParseError):
        stethoscope.parse("a 1\n", max_line=2)


def test_memory_limit_can_be_set() -> None:
    page = "".join(f"family_{number} 1\n" for number in range(10_000))
    assert len(stethoscope.parse(page)) == 10_000
    with pytest.raises(stethoscope.ParseError, match="memory"):
        stethoscope.parse(page, max_memory=10_000)
