"""Renames families to those of another `distributed.dashboard.prometheus.namespace`."""

from __future__ import annotations

import re


def with_namespace(text: str, namespace: str) -> str:
    """Replace the first word of each Dask family that a text names."""
    return re.sub(r"\bdask_(?=(scheduler|worker|semaphore|stealing)_)", f"{namespace}_", text)
