"""A Prometheus configuration that finds clusters through their schedulers.

A scheduler lists itself and its workers at `/metrics/targets`, in the form that
Prometheus calls http_sd: one URL a cluster is all that has to be configured.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

#: Where a scheduler's dashboard is, unless it is told otherwise.
DEFAULT_PORT = 8787

_CONFIGURATION = """\
global:
  scrape_interval: {interval}
  evaluation_interval: {interval}

rule_files:
  # What `python -m stethoscope.dask alerts` prints.
  - {rules}

scrape_configs:
  - job_name: dask
    # Each scheduler lists itself and its workers, with the labels `role`,
    # `worker_name` and `worker_address`.
    http_sd_configs:
{discoveries}
    relabel_configs:
      # A target's cluster is named after the scheduler that lists it.
      - source_labels: [__meta_url]
        regex: http://([^/]+)/.*
        target_label: cluster
{names}"""

_DISCOVERY = """\
      - url: {url}
        refresh_interval: 5s
"""

_NAME = """\
      - source_labels: [__meta_url]
        regex: {regex}
        replacement: {replacement}
        target_label: cluster
"""


@dataclass(frozen=True)
class Scheduler:
    """Where a scheduler's dashboard is, and what its cluster is called."""

    host: str
    port: int = DEFAULT_PORT
    cluster: str | None = None

    @classmethod
    def parse(cls, text: str) -> Scheduler:
        """Read `[CLUSTER=]HOST[:PORT]`. Raises `ValueError` where it is none."""
        match = re.fullmatch(
            r"(?:(?P<cluster>[^=]+)=)?(?P<host>\[[0-9a-fA-F:.]+\]|[^\s/:=\[\]]+)(?::(?P<port>\d{1,5}))?",
            text,
        )
        if match is None:
            raise ValueError(f"{text!r} is not of the form [CLUSTER=]HOST[:PORT]")
        port = int(match["port"] or DEFAULT_PORT)
        if not 0 < port < 65536:
            raise ValueError(f"{text!r}: there is no port {port}")
        return cls(match["host"], port, match["cluster"])

    @property
    def targets_url(self) -> str:
        """Where this scheduler lists its cluster."""
        return f"http://{self.host}:{self.port}/metrics/targets"


def configuration(schedulers: list[Scheduler], interval: str, rules: str) -> str:
    """The configuration, as YAML.

    `interval` is how often to scrape, in Prometheus' notation; `rules` is where
    Prometheus finds the alert rules.
    """
    named = [scheduler for scheduler in schedulers if scheduler.cluster is not None]
    return _CONFIGURATION.format(
        interval=interval,
        rules=_quoted(rules),
        discoveries="".join(
            _DISCOVERY.format(url=_quoted(scheduler.targets_url)) for scheduler in schedulers
        ).rstrip(),
        names="".join(
            _NAME.format(
                regex=_quoted(re.escape(scheduler.targets_url)),
                # A dollar would refer to a group of the regex.
                replacement=_quoted(scheduler.cluster.replace("$", "$$")),
            )
            for scheduler in named
        ),
    )


def _quoted(text: str) -> str:
    # A JSON string is a YAML string.
    return json.dumps(text)
