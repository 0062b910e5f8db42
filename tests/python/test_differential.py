"""Other readers on pages that `stethoscope check` accepts, and on those that it refuses.

Pages are drawn at random, most of them good, many spoilt in one place. Whatever strict reading
accepts, the readers of client_python and promtool must accept too, and find the same samples;
what they accept and it refuses must be one of the points on which its policy is stricter.
"""

from __future__ import annotations

import json
import math
import os
import random
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from prometheus_client import parser
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

ROOT = Path(__file__).parents[2]
PAGES = 300

# Why strict text refuses what client_python's text parser takes: that one asks little of a line
# and nothing of a page.
TEXT_IS_STRICTER = {
    "a backslash must be followed by",
    "a quoted name is not allowed here",
    "label names that begin with two underscores",
    "metadata must come before",
    "this family already has such a line",
    "the lines of a family must stand together",
    "this name also belongs to another family",
    "this series was on the page already",
    "this histogram has no bucket",
    "the count of this histogram",
    "the bounds of buckets must ascend",
    "the quantiles of a summary must ascend",
    "a bucket needs a label le",
    "a quantile needs a label quantile",
    "a family of this type has no sample",
    "the value of this sample can be neither negative",
    "the last line must end",
    "invalid timestamp",
    "unknown type",
    "invalid value",
    "expected the end of the line",
    "a line must begin with",
    "expected a blank here",
    "a comma must be followed",
    "HELP, TYPE and UNIT must be followed",
    "expected a label name",
    "a label name must be followed",
    "this character can't be part of a name",
    "a label must be followed",
    "a label value must be in double quotes",
    "this quoted text has no closing quote",
    "this sample already has a label of this name",
}

# The same for OpenMetrics, where client_python is nearly as strict: it overlooks blanks in metadata
# and series that come twice.
OPENMETRICS_IS_STRICTER = {
    "OpenMetrics has no comments",
    "OpenMetrics allows no blank",
    "HELP, TYPE and UNIT must be followed",
    "unknown type",
    "a quoted name is not allowed here",
    "a backslash must be followed by",
    "label names that begin with two underscores",
    "this series was on the page already",
    "the quantiles of a summary must ascend",
    "the bounds of buckets must ascend",
    "the value of this exemplar is not in its bucket",
    "the samples of a metric must stand together",
}


