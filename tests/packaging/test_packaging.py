"""The packaged crate: its tests pass where it is unpacked, and others can depend on it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CARGO = os.environ.get("CARGO", "cargo")
#: Kept between runs: dependencies need compiling once.
TARGET = ROOT / "target" / "packaging"

#: The packages, each with the directory that it is unpacked to.
PACKAGES = {"stethoscope-derive": "derive", "stethoscope": "engine"}

pytestmark = pytest.mark.timeout(900)


def cargo(directory: Path, *arguments: str, succeeds: bool = True) -> str:
    """Run cargo in a directory and return its messages."""
    result = subprocess.run(
        [CARGO, *arguments],
        cwd=directory,
        env={**os.environ, "CARGO_TARGET_DIR": str(TARGET), "CARGO_TERM_COLOR": "never"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert (result.returncode == 0) == succeeds, result.stdout
    return result.stdout


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack the package, and copy the crates that depend on it beside it."""
    directory = tmp_path_factory.mktemp("packaging")
    packages = [f"-p{name}" for name in PACKAGES]
    cargo(ROOT, "package", "--allow-dirty", "--no-verify", *packages)
    for name, place in PACKAGES.items():
        (archive,) = (TARGET / "package").glob(f"{name}-[0-9]*.crate")
        with tarfile.open(archive) as crate:
            crate.extractall(directory, filter="data")
        archive.unlink()
        (unpacked,) = directory.glob(f"{name}-[0-9]*")
        unpacked.rename(directory / place)
    # The macros of this version need not be published yet.
    config = directory / ".cargo" / "config.toml"
    config.parent.mkdir()
    config.write_text(
        f"[patch.crates-io]\nstethoscope-derive = {{ path = '{directory / 'derive'}' }}\n"
    )
    engine = directory / "engine"
    other = directory / "other_engine"
    shutil.copytree(engine, other)
    manifest = other / "Cargo.toml"
    lines = manifest.read_text().splitlines()
    version = next(n for n, line in enumerate(lines) if line.startswith("version = "))
    lines[version] = 'version = "0.0.1"'
    manifest.write_text("\n".join(lines))
    dependents = directory / "dependents"
    shutil.copytree(Path(__file__).parent / "dependents", dependents)
    # The versions that the workspace is tested with.
    shutil.copy(ROOT / "Cargo.lock", dependents)
    return directory


def test_unpacked_package_passes_its_tests(workspace: Path) -> None:
    features = os.environ.get(
        "FEATURES", "http,gzip,process,segment,cli,metrics,derive,push,tower,arbitrary"
    )
    result = cargo(workspace / "engine", "test", "--features", features)
    assert "test result: ok" in result


def test_two_versions_in_one_program_run(workspace: Path) -> None:
    output = cargo(workspace / "dependents", "run", "--quiet", "-p", "two_versions")
    assert "new_total 1" in output
    assert "other_total 1" in output


def test_types_of_two_versions_do_not_mix(workspace: Path) -> None:
    cargo(workspace / "dependents", "check", "-p", "two_versions")
    output = cargo(
        workspace / "dependents", "check", "-p", "two_versions", "--features", "mixed",
        succeeds=False,
    )  # fmt: skip
    assert "error[E0308]: mismatched types" in output


def test_build_dependency_beside_dependency_is_built_once(workspace: Path) -> None:
    cargo(workspace / "dependents", "run", "-p", "build_dependency")
    assert "Compiling" not in cargo(workspace / "dependents", "run", "-p", "build_dependency")


def test_switching_members_with_other_features_rebuilds_nothing(workspace: Path) -> None:
    members = ["plain", "serving"]
    for member in members:
        cargo(workspace / "dependents", "build", "-p", member)
    for member in members:
        assert "Compiling" not in cargo(workspace / "dependents", "build", "-p", member)
