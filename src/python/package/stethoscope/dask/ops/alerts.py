"""The alert rules of `alerts.yml`, for any namespace."""

from __future__ import annotations

from importlib import resources

from stethoscope.dask.ops.namespace import with_namespace


def rules(namespace: str = "dask") -> str:
    """Return the alert rules, as YAML for Prometheus' `rule_files`."""
    text = resources.files("stethoscope.dask.ops").joinpath("alerts.yml").read_text("utf-8")
    return with_namespace(text, namespace)
