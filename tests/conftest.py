"""The order of the test files, and servers that read our pages: reported where they are missing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

#: The files that take longest, longest first, to be begun first where several run at a time.
LONGEST = (
    "test_targets.py",
    "test_black_box.py",
    "test_doctor.py",
    "test_deployments.py",
    "test_dashboard.py",
    "test_cluster_view.py",
    "test_differential.py",
    "test_families.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def turn(item: pytest.Item) -> int:
        name = item.path.name
        return LONGEST.index(name) if name in LONGEST else len(LONGEST)

    items.sort(key=turn)


def _debian(tool: str, package: str) -> str:
    found = shutil.which(tool)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{tool} is missing, and must not be where CI is set")
        pytest.skip(f"{tool} is missing: apt-get install {package}")
    return found


@pytest.fixture(scope="session")
def promtool() -> Callable[..., None]:
    """Run `promtool ARGUMENTS`, and fail with what it says where it does not succeed.

    `accept` are the exit codes that count as success.
    """
    path = _debian("promtool", "prometheus")

    def run(*arguments: str, accept: tuple[int, ...] = (0,), **options: Any) -> None:
        result = subprocess.run(
            [path, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            **options,
        )
        assert result.returncode in accept, result.stdout

    return run


@pytest.fixture
def prometheus() -> str:
    """The path of the Prometheus server."""
    return _debian("prometheus", "prometheus")


@pytest.fixture
def victoria_metrics() -> str:
    """The path of the VictoriaMetrics server."""
    return _debian("victoria-metrics", "victoria-metrics")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    # From the reports, since tests may run in several processes.
    skipped = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    found = re.findall(r"(\S+) is missing: apt-get install ([\w-]+)", "\n".join(skipped))
    if found:
        tools, packages = (sorted(set(names)) for names in zip(*found, strict=True))
        terminalreporter.write_line(
            f"NOT RUN: tests that need {', '.join(tools)} (apt-get install {' '.join(packages)})",
            red=True,
            bold=True,
        )
