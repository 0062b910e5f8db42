"""Prometheus configurations that find clusters, for each way in which Prometheus discovers targets.

A scheduler lists itself and its workers at `/metrics/targets`, in the format that
Prometheus calls http_sd: one URL for each cluster is all that has to be configured.
The other kinds of scrape job are for installations that cannot use it. The
dashboard and the alert rules work with each of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

#: The port of a scheduler's dashboard, unless configured otherwise.
DEFAULT_PORT = 8787
#: The file of the alert rules, unless chosen otherwise.
DEFAULT_RULES = "stethoscope-alerts.yml"

#: The labels that Dask's Kubernetes operator puts on its pods and services.
_POD_CLUSTER = "dask.org/cluster-name"
_POD_ROLE = "dask.org/component"
_POD_WORKER = "dask.org/worker-name"
_POD_PORT = "http-dashboard"


@dataclass(frozen=True)
class Scheduler:
    """The address of a scheduler's dashboard, and the name of its cluster."""

    host: str
    port: int = DEFAULT_PORT
    cluster: str | None = None
    scheme: str = "http"
    #: The path below which a proxy, or `--dashboard-prefix`, serves the dashboard.
    prefix: str = ""

    @classmethod
    def parse(cls, text: str) -> Scheduler:
        """Read `[CLUSTER=]HOST[:PORT]` or `[CLUSTER=]http[s]://HOST[:PORT][/PREFIX]`.

        The URL may also be that of a page below the dashboard that people copy:
        `/metrics`, `/metrics/targets` or `/status`. Raises `ValueError` for anything else.
        """
        match = re.fullmatch(
            r"(?:(?P<cluster>(?:(?!://)[^=])+)=)?(?:(?P<scheme>https?)://)?"
            r"(?P<host>\[[0-9a-fA-F:.]+\]|[^\s/:=\[\]]+)(?::(?P<port>\d{1,5}))?"
            r"(?P<prefix>(?:/[^\s?#]*)?)",
            text,
        )
        if match is None or (match["prefix"] and not match["scheme"]):
            raise ValueError(
                f"expected [CLUSTER=]HOST[:PORT] or [CLUSTER=]http[s]://HOST[:PORT][/PREFIX], "
                f"found {text!r}"
            )
        scheme = match["scheme"] or "http"
        default = {None: DEFAULT_PORT, "http": 80, "https": 443}[match["scheme"]]
        port = int(match["port"] or default)
        if not 0 < port < 65536:
            raise ValueError(f"expected a port from 1 to 65535, found {port} in {text!r}")
        prefix = re.sub("/(metrics(/targets)?|status)$", "", match["prefix"].rstrip("/"))
        return cls(match["host"], port, match["cluster"], scheme, prefix)

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The dashboard's URL, without a slash at its end."""
        return f"{self.scheme}://{self.address}{self.prefix}"

    @property
    def targets_url(self) -> str:
        """The URL at which this scheduler lists its cluster."""
        return f"{self.url}/metrics/targets"


@dataclass(frozen=True)
class Options:
    """The command line of `prometheus-config`."""

    schedulers: list[Scheduler] = field(default_factory=lambda: [Scheduler("localhost")])
    #: Host and port of workers' dashboards, for a static job.
    workers: list[str] = field(default_factory=list)
    #: Patterns of files that schedulers write (the key `targets-file`).
    files: list[str] = field(default_factory=list)
    #: How often to scrape, in Prometheus' notation.
    interval: str = "15s"
    #: The file of the alert rules.
    rules: str = DEFAULT_RULES


def _http_sd(options: Options) -> str:
    discovery = [{"url": s.targets_url, "refresh_interval": "5s"} for s in options.schedulers]
    return _server_configuration(
        options,
        {"http_sd_configs": discovery, "relabel_configs": _snake(_cluster_of_url(options))},
        "Each scheduler lists itself and its workers, with the labels `role`, `worker_name`\n"
        "and `worker_address`. A target's cluster is named after the scheduler that lists it.",
    )


def _file_sd(options: Options) -> str:
    discovery = [{"files": options.files or ["/etc/prometheus/dask/*.json"]}]
    from_file = {
        "source_labels": ["__meta_filepath"],
        "regex": r"(?:.*/)?([^/]+)\.json",
        "target_label": "cluster",
    }
    return _server_configuration(
        options,
        {"file_sd_configs": discovery, "relabel_configs": [from_file]},
        "Each scheduler keeps a file with itself and its workers in this directory: set\n"
        "distributed.stethoscope.targets-file to DIRECTORY/CLUSTER.json, or to\n"
        "DIRECTORY/{id}.json. A cluster is named after its file.",
    )


def _static(options: Options) -> str:
    groups = [_static_group(scheduler) for scheduler in options.schedulers]
    if options.workers:
        groups.append({"targets": options.workers, "labels": {"role": "worker"}})
        if len(options.schedulers) == 1 and (cluster := options.schedulers[0].cluster):
            groups[-1]["labels"]["cluster"] = cluster
    return _server_configuration(
        options,
        {"static_configs": groups},
        "A fixed list. Workers need fixed ports (dask worker --dashboard-address :8788).",
    )


def _static_group(scheduler: Scheduler) -> dict[str, Any]:
    labels = {"role": "scheduler"}
    if scheduler.cluster is not None:
        labels["cluster"] = scheduler.cluster
    if scheduler.scheme != "http":
        labels["__scheme__"] = scheduler.scheme
    if scheduler.prefix:
        labels["__metrics_path__"] = f"{scheduler.prefix}/metrics"
    return {"targets": [scheduler.address], "labels": labels}


