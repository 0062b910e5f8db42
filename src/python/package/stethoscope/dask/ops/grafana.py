"""A Grafana dashboard of a Dask cluster, to import as it is.

`SECTIONS` says what is on it, in the order of the page; `dashboard` lays it
out. Every query picks its cluster and workers by the variables on top, through
labels that `prometheus.py` gives; `$__rate_interval` is Grafana's own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

#: Labels of the series of a scheduler, of the chosen workers, and of both.
_SCHEDULER = 'cluster=~"$cluster", role="scheduler"'
_WORKER = 'cluster=~"$cluster", role="worker", worker_name=~"$worker"'
_SERVER = 'cluster=~"$cluster", worker_name=~"$worker|"'

_BY_WORKER = "{{worker_name}}"
_BY_SERVER = "{{role}} {{worker_name}}"

#: Panels in a line, and the units of Grafana's grid.
_IN_A_LINE = 3
_GRID_WIDTH = 24
_HEIGHT = 8


@dataclass(frozen=True)
class Query:
    """A PromQL expression, and what its series are called in the legend."""

    expression: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """One graph, in one of Grafana's units."""

    title: str
    queries: list[Query]
    unit: str = "short"
    description: str = ""
    kind: str = "timeseries"
    stacked: bool = False


@dataclass(frozen=True)
class Section:
    """Graphs below a headline that folds them away."""

    title: str
    panels: list[Panel] = field(default_factory=list)


def _scheduler(name: str, legend: str, *labels: str) -> Query:
    return Query(_selector(name, _SCHEDULER, *labels), legend)


def _worker(name: str, legend: str = _BY_WORKER, *labels: str) -> Query:
    return Query(_selector(name, _WORKER, *labels), legend)


def _server(name: str, legend: str = _BY_SERVER) -> Query:
    return Query(_selector(name, _SERVER), legend)


def _selector(name: str, *labels: str) -> str:
    return f"{name}{{{', '.join(labels)}}}"


def _rate(query: Query) -> Query:
    return Query(f"rate({query.expression}[$__rate_interval])", query.legend)


def _sum(by: str, query: Query) -> Query:
    return Query(f"sum by ({by}) ({query.expression})", query.legend)


def _top(number: int, query: Query) -> Query:
    return Query(f"topk({number}, {query.expression})", query.legend)


def _quantile(quantile: float, name: str, labels: str, by: str, legend: str) -> Query:
    buckets = f"rate({_selector(f'{name}_bucket', labels)}[$__rate_interval])"
    return Query(f"histogram_quantile({quantile}, sum by (le, {by}) ({buckets}))", legend)


def _heat(name: str, labels: str) -> Query:
    buckets = f"rate({_selector(f'{name}_bucket', labels)}[$__rate_interval])"
    return Query(f"sum by (le) ({buckets})", "{{le}}")


def _by_prefix(name: str) -> Query:
    return _scheduler(name, "{{task_prefix_name}}")