@pytest.fixture(scope="module")
def check() -> Callable[..., tuple[str | None, list[tuple]]]:
    """`stethoscope check` as a function: why a page is refused, and its samples."""
    cargo = os.environ.get("CARGO", "cargo")
    # As `make test-rust` does, so that it is compiled once.
    features = os.environ.get("FEATURES", "gzip,cli")
    build = [cargo, "test", "--quiet", "--no-run", "--workspace", "--no-default-features"]
    build += ["--features", features, "--test", "cli"]
    subprocess.run(build, cwd=ROOT, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    tool = ROOT / target / "debug" / "stethoscope"

    def check(page: str, *arguments: str) -> tuple[str | None, list[tuple]]:
        ran = subprocess.run(
            [tool, "check", "--json", *arguments, "-"], input=page.encode(), capture_output=True
        )
        assert ran.returncode in (0, 1), ran.stderr
        if ran.returncode == 1:
            return ran.stderr.decode().split(": ", 2)[2], []
        lines = map(json.loads, ran.stdout.splitlines())
        return None, sorted(
            (
                line["name"],
                sorted(map(tuple, line["labels"])),
                same(float(line["value"])),
                line.get("timestamp_ms"),
            )
            for line in lines
        )

    return check


def same(value: float) -> str:
    """A value by which samples can be sorted and compared: NaN is itself."""
    return "NaN" if math.isnan(value) else repr(float(value))


def milliseconds(seconds: float) -> int | str:
    return int(seconds * 1000) if math.isfinite(seconds) else repr(seconds)


def read(families: Callable[[str], Iterable[Metric]], page: str) -> list[tuple] | None:
    """The samples that a parser of client_python finds, or None if it refuses the page."""
    try:
        samples = [sample for family in families(page) for sample in family.samples]
    except (ValueError, KeyError, IndexError, AttributeError, TypeError):
        return None
    return sorted(
        (
            sample.name,
            sorted(sample.labels.items()),
            same(sample.value),
            None if sample.timestamp is None else milliseconds(float(sample.timestamp)),
        )
        for sample in samples
    )


class Pages:
    """Random pages of one format."""

    def __init__(self, seed: int, openmetrics: bool) -> None:
        self.random = random.Random(seed)
        self.openmetrics = openmetrics

    def text(self) -> str:
        return "".join(self.random.choices('ab "\\\n{},=#é東', k=self.random.randrange(6)))

    def quoted(self) -> str:
        text = self.text().replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
        return f'"{text}"'

    def labels(self, *more: str) -> str:
        names = self.random.sample(["x", "y", "zone", "_a"], self.random.randrange(3))
        labels = [f"{name}={self.quoted()}" for name in names] + list(more)
        return "{" + ",".join(labels) + "}" if labels or self.random.random() < 0.1 else ""

    def value(self) -> str:
        return self.random.choice(
            ["0", "1", "-2.5", "1e3", "1E-5", "+Inf", "-Inf", "NaN", "007", ".5"]
        )

    def count(self) -> int:
        return self.random.randrange(5)

    def family(self, name: str) -> list[str]:
        kinds = ["counter", "gauge", "histogram", "summary"]
        kinds += ["unknown", "info"] if self.openmetrics else ["untyped"]
        if self.openmetrics and ":" not in name:
            kinds.append("stateset")
        kind = self.random.choice(kinds)
        lines = [f"# TYPE {name} {kind}"]
        if self.random.random() < 0.7:
            help_text = self.text().replace("\\", r"\\").replace("\n", r"\n")
            help_text = help_text.replace('"', r"\"") if self.openmetrics else help_text.strip()
            lines.insert(self.random.randrange(2), f"# HELP {name} {help_text}")
        for series in range(self.random.randrange(1, 3)):
            lines += self.samples(name, kind, f'series="{series}"')
        return lines

    def samples(self, name: str, kind: str, own: str) -> list[str]:
        labels = self.labels(own)
        if kind == "counter":
            suffix = "_total" if self.openmetrics else ""
            return [f"{name}{suffix}{labels} {self.count()}"]
        if kind == "histogram":
            counts = sorted(self.count() for _ in range(3))
            bounds = ["0.1", "1.0", "+Inf"]
            before = labels[:-1]
            lines = [
                f'{name}_bucket{before},le="{bound}"}} {count}'
                for bound, count in zip(bounds, counts, strict=True)
            ]
            return [*lines, f"{name}_sum{labels} 1.5", f"{name}_count{labels} {counts[-1]}"]
        if kind == "summary":
            before = labels[:-1]
            lines = [f'{name}{before},quantile="{q}"}} {self.count()}' for q in ("0.5", "0.9")]
            return [*lines, f"{name}_sum{labels} 2", f"{name}_count{labels} 3"]
        if kind == "info":
            return [f"{name}_info{labels} 1"]
        if kind == "stateset":
            before = labels[:-1]
            return [f'{name}{before},{name}="{state}"}} {self.count() % 2}' for state in "ab"]
        timestamp = self.random.choice(["", "", " 15", " 0"])
        return [f"{name}{labels} {self.value()}{timestamp}"]

    def good(self) -> list[str]:
        names = self.random.sample(["a", "b_c", "d:e", "_f"], self.random.randrange(1, 4))
        return [line for name in names for line in self.family(name)]

    def draw(self) -> str:
        """A page, spoilt more often than not."""
        lines = self.good()
        end = ["# EOF"] if self.openmetrics else []
        for _ in range(self.random.choice([0, 0, 1, 1, 2])):
            at = self.random.randrange(len(lines))
            line = lines[at]
            spot = self.random.randrange(len(line) + 1)
            match self.random.randrange(6):
                case 0:
                    del lines[at]
                    lines = lines or ["g 1"]
                case 1:
                    lines.insert(self.random.randrange(len(lines) + 1), line)
                case 2:
                    other = self.random.randrange(len(lines))
                    lines[at], lines[other] = lines[other], line
                case 3:
                    lines[at] = line[:spot] + line[spot + 1 :]
                case 4:
                    lines[at] = line[:spot] + self.random.choice(' ",{}=#\\1a.') + line[spot:]
                case _:
                    token = self.random.choice(["NaN", "-1", "2.5", "x", 'le="1"', "+Inf"])
                    lines[at] = line.rsplit(" ", 1)[0] + " " + token
        return "\n".join(lines + end) + "\n"


def first_points(samples: list[tuple] | None) -> set[tuple]:
    assert samples is not None
    return {(name, tuple(labels), timestamp) for name, labels, _, timestamp in samples}


def is_expected(reason: str, stricter: set[str]) -> bool:
    return any(reason.startswith(known) for known in stricter)


def test_client_python_reads_accepted_openmetrics(check) -> None:
    seen = Counter()
    for seed in range(PAGES):
        page = Pages(seed, openmetrics=True).draw()
        reason, samples = check(page, "--format", "openmetrics")
        theirs = read(text_string_to_metric_families, page)
        if reason is None:
            # Of points of one series at one time it gives the first only.
            assert first_points(theirs) == first_points(samples), page
        elif theirs is not None:
            assert is_expected(reason, OPENMETRICS_IS_STRICTER), f"{reason}\n{page}"
        seen[reason is None, theirs is not None] += 1
    # Enough of each kind to mean something.
    assert seen[True, True] > PAGES / 5
    assert seen[False, False] > PAGES / 5


def test_client_python_reads_accepted_text(check) -> None:
    seen = Counter()
    for seed in range(PAGES):
        page = Pages(seed, openmetrics=False).draw()
        reason, samples = check(page, "--format", "prometheus")
        theirs = read(parser.text_string_to_metric_families, page)
        if reason is None:
            assert theirs is not None, page
            # It gives counters the suffix that OpenMetrics wants.
            names = {name for name, *_ in samples}
            renamed = [
                (name if name in names else name.removesuffix("_total"), *rest)
                for name, *rest in theirs
            ]
            assert sorted(renamed) == samples, page
        elif theirs is not None:
            assert is_expected(reason, TEXT_IS_STRICTER), f"{reason}\n{page}"
        seen[reason is None] += 1
    assert min(seen[True], seen[False]) > PAGES / 5


def test_promtool_reads_accepted_text(check) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: what it reads was NOT compared")
    accepted = 0
    for seed in range(PAGES // 2):
        # It takes a blank after a value for a timestamp; the standard and the server do not.
        page = re.sub(" +$", "", Pages(seed, openmetrics=False).draw(), flags=re.MULTILINE)
        reason, _ = check(page, "--format", "prometheus")
        ran = subprocess.run(
            [promtool, "check", "metrics"], input=page.encode(), capture_output=True
        )
        # 3 is a lint.
        theirs = ran.returncode in (0, 3)
        if reason is None:
            assert theirs, f"{page}\n{ran.stderr.decode()}"
            accepted += 1
        elif theirs:
            assert is_expected(reason, TEXT_IS_STRICTER), f"{reason}\n{page}"
    assert accepted > PAGES / 10


def test_lenient_accepts_all_that_strict_accepts(check) -> None:
    for seed in range(PAGES // 4):
        for kind, name in ((True, "openmetrics"), (False, "prometheus")):
            page = Pages(seed, openmetrics=kind).draw()
            reason, samples = check(page, "--format", name)
            if reason is None:
                assert check(page, "--format", name, "--lenient") == (None, samples), page
