"""The settings below `distributed.stethoscope` in Dask's configuration.

`Settings` has each key with its default, and `_READERS` the function that reads
its value. `etc/dask/stethoscope.yaml`, which the wheel installs, documents each key
and repeats the defaults; `CONFIGURATION.md` is the reference. Tests hold the
three together.

A mistake in the configuration never switches the metrics off: a value that
cannot be used is logged as an error and replaced by its default, an entry of
`labels` or `exclude-families` that cannot be used is logged and left out, and an
unknown key is logged as a warning that names the nearest known one.
"""

from __future__ import annotations

import difflib
import itertools
import json
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from stethoscope._errors import ConfigError
from stethoscope._native import BlackBox, Page

logger = logging.getLogger("distributed.stethoscope")

PREFIX = "distributed.stethoscope"
NAMESPACE = "distributed.dashboard.prometheus.namespace"

#: A native thread accepts connections on the dashboard's port.
TAKE_OVER = "take-over"
#: A native thread listens on a port of its own.
DEDICATED_PORT = "dedicated-port"
#: Only the route on Dask's own HTTP server answers.
ROUTE = "route"

#: A file for the page where there can be one, and none elsewhere.
AUTO = "auto"

#: Deprecated spellings of keys, and of values of `serve`.
RENAMED_KEYS = {
    "freshness": "refresh-timeout",
    "background-interval": "refresh-interval",
    "leave-out": "exclude-families",
}
RENAMED_MODES = {"own-address": DEDICATED_PORT}


def _boolean(value: Any) -> bool:
    # Older versions of Dask leave the words of environment variables as they are.
    if isinstance(value, str):
        value = {"true": True, "false": False}.get(value.lower(), value)
    if not isinstance(value, bool):
        raise ConfigError(f"expected true or false, found {value!r}")
    return value


def _boolean_or_auto(value: Any) -> bool | str:
    if isinstance(value, str) and value.lower() == AUTO:
        return AUTO
    try:
        return _boolean(value)
    except ConfigError:
        raise ConfigError(f"expected true, false or auto, found {value!r}") from None


def _mode(value: Any) -> str:
    modes = (TAKE_OVER, DEDICATED_PORT, ROUTE)
    value = RENAMED_MODES.get(value, value) if isinstance(value, str) else value
    if value not in modes:
        raise ConfigError(f"expected one of {', '.join(modes)}, found {value!r}")
    return value


def _seconds(at_least: float) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        from dask.utils import parse_timedelta

        try:
            seconds = float(parse_timedelta(value, default="s"))
        except (TypeError, ValueError, KeyError, AttributeError):
            raise ConfigError(
                f'expected a number and a unit, for example "20ms", found {value!r}'
            ) from None
        if not at_least <= seconds < float("inf"):
            raise ConfigError(
                f"expected a finite duration of at least {at_least:g}s, found {value!r}"
            )
        return seconds

    return read


def _listen_address(value: Any) -> tuple[str, int]:
    if isinstance(value, tuple):
        return value
    address = _split_address(value)
    if address is None or address[1] is None:
        raise ConfigError(
            f'expected HOST:PORT, for example "0.0.0.0:9000" or ":0", found {value!r}'
        )
    return address[0], address[1]


def _advertised_address(value: Any) -> tuple[str, int | None] | None:
    if value is None or isinstance(value, tuple):
        return value
    address = _split_address(value)
    if address is None or address == ("", None) or address[1] == 0:
        raise ConfigError(
            f'expected HOST, HOST:PORT or :PORT, for example "node7.example:9000", found {value!r}'
        )
    return address


def _split_address(value: Any) -> tuple[str, int | None] | None:
    """Split `HOST:PORT`, where an IPv6 host is in brackets and the port may be missing."""
    match = re.fullmatch(r"(\[[^]]+\]|[^:\s/]*)(?::(\d{1,5}))?", str(value))
    if match is None or int(match[2] or 0) > 65535:
        return None
    return match[1].strip("[]"), None if match[2] is None else int(match[2])


