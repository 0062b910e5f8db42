"""Fixtures: clusters of real processes."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import HOST, Cluster

#: Less of what Dask does in idle processes, which takes a tenth of a core for each cluster.
QUIET = {
    "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "100ms",
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "false",
}


@pytest.fixture
def new_cluster(tmp_path: Path) -> Iterator[Callable[..., Cluster]]:
    """Make a cluster with some environment variables, without any process yet."""
    made: list[Cluster] = []

    def new(**environment: str) -> Cluster:
        made.append(Cluster(tmp_path, QUIET | environment, bokeh=False))
        return made[-1]

    yield new
    for cluster in made:
        cluster.__exit__()
        # Shown where the test has failed.
        print(cluster.logs())


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A scheduler and two workers under nannies, shared by the tests of a module."""
    # Spills from 51 MiB on.
    environment = {**QUIET, "DASK_DISTRIBUTED__WORKER__MEMORY__TARGET": "0.1"}
    with Cluster(tmp_path_factory.mktemp("cluster"), environment) as cluster:
        cluster.start_scheduler()
        cluster.start_workers(2)
        yield cluster


@pytest.fixture
def accepts(promtool: Callable[..., None]) -> Callable[[str], None]:
    """Fails on a page that `promtool check metrics` does not accept."""
    # Exit 3 is lint: names that are Dask's own, such as gauges ending in _count.
    return lambda text: promtool("check", "metrics", input=text, accept=(0, 3))


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    path = tmp_path / "dashboard.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", f"/CN={HOST}", "-keyout", str(path), "-out", str(tmp_path / "only.pem")),
        ],
        check=True,
        capture_output=True,
    )
    path.write_text(path.read_text() + (tmp_path / "only.pem").read_text())
    return path


@pytest.fixture
def new_environment(tmp_path: Path) -> Callable[[bool], Path]:
    """Make a Python environment like this one, with or without this package.

    Everything but this package is linked into it: `pip uninstall` of this package
    works there as it does anywhere.
    """

    def new(with_package: bool) -> Path:
        root = tmp_path / f"environment-{with_package}"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", root], check=True)
        here = Path(sysconfig.get_path("purelib"))
        there = root / here.relative_to(sys.prefix)
        for entry in here.iterdir():
            if not entry.name.startswith("stethoscope"):
                (there / entry.name).symlink_to(entry)
            elif with_package:
                shutil.copytree(entry, there / entry.name)
        if with_package:
            (root / "etc" / "dask").mkdir(parents=True)
            shutil.copy(Path(sys.prefix) / "etc" / "dask" / "stethoscope.yaml", root / "etc/dask")
        return root / "bin" / "python"

    return new