SECTIONS = [
    Section(
        "Cluster",
        [
            Panel(
                "Workers by state",
                [_sum("state", _scheduler("dask_scheduler_workers", "{{state}}"))],
                stacked=True,
            ),
            Panel(
                "Workers wanted and there",
                [
                    _scheduler("dask_scheduler_desired_workers", "wanted"),
                    _sum("cluster", _scheduler("dask_scheduler_workers", "there")),
                    Query(f"sum(up{{{_WORKER}}})", "answering"),
                ],
                description="What the scheduler would give the tasks at hand, and what there is.",
            ),
            Panel(
                "Workers that come and go",
                [
                    Query(
                        f"increase({_selector('dask_scheduler_workers_added_total', _SCHEDULER)}"
                        "[$__rate_interval])",
                        "come",
                    ),
                    Query(
                        f"-increase({_selector('dask_scheduler_workers_removed_total', _SCHEDULER)}"
                        "[$__rate_interval])",
                        "go",
                    ),
                ],
            ),
            Panel(
                "Tasks by state",
                [_sum("state", _scheduler("dask_scheduler_tasks", "{{state}}"))],
                stacked=True,
            ),
            Panel(
                "Tasks a second, by the state they enter",
                [
                    _sum(
                        "state",
                        _rate(_scheduler("dask_scheduler_task_transitions_total", "{{state}}")),
                    ),
                    _rate(_scheduler("dask_scheduler_tasks_forgotten_total", "forgotten")),
                ],
                unit="ops",
            ),
            Panel(
                "Clients",
                [
                    _scheduler("dask_scheduler_clients", "connected"),
                    _rate(_scheduler("dask_scheduler_client_connections_added_total", "come / s")),
                    _rate(_scheduler("dask_scheduler_client_connections_removed_total", "go / s")),
                ],
            ),
        ],
    ),
    Section(
        "Tasks",
        [
            Panel(
                "Task duration",
                [_heat("dask_scheduler_task_duration_seconds", _SCHEDULER)],
                unit="s",
                kind="heatmap",
            ),
            Panel(
                "Compute time by prefix",
                [_top(10, _rate(_by_prefix("dask_scheduler_tasks_compute_seconds_total")))],
                unit="s",
                description="Seconds of compute a second: threads kept busy.",
                stacked=True,
            ),
            Panel(
                "Transfer time by prefix",
                [_top(10, _rate(_by_prefix("dask_scheduler_tasks_transfer_seconds_total")))],
                unit="s",
                stacked=True,
            ),
            Panel(
                "Results in memory by prefix",
                [_top(10, _by_prefix("dask_scheduler_tasks_output_bytes"))],
                unit="bytes",
                stacked=True,
            ),
            Panel(
                "Finished and erred tasks a second, by prefix",
                [
                    _top(
                        10,
                        _rate(
                            _scheduler(
                                "dask_scheduler_prefix_state_totals_total",
                                "{{task_prefix_name}} {{state}}",
                                'state=~"memory|erred"',
                            )
                        ),
                    )
                ],
                unit="ops",
            ),
            Panel(
                "Tasks whose worker died, by prefix",
                [_top(10, _by_prefix("dask_scheduler_tasks_suspicious_total"))],
            ),
            Panel(
                "Task groups, and prefixes shown as one",
                [
                    _scheduler("dask_scheduler_task_groups", "groups"),
                    _scheduler("stethoscope_task_prefixes_folded", "prefixes folded into other"),
                ],
            ),
            Panel(
                "Work stealing: requests a second",
                [
                    _sum(
                        "cost_multiplier",
                        _rate(
                            _scheduler("dask_stealing_request_count_total", "{{cost_multiplier}}")
                        ),
                    )
                ],
                unit="ops",
                description="By what the move costs, as a multiple of the task's own duration.",
                stacked=True,
            ),
            Panel(
                "Work stealing: cost of the requests",
                [
                    _sum(
                        "cost_multiplier",
                        _rate(
                            _scheduler("dask_stealing_request_cost_total", "{{cost_multiplier}}")
                        ),
                    )
                ],
                stacked=True,
            ),
        ],
    ),
    Section(
        "Event loops",
        [
            Panel(
                "Time since the last tick",
                [
                    _scheduler("dask_scheduler_tick_age_seconds", "scheduler"),
                    _worker("dask_worker_tick_age_seconds"),
                ],
                unit="s",
                description="More than a moment, and the loop is blocked right now.",
            ),
            Panel(
                "Longest tick of the last minute",
                [
                    _scheduler("dask_scheduler_tick_duration_maximum_seconds", "scheduler"),
                    _worker("dask_worker_tick_duration_maximum_seconds"),
                ],
                unit="s",
            ),
            Panel(
                "Ticks: median and 99th percentile",
                [
                    _quantile(
                        0.99,
                        "dask_scheduler_tick_duration_seconds",
                        _SCHEDULER,
                        "cluster",
                        "scheduler, 99 %",
                    ),
                    _quantile(
                        0.99,
                        "dask_worker_tick_duration_seconds",
                        _WORKER,
                        "worker_name",
                        f"{_BY_WORKER}, 99 %",
                    ),
                    _worker("dask_worker_tick_duration_median_seconds", f"{_BY_WORKER}, median"),
                ],
                unit="s",
            ),
            Panel(
                "Ticks a second",
                [
                    _rate(_scheduler("dask_scheduler_tick_count_total", "scheduler")),
                    _rate(_worker("dask_worker_tick_count_total")),
                ],
                unit="ops",
            ),
            Panel(
                "Time that threads waited for the GIL",
                [
                    _rate(_scheduler("dask_scheduler_gil_contention_seconds_total", "scheduler")),
                    _rate(_worker("dask_worker_gil_contention_seconds_total")),
                ],
                unit="percentunit",
                description="Measured by gilknocker, where it is installed.",
            ),
            Panel(
                "Time spent on garbage collection",
                [
                    _rate(_scheduler("dask_scheduler_gc_collection_seconds_total", "scheduler")),
                    _rate(_worker("dask_worker_gc_collection_seconds_total")),
                ],
                unit="percentunit",
            ),
        ],
    ),
    Section(
        "Workers: tasks and data",
        [
            Panel(
                "Tasks by state",
                [_sum("state", _worker("dask_worker_tasks", "{{state}}"))],
                stacked=True,
            ),
            Panel("Threads", [_worker("dask_worker_threads")], stacked=True),
            Panel(
                "Task duration",
                [_heat("dask_worker_task_duration_seconds", _WORKER)],
                unit="s",
                kind="heatmap",
            ),
            Panel(
                "Median task duration",
                [_worker("dask_worker_task_duration_median_seconds")],
                unit="s",
            ),
            Panel(
                "Latency to the scheduler",
                [_worker("dask_worker_latency_seconds")],
                unit="s",
            ),
            Panel(
                "Memory",
                [_sum("type", _worker("dask_worker_memory_bytes", "{{type}}"))],
                unit="bytes",
                stacked=True,
            ),
            Panel(
                "Unmanaged memory",
                [_worker("dask_worker_memory_bytes", _BY_WORKER, 'type="unmanaged"')],
                unit="bytes",
                description="Held by the process, but by no task's result: growing, it is a leak.",
            ),
            Panel(
                "Spilled and read back",
                [
                    _sum(
                        "activity",
                        _rate(_worker("dask_worker_spill_bytes_total", "{{activity}}")),
                    )
                ],
                unit="Bps",
            ),
            Panel(
                "Keys spilled and read back",
                [
                    _sum(
                        "activity",
                        _rate(_worker("dask_worker_spill_count_total", "{{activity}}")),
                    )
                ],
                unit="ops",
            ),
            Panel(
                "Time spent on spilling",
                [
                    _sum(
                        "activity",
                        _rate(_worker("dask_worker_spill_time_seconds_total", "{{activity}}")),
                    )
                ],
                unit="percentunit",
            ),
        ],
    ),
    Section(
        "Workers: transfers",
        [
            Panel(
                "Under way",
                [
                    _sum("cluster", _worker("dask_worker_transfer_incoming_count", "incoming")),
                    _sum("cluster", _worker("dask_worker_transfer_outgoing_count", "outgoing")),
                    _sum("cluster", _worker("dask_worker_connections", "connections")),
                ],
            ),
            Panel(
                "Bytes under way",
                [
                    _sum("cluster", _worker("dask_worker_transfer_incoming_bytes", "incoming")),
                    _sum("cluster", _worker("dask_worker_transfer_outgoing_bytes", "outgoing")),
                ],
                unit="bytes",
            ),
            Panel(
                "Transfers a second",
                [
                    _sum(
                        "cluster",
                        _rate(_worker("dask_worker_transfer_incoming_count_total", "incoming")),
                    ),
                    _sum(
                        "cluster",
                        _rate(_worker("dask_worker_transfer_outgoing_count_total", "outgoing")),
                    ),
                ],
                unit="ops",
            ),
            Panel(
                "Bytes sent to other workers",
                [_rate(_worker("dask_worker_transfer_outgoing_bytes_total"))],
                unit="Bps",
            ),
            Panel(
                "Median bandwidth",
                [_worker("dask_worker_transfer_bandwidth_median_bytes")],
                unit="Bps",
            ),
        ],
    ),
    Section(
        "Semaphores",
        [
            Panel(
                "Leases",
                [
                    _scheduler("dask_semaphore_active_leases", "{{name}} active"),
                    _scheduler("dask_semaphore_pending_leases", "{{name}} pending"),
                    _scheduler("dask_semaphore_max_leases", "{{name}} at most"),
                ],
            ),
            Panel(
                "Leases acquired and released a second",
                [
                    _rate(_scheduler("dask_semaphore_acquire_total", "{{name}} acquired")),
                    _rate(_scheduler("dask_semaphore_release_total", "{{name}} released")),
                ],
                unit="ops",
            ),
            Panel(
                "Time to get a lease",
                [_scheduler("dask_semaphore_average_pending_lease_time_s", "{{name}}")],
                unit="s",
            ),
        ],
    ),
    Section(
        "Processes",
        [
            Panel(
                "CPU",
                [_rate(_server("process_cpu_seconds_total"))],
                unit="percentunit",
            ),
            Panel("Resident memory", [_server("process_resident_memory_bytes")], unit="bytes"),
            Panel("Virtual memory", [_server("process_virtual_memory_bytes")], unit="bytes"),
            Panel(
                "Open file descriptors",
                [
                    _server("process_open_fds"),
                    Query(f"min({_selector('process_max_fds', _SERVER)})", "at most"),
                ],
            ),
            Panel(
                "Age of the processes",
                [Query(f"time() - {_selector('process_start_time_seconds', _SERVER)}", _BY_SERVER)],
                unit="s",
            ),
            Panel(
                "Garbage collections a second",
                [
                    _sum(
                        "generation",
                        _rate(_server("python_gc_collections_total", "generation {{generation}}")),
                    )
                ],
                unit="ops",
            ),
            Panel(
                "Objects collected a second",
                [
                    _sum(
                        "generation",
                        _rate(
                            _server(
                                "python_gc_objects_collected_total", "generation {{generation}}"
                            )
                        ),
                    )
                ],
                unit="ops",
            ),
            Panel(
                "Objects that could not be collected",
                [_sum("role", _server("python_gc_objects_uncollectable_total", "{{role}}"))],
            ),
            Panel(
                "Versions of Python",
                [
                    Query(
                        f"count by (implementation, version) ({_selector('python_info', _SERVER)})",
                        "{{implementation}} {{version}}",
                    )
                ],
                stacked=True,
            ),
        ],
    ),
    Section(
        "The metrics themselves",
        [
            Panel(
                "Age of the sample",
                [_server("stethoscope_sample_age_seconds")],
                unit="s",
                description="How old the values are that an event loop was asked for.",
            ),
            Panel(
                "Event loop time spent on samples",
                [_rate(_server("stethoscope_sampling_seconds_total"))],
                unit="percentunit",
            ),
            Panel(
                "Time to scrape",
                [Query(f"scrape_duration_seconds{{{_SERVER}}}", _BY_SERVER)],
                unit="s",
            ),
            Panel(
                "Responses a second, by status code",
                [_sum("code", _rate(_server("stethoscope_http_responses_total", "{{code}}")))],
                unit="ops",
                description="Of the thread that answers scrapes; Dask's own are not in it.",
            ),
            Panel(
                "Bytes sent",
                [_rate(_server("stethoscope_http_sent_bytes_total"))],
                unit="Bps",
                description="Compressed where the scraper asks for it, as Prometheus does.",
            ),
            Panel(
                "From request to page: 99th percentile",
                [
                    _quantile(
                        0.99,
                        "stethoscope_http_response_seconds",
                        _SERVER,
                        "role, worker_name",
                        f"{_BY_SERVER}, as a scraper waits",
                    ),
                    _quantile(
                        0.99,
                        "stethoscope_http_page_seconds",
                        _SERVER,
                        "role, worker_name",
                        f"{_BY_SERVER}, to make the page",
                    ),
                ],
                unit="s",
            ),
            Panel("Connections open", [_server("stethoscope_http_connections")]),
            Panel(
                "Connections accepted, and handed over to Dask, a second",
                [
                    _sum(
                        "role",
                        _rate(
                            _server(
                                "stethoscope_http_connections_accepted_total", "{{role}} accepted"
                            )
                        ),
                    ),
                    _sum(
                        "role",
                        _rate(
                            _server(
                                "stethoscope_http_connections_handed_over_total",
                                "{{role}} handed over",
                            )
                        ),
                    ),
                ],
                unit="ops",
            ),
            Panel(
                "Connections ended by a bound",
                [
                    _sum(
                        "reason",
                        _rate(_server("stethoscope_http_connections_dropped_total", "{{reason}}")),
                    )
                ],
                unit="ops",
            ),
        ],
    ),
]


