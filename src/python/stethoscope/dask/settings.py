"""What `distributed.stethoscope.*` in Dask's configuration asks for.

`etc/dask/stethoscope.yaml`, which the wheel installs, documents each key and
spells out the defaults below; a test holds the two together.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

PREFIX = "distributed.stethoscope"

#: A native thread accepts on the dashboard's port.
TAKE_OVER = "take-over"
#: A route on Dask's own HTTP server.
ROUTE = "route"


@dataclass(frozen=True)
class Settings:
    """The settings of one server, durations in seconds."""

    enabled: bool = True
    serve: str = TAKE_OVER
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

    Raises `ValueError`, naming the key, for a value that cannot be used.
    """
    from dask.utils import parse_timedelta

    import dask

    defaults = Settings()

    def get(key: str) -> Any:
        return dask.config.get(f"{PREFIX}.{key}", getattr(defaults, key.replace("-", "_")))

    def wrong(key: str, what: str) -> ValueError:
        return ValueError(f"{PREFIX}.{key}: {get(key)!r} {what}")

    def seconds(key: str, smallest: float) -> float:
        try:
            value = float(parse_timedelta(get(key), default="s"))
        except (TypeError, ValueError, KeyError) as error:
            raise wrong(key, "is no duration, such as 20ms") from error
        if not smallest <= value < float("inf"):
            raise wrong(key, f"is below {smallest} s or without end")
        return value

    serve = get("serve")
    if serve not in (TAKE_OVER, ROUTE):
        raise wrong("serve", f"is neither {TAKE_OVER!r} nor {ROUTE!r}")
    buckets = get("buckets")
    if buckets is not None and not _are_bounds(buckets):
        raise wrong("buckets", "are no ascending numbers of seconds")
    prefixes = get("max-task-prefixes")
    if not isinstance(prefixes, int) or prefixes < 0:
        raise wrong("max-task-prefixes", "is no number of prefixes")
    leave_out = get("leave-out")
    if not isinstance(leave_out, list) or not all(isinstance(name, str) for name in leave_out):
        raise wrong("leave-out", "is no list of families")
    labels = get("labels")
    if not isinstance(labels, dict):
        raise wrong("labels", "are no labels and values")
    return Settings(
        enabled=bool(get("enabled")),
        serve=serve,
        freshness=seconds("freshness", 0.0),
        background_interval=seconds("background-interval", 0.01),
        window=seconds("window", 1.0),
        buckets=buckets,
        max_task_prefixes=prefixes,
        leave_out=leave_out,
        labels={str(name): str(value) for name, value in labels.items()},
    )


def _are_bounds(value: Any) -> bool:
    return (
        isinstance(value, list)
        and all(isinstance(bound, (int, float)) for bound in value)
        and all(low < high for low, high in itertools.pairwise(value))
    )
