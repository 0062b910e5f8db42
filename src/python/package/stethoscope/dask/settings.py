"""What `distributed.stethoscope.*` in Dask's configuration asks for.

`etc/dask/stethoscope.yaml`, which the wheel installs, documents each key and
spells out the defaults below; a test holds the two together.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import Any

PREFIX = "distributed.stethoscope"

#: A native thread accepts on the dashboard's port.
TAKE_OVER = "take-over"
#: It has a port of its own.
OWN_ADDRESS = "own-address"
#: A route on Dask's own HTTP server.
ROUTE = "route"


class Wrong(ValueError):
    """A setting that cannot be used: which it is, and why."""


@dataclass(frozen=True)
class Settings:
    """The settings of one server, durations in seconds."""

    enabled: bool = True
    serve: str = TAKE_OVER
    #: Host and port; an empty host is the dashboard's, port 0 a free one.
    address: tuple[str, int] = ("", 0)
    freshness: float = 0.020
    background_interval: float = 1.0
    window: float = 60.0
    #: Upper bounds of the histograms of durations; None for those of the page.
    buckets: list[float] | None = None
    max_task_prefixes: int = 1000
    leave_out: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)


def load() -> Settings:
    """Read the settings as they stand now.

    Raises `Wrong`, naming the key, for a value that cannot be used.
    """
    import dask
    from dask.utils import parse_timedelta

    defaults = Settings()

    def get(key: str) -> Any:
        return dask.config.get(f"{PREFIX}.{key}", getattr(defaults, key.replace("-", "_")))

    def wrong(key: str, what: str) -> Wrong:
        return Wrong(f"{PREFIX}.{key}: {get(key)!r} {what}")

    def seconds(key: str, smallest: float) -> float:
        try:
            value = float(parse_timedelta(get(key), default="s"))
        except (TypeError, ValueError, KeyError) as error:
            raise wrong(key, "is no duration, such as 20ms") from error
        if not smallest <= value < float("inf"):
            raise wrong(key, f"is less than {smallest:g} s or without end")
        return value

    enabled = get("enabled")
    if not isinstance(enabled, bool):
        raise wrong("enabled", "is neither true nor false")
    serve = get("serve")
    if serve not in (ways := (TAKE_OVER, OWN_ADDRESS, ROUTE)):
        raise wrong("serve", f"is none of {', '.join(ways)}")
    address = get("address")
    if not isinstance(address, tuple) and (address := _host_and_port(address)) is None:
        raise wrong("address", "is no HOST:PORT, such as 0.0.0.0:9000 or :0")
    buckets = get("buckets")
    if buckets is not None and not _are_bounds(buckets):
        raise wrong("buckets", "are no ascending numbers of seconds, such as [0.1, 1, 10]")
    prefixes = get("max-task-prefixes")
    if not isinstance(prefixes, int) or isinstance(prefixes, bool) or prefixes < 0:
        raise wrong("max-task-prefixes", "is no number of prefixes")
    leave_out = get("leave-out")
    if not isinstance(leave_out, list) or not all(isinstance(name, str) for name in leave_out):
        raise wrong("leave-out", "is no list of families, such as [python_info]")
    labels = get("labels")
    if not isinstance(labels, dict):
        raise wrong("labels", "are no labels and values, such as {cluster: blue}")
    return Settings(
        enabled=enabled,
        serve=serve,
        address=address,
        freshness=seconds("freshness", 0.0),
        background_interval=seconds("background-interval", 0.01),
        window=seconds("window", 1.0),
        buckets=buckets,
        max_task_prefixes=prefixes,
        leave_out=leave_out,
        labels={str(name): str(value) for name, value in labels.items()},
    )


def namespace() -> str:
    """What the names of Dask's families begin with: a setting of Dask's own handler."""
    import dask

    return str(dask.config.get("distributed.dashboard.prometheus.namespace", "dask") or "")


def _host_and_port(address: Any) -> tuple[str, int] | None:
    """HOST:PORT, an IPv6 host in brackets."""
    match = re.fullmatch(r"(\[[^]]+\]|[^:]*):(\d{1,5})", str(address))
    if match is None or int(match[2]) > 65535:
        return None
    return match[1].strip("[]"), int(match[2])


def _are_bounds(value: Any) -> bool:
    return (
        isinstance(value, list)
        and all(isinstance(bound, (int, float)) for bound in value)
        and all(low < high for low, high in itertools.pairwise(value))
    )
