"""A directory for segments."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest


@pytest.fixture
def directory() -> Iterator[Path]:
    """An empty directory in memory."""
    path = Path(mkdtemp(prefix="stethoscope-test-", dir="/dev/shm"))
    yield path
    for file in path.iterdir():
        file.unlink()
    path.rmdir()