def _bounds(value: Any) -> list[float] | None:
    if value is None:
        return None
    if (
        not isinstance(value, list)
        or not all(_is_number(bound) for bound in value)
        or not all(low < high for low, high in itertools.pairwise(value))
    ):
        raise ConfigError(
            f"expected a list of ascending seconds, for example [0.1, 1, 10], found {value!r}"
        )
    return [float(bound) for bound in value]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ConfigError(f"expected a whole number of at least 0, found {value!r}")
    return value


def _names(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ConfigError(
            f"expected a list of family names, for example [python_info], found {value!r}"
        )
    return value


def _labels(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ConfigError(f"expected a mapping, for example {{cluster: blue}}, found {value!r}")
    return {str(name): str(text) for name, text in value.items()}


def _path(value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or not value):
        raise ConfigError(f"expected the path of a file, or null, found {value!r}")
    return value


@dataclass(frozen=True)
class Settings:
    """The settings of one server. Durations are in seconds."""

    enabled: bool = True
    serve: str = TAKE_OVER
    #: The host and port of `dedicated-port`: an empty host is the dashboard's, port 0 a free one.
    address: tuple[str, int] = ("", 0)
    #: The host and port that `/metrics/targets` lists for this server in place of the real ones.
    advertise_address: tuple[str, int | None] | None = None
    targets_file: str | None = None
    refresh_timeout: float = 0.020
    refresh_interval: float = 1.0
    window: float = 60.0
    #: Upper bounds of the duration histograms, or None for the built-in ones.
    buckets: list[float] | None = None
    native_histograms: bool = False
    max_task_prefixes: int = 1000
    max_workers: int = 0
    #: Whether the page shows the metrics of the library prometheus_client.
    prometheus_client: bool = True
    #: Whether the page is kept in a file that outlives the process: `AUTO` where it can be.
    black_box: bool | str = AUTO
    exclude_families: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    worker_name_label: bool = False
    #: Whether scrapers that ask for OpenMetrics 2.0 get it.
    openmetrics2: bool = False


#: Reads the configured value of each setting, or raises `ConfigError`.
_READERS: dict[str, Callable[[Any], Any]] = {
    "enabled": _boolean,
    "serve": _mode,
    "address": _listen_address,
    "advertise_address": _advertised_address,
    "targets_file": _path,
    "refresh_timeout": _seconds(at_least=0.0),
    "refresh_interval": _seconds(at_least=0.01),
    "window": _seconds(at_least=1.0),
    "buckets": _bounds,
    "native_histograms": _boolean,
    "max_task_prefixes": _count,
    "max_workers": _count,
    "prometheus_client": _boolean,
    "black_box": _boolean_or_auto,
    "exclude_families": _names,
    "labels": _labels,
    "worker_name_label": _boolean,
    "openmetrics2": _boolean,
}


def keys() -> list[str]:
    """Return the names of all settings, as they are spelled in the configuration."""
    return [name.replace("_", "-") for name in _READERS]


def load() -> Settings:
    """Read the current configuration. Mistakes in it are logged, and never raise."""
    configured = _configured()
    known = keys()
    for key in configured.keys() - set(known):
        logger.warning("unknown key %s.%s is ignored%s", PREFIX, key, _nearest(key, known))

    values = {}
    for name, read in _READERS.items():
        key = name.replace("_", "-")
        if key not in configured:
            continue
        try:
            values[name] = read(configured[key])
        except ConfigError as error:
            _log_default(f"{PREFIX}.{key}", error)
    mode = configured.get("serve")
    if isinstance(mode, str) and mode in RENAMED_MODES:
        _log_renamed(f"serve: {mode}", f"serve: {RENAMED_MODES[mode]}")
    return Settings(**values)


def _nearest(key: str, known: list[str]) -> str:
    """Return the end of a warning about an unknown key: the known one that is most like it."""
    if near := difflib.get_close_matches(key, [*known, *RENAMED_KEYS], n=1, cutoff=0.5):
        return f": did you mean {RENAMED_KEYS.get(near[0], near[0])!r}?"
    return f"; known keys: {', '.join(known)}"


def _configured() -> dict[str, Any]:
    """Return what is configured by key, with deprecated keys under their new names."""
    import dask

    section = dask.config.get(PREFIX, None)
    if section is None:
        return {}
    if not isinstance(section, dict):
        logger.error("%s: expected a mapping, found %r; using the defaults", PREFIX, section)
        return {}
    configured = {str(key).replace("_", "-"): value for key, value in section.items()}
    defaults = Settings()
    for old, new in RENAMED_KEYS.items():
        if old not in configured:
            continue
        _log_renamed(old, new)
        value = configured.pop(old)
        # The installed file spells out each new key's default: only a value that differs
        # from it was chosen by somebody, and wins over the deprecated key.
        if new not in configured or _is_default(defaults, new, configured[new]):
            configured[new] = value
    return configured


def _is_default(defaults: Settings, key: str, value: Any) -> bool:
    name = key.replace("-", "_")
    try:
        return _READERS[name](value) == getattr(defaults, name)
    except ConfigError:
        return False


def _log_renamed(old: str, new: str) -> None:
    logger.warning("%s.%s is deprecated: use %s", PREFIX, old, new)


def _log_default(key: str, error: Exception) -> None:
    logger.error("%s: %s; using the default", key, error)


def _log_left_out(key: str, entry: str, error: Exception) -> None:
    # The page names the first family that has met the entry, which is any of them.
    reason = re.sub('^cannot register "[^"]*": ', "", str(error))
    logger.error("%s: the entry %s is left out: %s", key, entry, reason)


def namespace() -> str:
    """Return the first word of Dask's family names, a setting of Dask's own handler."""
    import dask

    return str(dask.config.get(NAMESPACE, "dask") or "")


def make_page(
    role: str,
    wanted: Settings,
    worker_name: str | None = None,
    black_box: BlackBox | None = None,
) -> Page:
    """Make the page of a `"scheduler"` or `"worker"`.

    Only the page can tell whether a family exists, or whether a label's name is
    taken. A part of the settings that it refuses is logged and left out.
    `worker_name` is added as a label to each series if the settings ask for it. The
    values are in `black_box`, if there is one.
    """
    options: dict[str, Any] = {
        "window": wanted.window,
        "buckets": wanted.buckets,
        "native_histograms": wanted.native_histograms,
        "max_task_prefixes": wanted.max_task_prefixes,
        "max_workers": wanted.max_workers,
        "left_out": wanted.exclude_families,
        "labels": list(wanted.labels.items()),
        "namespace": namespace(),
        "openmetrics2": wanted.openmetrics2,
    }
    if wanted.worker_name_label and worker_name is not None:
        options["labels"].append(("worker_name", worker_name))
    try:
        page = Page(role, **options)
    except ValueError:
        options = _usable(role, _parts(options, len(wanted.labels)))
        page = Page(role, **options)
    # A page that is refused would leave families behind in the file.
    return page if black_box is None else Page(role, **options, black_box=black_box)


def _usable(role: str, parts: Iterator[_Part]) -> dict[str, Any]:
    """Return the options with the parts that a page accepts, and log the others."""
    usable: dict[str, Any] = {}
    for part in parts:
        value = part.value if part.entry is None else [*usable.get(part.option, []), part.value]
        attempt = {**usable, part.option: value}
        try:
            Page(role, **attempt)
        except ValueError as error:
            if part.entry is None:
                _log_default(part.key, error)
            else:
                _log_left_out(part.key, part.entry, error)
        else:
            usable = attempt
    return usable


@dataclass(frozen=True)
class _Part:
    """A part of the options of a page that can be refused singly."""

    #: Its key in the configuration.
    key: str
    option: str
    #: The value of the option or, if `entry` is given, one entry of its list.
    value: Any
    #: The entry as a text, for the log.
    entry: str | None = None


def _parts(options: dict[str, Any], configured_labels: int) -> Iterator[_Part]:
    yield _Part(NAMESPACE, "namespace", options["namespace"])
    for name in (
        "window",
        "buckets",
        "native_histograms",
        "max_task_prefixes",
        "max_workers",
        "openmetrics2",
    ):
        if options[name] is not None:
            yield _Part(f"{PREFIX}.{name.replace('_', '-')}", name, options[name])
    for family in options["left_out"]:
        yield _Part(f"{PREFIX}.exclude-families", "left_out", family, json.dumps(family))
    for number, (name, value) in enumerate(options["labels"]):
        key = "labels" if number < configured_labels else "worker-name-label"
        yield _Part(f"{PREFIX}.{key}", "labels", (name, value), f"{name}: {json.dumps(value)}")
