"""Renames families to those of another `distributed.dashboard.prometheus.namespace`."""

from __future__ import annotations

import re


def with_namespace(text: str, namespace: str) -> str:
    """Replace the first word of each Dask family that a text names."""
    # Names on the pages of dead workers have another word before it.
    return re.sub(
        r"(?:\b|(?<=postmortem_))dask_(?=(scheduler|worker|semaphore|stealing)_)",
        f"{namespace}_",
        text,
    )