def dashboard(title: str) -> dict[str, Any]:
    """The dashboard, as the JSON that Grafana imports."""
    panels: list[dict[str, Any]] = []
    top = 0
    for section in SECTIONS:
        panels.append(_row(section.title, top))
        top += 1
        for index, panel in enumerate(section.panels):
            width = _GRID_WIDTH // _IN_A_LINE
            line, column = divmod(index, _IN_A_LINE)
            position = {"x": column * width, "y": top + line * _HEIGHT, "w": width, "h": _HEIGHT}
            panels.append(_panel(panel, position))
        top += -(-len(section.panels) // _IN_A_LINE) * _HEIGHT
    for number, panel in enumerate(panels, start=1):
        panel["id"] = number
    return {
        "title": title,
        "uid": "stethoscope-dask",
        "tags": ["dask"],
        "editable": True,
        "graphTooltip": 1,
        "schemaVersion": 38,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": _variables()},
        "annotations": {"list": []},
        "panels": panels,
    }


_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def _variables() -> list[dict[str, Any]]:
    def labels(name: str, label: str, query: str) -> dict[str, Any]:
        return {
            "name": name,
            "label": label,
            "type": "query",
            "datasource": _DATASOURCE,
            "query": {"query": query, "refId": name},
            "definition": query,
            # When the time range changes, for what has come and gone.
            "refresh": 2,
            "sort": 7,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        }

    return [
        {
            "name": "datasource",
            "label": "Data source",
            "type": "datasource",
            "query": "prometheus",
            "current": {},
        },
        labels("cluster", "Cluster", "label_values(dask_scheduler_workers, cluster)"),
        labels(
            "worker",
            "Worker",
            'label_values(dask_worker_threads{cluster=~"$cluster"}, worker_name)',
        ),
    ]


def _row(title: str, top: int) -> dict[str, Any]:
    return {
        "type": "row",
        "title": title,
        "collapsed": False,
        "gridPos": {"x": 0, "y": top, "w": _GRID_WIDTH, "h": 1},
        "panels": [],
    }


def _panel(panel: Panel, position: dict[str, int]) -> dict[str, Any]:
    targets = [
        {
            "refId": chr(ord("A") + index),
            "datasource": _DATASOURCE,
            "expr": query.expression,
            "legendFormat": query.legend,
            "format": "heatmap" if panel.kind == "heatmap" else "time_series",
            "range": True,
        }
        for index, query in enumerate(panel.queries)
    ]
    common = {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _DATASOURCE,
        "gridPos": position,
        "targets": targets,
    }
    if panel.kind == "heatmap":
        return common | {
            "fieldConfig": {"defaults": {}, "overrides": []},
            "options": {
                "calculate": False,
                "yAxis": {"unit": panel.unit},
                "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64},
                "cellGap": 1,
                "legend": {"show": True},
                "tooltip": {"show": True, "yHistogram": False},
            },
        }
    return common | {
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "custom": {
                    "fillOpacity": 30 if panel.stacked else 0,
                    "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
                    "showPoints": "never",
                },
            },
            "overrides": [],
        },
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    }
