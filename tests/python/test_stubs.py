"""The stubs of the native module, and the documentation at run time."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import stethoscope


def public(owner: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield the public members of a class or module, by their full names."""
    for member, value in vars(owner).items():
        if not member.startswith("_"):
            yield f"{name}.{member}", value
            if inspect.isclass(value) and value.__module__.startswith("stethoscope"):
                yield from public(value, f"{name}.{member}")


def test_every_public_name_has_documentation() -> None:
    undocumented = []
    for name in stethoscope.__all__:
        value = getattr(stethoscope, name)
        if isinstance(value, str):
            continue
        members = [(name, value)]
        if inspect.isclass(value):
            members += public(value, name)
        for full_name, member in members:
            is_data = not callable(member) and not inspect.isgetsetdescriptor(member)
            if not is_data and not inspect.getdoc(member):
                undocumented.append(full_name)
    assert undocumented == []


def test_stubs_agree_with_the_module(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="not among the dependencies for older versions of Dask")
    allowed = tmp_path / "allowed"
    # Written by PyO3.
    allowed.write_text("stethoscope\\._native\\.__all__\n")
    options = ["--ignore-disjoint-bases", "--allowlist", str(allowed)]
    done = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", *options, "stethoscope._native"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=170,
    )
    assert done.returncode == 0, done.stdout + done.stderr