def _service_monitor(options: Options) -> str:
    spec = {
        "selector": {"matchLabels": {_POD_ROLE: "scheduler"}},
        "endpoints": [_endpoint(options, "service")],
    }
    return _object(
        "monitoring.coreos.com/v1",
        "ServiceMonitor",
        "dask-scheduler",
        spec,
        "Schedulers only, through their services: the page of a scheduler has the sums over\n"
        "its workers. The labels are those of Dask's Kubernetes operator.",
    )


def _pod_monitor(options: Options) -> str:
    roles = {"key": _POD_ROLE, "operator": "In", "values": ["scheduler", "worker"]}
    spec = {
        "selector": {"matchExpressions": [roles]},
        "podMetricsEndpoints": [_endpoint(options, "pod")],
    }
    return _object(
        "monitoring.coreos.com/v1",
        "PodMonitor",
        "dask",
        spec,
        "Schedulers and workers, through their pods. The labels are those of Dask's\n"
        "Kubernetes operator. Workers need a container port called http-dashboard.",
    )


def _scrape_config(options: Options) -> str:
    spec = {
        "scrapeInterval": options.interval,
        "httpSDConfigs": [
            {"url": scheduler.targets_url, "refreshInterval": "5s"}
            for scheduler in options.schedulers
        ],
        "relabelings": _cluster_of_url(options),
    }
    return _object(
        "monitoring.coreos.com/v1alpha1",
        "ScrapeConfig",
        "dask",
        spec,
        "Each scheduler lists itself and its workers: for Prometheus' operator, from 0.65 on.",
    )


#: The kinds of scrape job, by the name of each on the command line.
KINDS: dict[str, Callable[[Options], str]] = {
    "http_sd": _http_sd,
    "file_sd": _file_sd,
    "static": _static,
    "ServiceMonitor": _service_monitor,
    "PodMonitor": _pod_monitor,
    "ScrapeConfig": _scrape_config,
}

#: The kinds that use an option of the command line, for each option that some do not use.
KINDS_OF_OPTIONS = {
    "scheduler": ("http_sd", "static", "ScrapeConfig"),
    "worker": ("static",),
    "files": ("file_sd",),
    "rules": ("http_sd", "file_sd", "static"),
}


def configuration(kind: str, options: Options) -> str:
    """Return the configuration of one kind, as YAML."""
    return KINDS[kind](options)


def _cluster_of_url(options: Options) -> list[dict[str, Any]]:
    """Relabelings that name a target's cluster after the URL that lists it."""
    rules: list[dict[str, Any]] = [
        {
            "sourceLabels": ["__meta_url"],
            "regex": "https?://([^/]+)/.*",
            "targetLabel": "cluster",
        }
    ]
    for scheduler in options.schedulers:
        if scheduler.cluster is not None:
            rules.append(
                {
                    "sourceLabels": ["__meta_url"],
                    "regex": re.escape(scheduler.targets_url),
                    # A dollar would refer to a group of the regex.
                    "replacement": scheduler.cluster.replace("$", "$$"),
                    "targetLabel": "cluster",
                }
            )
    return rules


def _endpoint(options: Options, kind: str) -> dict[str, Any]:
    """The endpoint of a monitor of services or pods, with the labels that are worth keeping."""

    def label(name: str, target: str) -> dict[str, Any]:
        source = f"__meta_kubernetes_{kind}_label_{re.sub('[^a-zA-Z0-9]', '_', name)}"
        return {"sourceLabels": [source], "targetLabel": target}

    relabelings = [label(_POD_CLUSTER, "cluster"), label(_POD_ROLE, "role")]
    if kind == "pod":
        relabelings.append(label(_POD_WORKER, "worker_name"))
    return {
        "port": _POD_PORT,
        "path": "/metrics",
        "interval": options.interval,
        "relabelings": relabelings,
    }


def _server_configuration(options: Options, discovery: dict[str, Any], comment: str) -> str:
    """A whole configuration of a Prometheus server."""
    document = {
        "global": {"scrape_interval": options.interval, "evaluation_interval": options.interval},
        "rule_files": [options.rules],
        "scrape_configs": [{"job_name": "dask", **discovery}],
    }
    return f"{_comment(comment)}{_yaml(document)}"


def _object(version: str, kind: str, name: str, spec: dict[str, Any], comment: str) -> str:
    """An object for Kubernetes."""
    document = {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": "dask"}},
        "spec": spec,
    }
    return f"{_comment(comment)}{_yaml(document)}"


def _comment(text: str) -> str:
    return "".join(f"# {line}\n" for line in text.splitlines())


def _snake(rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Relabelings as Prometheus spells them, from those of its operator."""
    return [
        {re.sub("[A-Z]", lambda m: f"_{m[0].lower()}", key): value for key, value in rule.items()}
        for rule in rules
    ]


def _yaml(value: Any, indent: int = 0) -> str:
    """Format mappings, lists and texts as YAML. A JSON string is a YAML string."""
    pad = "  " * indent
    if isinstance(value, dict):
        return "".join(f"{pad}{key}:{_yaml_value(entry, indent)}" for key, entry in value.items())
    lines = ""
    for entry in value:
        if isinstance(entry, dict):
            # The first key stands beside the dash.
            lines += f"{pad}- {_yaml(entry, indent + 1).lstrip()}"
        else:
            lines += f"{pad}- {json.dumps(entry)}\n"
    return lines


def _yaml_value(value: Any, indent: int) -> str:
    if isinstance(value, dict | list) and value:
        return f"\n{_yaml(value, indent + 1)}"
    return f" {json.dumps(value)}\n"
