"""The Grafana dashboard of `dashboard.json`, for any title and namespace."""

from __future__ import annotations

import hashlib
import json
from importlib import resources

from stethoscope.dask.ops.namespace import with_namespace


def dashboard(title: str = "Dask", namespace: str = "dask") -> str:
    """Return the dashboard as JSON for Grafana's import.

    The uid is derived from the title: importing the same title again updates the
    dashboard, and another title makes another dashboard.
    """
    text = resources.files("stethoscope.dask.ops").joinpath("dashboard.json").read_text("utf-8")
    document = json.loads(with_namespace(text, namespace))
    document["title"] = title
    document["uid"] = f"dask-{hashlib.sha256(title.encode()).hexdigest()[:16]}"
    return json.dumps(document, indent=2) + "\n"
