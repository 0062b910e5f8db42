"""What `distributed.stethoscope.*` in Dask's configuration asks for.

`etc/dask/stethoscope.yaml`, which the wheel installs, documents each key and
spells out the defaults below; a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass

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


def load() -> Settings:
    """Read the settings as they stand now.

    Raises `ValueError`, naming the key, for a value that cannot be used.
    """
    from dask.utils import parse_timedelta

    import dask

    def get(key: str) -> object:
        default = getattr(Settings, key.replace("-", "_"))
        return dask.config.get(f"{PREFIX}.{key}", default)

    def seconds(key: str, smallest: float) -> float:
        raw = get(key)
        try:
            value = float(parse_timedelta(raw, default="s"))
        except (TypeError, ValueError, KeyError) as error:
            raise ValueError(f"{PREFIX}.{key}: {raw!r} is no duration, such as 20ms") from error
        if not smallest <= value < float("inf"):
            raise ValueError(f"{PREFIX}.{key}: {raw!r} is below {smallest} s or without end")
        return value

    serve = get("serve")
    if serve not in (TAKE_OVER, ROUTE):
        raise ValueError(f"{PREFIX}.serve: {serve!r} is neither {TAKE_OVER!r} nor {ROUTE!r}")
    return Settings(
        enabled=bool(get("enabled")),
        serve=serve,
        freshness=seconds("freshness", 0.0),
        background_interval=seconds("background-interval", 0.01),
        window=seconds("window", 1.0),
    )
