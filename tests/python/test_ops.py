"""The operator's tools around the page, checked with Debian's promtool."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from stethoscope.dask.ops import doctor
from stethoscope.dask.ops.prometheus import Scheduler

HERE = Path(__file__).parent

#: Families of Prometheus itself for each target.
OF_PROMETHEUS = {"up", "scrape_duration_seconds"}


def printed(*arguments: str) -> str:
    """Run `python -m stethoscope.dask ARGUMENTS` and return its output."""
    command = [sys.executable, "-m", "stethoscope.dask", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def run(*arguments: str | bytes, stdout: Any = subprocess.PIPE) -> tuple[int, str | None, str]:
    """The exit code of `python -m stethoscope.dask ARGUMENTS`, its output and its errors."""
    command = [sys.executable, "-m", "stethoscope.dask", *arguments]
    result = subprocess.run(
        command, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60, check=False
    )
    return result.returncode, result.stdout, result.stderr


def alert_rules() -> list[dict]:
    groups = yaml.safe_load(printed("alerts"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def all_panels(dashboard: dict) -> Iterator[dict]:
    """The panels of a dashboard with those in folded rows, and without the rows."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panel["panels"]
        else:
            yield panel


def expressions(dashboard: dict) -> Iterator[str]:
    for panel in all_panels(dashboard):
        for target in panel["targets"]:
            yield target["expr"]


@pytest.fixture(scope="module")
def dashboard() -> dict:
    return json.loads(printed("grafana"))


KINDS = ["http_sd", "file_sd", "static", "ServiceMonitor", "PodMonitor", "ScrapeConfig"]


SCHEDULERS = [
    ["--scheduler", "10.0.0.5"],
    ["--scheduler", "blue=dask.example:80", "--scheduler", "[::1]:8787", "--interval", "1m30s"],
    ["--scheduler", "blue=https://proxy.example/team/dask", "--scheduler", "https://[::1]:1/"],
    ["--scheduler", 'a "name" with $1 and \\=dask.example', "--rules", "it's here: rules.yml"],
]


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        *(("http_sd", arguments) for arguments in [[], *SCHEDULERS]),
        *(("static", arguments) for arguments in [[], *SCHEDULERS]),
        ("static", ["--scheduler", "10.0.0.5", "--worker", "10.0.0.6:8788"]),
        ("file_sd", []),
        ("file_sd", ["--files", "/shared/dask/*.json", "--rules", "it's here: rules.yml"]),
    ],
)
def test_prometheus_takes_the_configuration(
    kind: str, arguments: list[str], tmp_path: Path, promtool: Callable[..., None]
) -> None:
    text = printed("prometheus-config", "--kind", kind, *arguments)
    configuration = yaml.safe_load(text)
    (tmp_path / "prometheus.yml").write_text(text)
    # Names the rules, which it reads too.
    (tmp_path / configuration["rule_files"][0]).write_text(printed("alerts"))
    promtool("check", "config", str(tmp_path / "prometheus.yml"))


@pytest.mark.parametrize(
    ("kind", "discoveries"),
    [("ServiceMonitor", "endpoints"), ("PodMonitor", "podMetricsEndpoints"), ("ScrapeConfig", "")],
)
def test_prometheus_takes_the_relabelings_of_an_object(
    kind: str, discoveries: str, tmp_path: Path, promtool: Callable[..., None]
) -> None:
    arguments = ["--scheduler", "blue=dask.example"] if kind == "ScrapeConfig" else []
    made = yaml.safe_load(printed("prometheus-config", "--kind", kind, *arguments))
    assert made["kind"] == kind
    assert made["apiVersion"].startswith("monitoring.coreos.com/v1")
    spec = made["spec"]
    (endpoint,) = spec[discoveries] if discoveries else [spec]
    # As the operator translates them.
    rules = [
        {re.sub("[A-Z]", lambda m: "_" + m[0].lower(), key): value for key, value in rule.items()}
        for rule in endpoint["relabelings"]
    ]
    # Debian's Prometheus is built without discovery on Kubernetes.
    discovery = {"static_configs": [{"targets": ["dask:8787"]}]}
    job = {"job_name": "dask", **discovery, "relabel_configs": rules}
    (tmp_path / "prometheus.yml").write_text(json.dumps({"scrape_configs": [job]}))
    promtool("check", "config", str(tmp_path / "prometheus.yml"))
    targets = {rule["target_label"] for rule in rules}
    assert (
        targets
        == {
            "ServiceMonitor": {"cluster", "role"},
            "PodMonitor": {"cluster", "role", "worker_name"},
            "ScrapeConfig": {"cluster"},
        }[kind]
    )


def test_configuration_finds_each_cluster_and_names_it() -> None:
    text = printed(
        "prometheus-config",
        *("--scheduler", "blue=a.example"),
        *("--scheduler", "b.example:80"),
        *("--scheduler", "green=https://proxy.example/team/dask/"),
    )
    job = yaml.safe_load(text)["scrape_configs"][0]
    urls = [discovery["url"] for discovery in job["http_sd_configs"]]
    assert urls == [
        "http://a.example:8787/metrics/targets",
        "http://b.example:80/metrics/targets",
        "https://proxy.example:443/team/dask/metrics/targets",
    ]

    def cluster(url: str) -> str:
        name = ""
        for rule in job["relabel_configs"]:
            assert rule["source_labels"] == ["__meta_url"]
            if match := re.fullmatch(rule["regex"], url):
                template = rule.get("replacement", "$1")
                assert "$" not in template.replace("$1", "")
                name = template.replace("$1", match[1] if match.groups() else "")
        return name

    assert [cluster(url) for url in urls] == ["blue", "b.example:80", "green"]


def test_static_job_names_role_scheme_and_prefix() -> None:
    text = printed(
        *("prometheus-config", "--kind", "static", "--worker", "w:8788"),
        *("--scheduler", "blue=https://proxy.example/team"),
    )
    (job,) = yaml.safe_load(text)["scrape_configs"]
    scheduler, workers = job["static_configs"]
    assert scheduler == {
        "targets": ["proxy.example:443"],
        "labels": {
            "role": "scheduler",
            "cluster": "blue",
            "__scheme__": "https",
            "__metrics_path__": "/team/metrics",
        },
    }
    assert workers == {"targets": ["w:8788"], "labels": {"role": "worker", "cluster": "blue"}}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--scheduler", "ftp://host:8787"],
        ["--scheduler", "host/prefix"],
        ["--scheduler", "host:0"],
        ["--scheduler", "host:65536"],
        ["--scheduler", "=host"],
        ["--scheduler", "https://"],
        ["--scheduler", ""],
        ["--worker", "host"],
        ["--interval", "15"],
        ["--interval", "0s"],
        ["--interval", ""],
        ["--kind", "pigeon"],
    ],
)
def test_argument_that_prometheus_would_not_understand_is_refused(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "stethoscope.dask", "prometheus-config", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert f"argument {arguments[0]}: " in result.stderr


@pytest.mark.parametrize(
    ("option", "kinds"),
    [
        (("--worker", "a:1"), ["static"]),
        (("--files", "/shared/*.json"), ["file_sd"]),
        (("--scheduler", "dask.example"), ["http_sd", "static", "ScrapeConfig"]),
        (("--rules", "rules.yml"), ["http_sd", "file_sd", "static"]),
    ],
)
def test_option_that_a_kind_does_not_use_is_refused(
    option: tuple[str, str], kinds: list[str]
) -> None:
    for kind in KINDS:
        code, output, error = run("prometheus-config", "--kind", kind, *option)
        if kind in kinds:
            assert (code, error) == (0, "")
            assert option[1] in output
        else:
            assert (code, output) == (2, "")
            assert error.endswith(
                f"argument {option[0]}: --kind {kind} does not use it: "
                f"expected --kind {' or '.join(kinds)}\n"
            )


@pytest.mark.parametrize("page", ["", "/", "/metrics", "/metrics/", "/metrics/targets", "/status"])
def test_url_of_a_page_below_the_dashboard_means_the_dashboard(page: str) -> None:
    for dashboard in ("http://dask.example:8787", "https://proxy.example:443/team"):
        assert Scheduler.parse(dashboard + page).url == dashboard


@pytest.mark.parametrize("title", ["", " ", b"\xff"])
def test_title_that_grafana_would_not_show_is_refused(title: str) -> None:
    code, output, error = run("grafana", "--title", title)
    assert (code, output) == (2, "")
    assert "argument --title: expected a title that is not blank" in error


PRINTING = [["alerts"], ["grafana"], ["prometheus-config"], ["--help"], ["alerts", "--help"]]


@pytest.mark.parametrize("arguments", PRINTING)
def test_output_that_cannot_be_written_is_an_error_of_one_line(arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:
        code, _, error = run(*arguments, stdout=full)
    assert code == 2
    assert error == "cannot write the output: [Errno 28] No space left on device\n"


def test_reader_that_stops_early_gets_no_message() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        code, _, error = run("grafana", stdout=writer)
    finally:
        os.close(writer)
    assert (code, error) == (2, "")


def test_closed_output_is_an_error_of_one_line() -> None:
    command = f"{sys.executable} -m stethoscope.dask alerts >&-"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert result.stderr == "cannot write the output: standard output is closed\n"


def test_namespace_renames_the_families_and_nothing_else() -> None:
    for command in ("alerts", "grafana"):
        text = printed(command, "--namespace", "team")
        assert "team_scheduler_workers" in text
        assert not re.search(r"\b(postmortem_)?dask_(scheduler|worker|semaphore|stealing)_", text)
        renamed = re.sub(
            r"(\b|(?<=postmortem_))team_(?=(scheduler|worker|semaphore|stealing)_)", "dask_", text
        )
        assert renamed == printed(command)


def test_title_makes_the_uid() -> None:
    uids = {
        json.loads(printed("grafana", *arguments))["uid"]
        for arguments in ([], ["--title", "Dask"], ["--title", "Dask (blue)"])
    }
    assert len(uids) == 2
    # Grafana's bounds.
    assert all(re.fullmatch("[a-zA-Z0-9_-]{1,40}", uid) for uid in uids)


def test_each_alert_fires_when_it_should_and_only_then(
    tmp_path: Path, promtool: Callable[..., None]
) -> None:
    (tmp_path / "alerts.yml").write_text(printed("alerts"))
    shutil.copy(HERE / "alerts_test.yml", tmp_path)
    promtool("check", "rules", "alerts.yml", cwd=tmp_path)
    promtool("test", "rules", "alerts_test.yml", cwd=tmp_path)


def test_every_alert_is_tested() -> None:
    fires, is_quiet = set(), set()
    for test in yaml.safe_load((HERE / "alerts_test.yml").read_text())["tests"]:
        for case in test["alert_rule_test"]:
            (fires if case["exp_alerts"] else is_quiet).add(case["alertname"])
    assert fires == is_quiet == {rule["alert"] for rule in alert_rules()}


def test_each_alert_and_kind_of_scrape_job_is_in_the_operating_guide() -> None:
    guide = (HERE.parents[1] / "src/python/OPERATING.md").read_text()
    documented = re.findall(r"^\| `(Dask\w+)` \|", guide, flags=re.MULTILINE)
    assert set(documented) == {rule["alert"] for rule in alert_rules()}
    assert re.findall(r"^\| `(\w+)` \|", guide, flags=re.MULTILINE)[: len(KINDS)] == KINDS


def test_each_alert_has_a_severity_and_a_description() -> None:
    for rule in alert_rules():
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert rule["annotations"].keys() == {"summary", "description"}


def test_prometheus_reads_each_expression_of_the_dashboard(
    dashboard: dict, tmp_path: Path, promtool: Callable[..., None]
) -> None:
    rules = []
    for number, expression in enumerate(expressions(dashboard)):
        for variable, value in [
            ("$__rate_interval", "5m"),
            ("$__range", "1h"),
            ("$cluster", ".*"),
            ("$worker", "(a|b)"),
        ]:
            expression = expression.replace(variable, value)
        assert "$" not in expression
        rules.append({"record": f"panel:{number}", "expr": expression})
    assert len(rules) > 50
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", str(path))


def families() -> set[str]:
    """The families of METRICS.md, whose tables the Rust tests compare with the catalogue."""
    document = (HERE.parents[1] / "src/python/METRICS.md").read_text()
    return set(re.findall(r"^\| `([a-z_]+)[{`]", document, flags=re.MULTILINE))


def families_of_black_boxes() -> set[str]:
    """Those that only pages of dead and frozen workers have."""
    document = (HERE.parents[1] / "src/python/METRICS.md").read_text()
    first, last = "Pages of frozen workers", "`postmortem_process_resident_memory_bytes`."
    part = document[document.index(first) : document.index(last)]
    own = set(re.findall(r"`(stethoscope_[a-z_]+)[{`]", part))
    assert len(own) > 4
    return own | {f"postmortem_{name}" for name in families()}


def named(expression: str) -> set[str]:
    """The families that a PromQL expression selects."""
    without_labels = re.sub(r"\{[^}]*\}|\b(?:by|without|ignoring|on)\s*\([^)]*\)", " ", expression)
    names = set(re.findall(r"\b[a-z]+_[a-z_]+\b(?!\s*\()", without_labels))
    return {name.removesuffix("_bucket") for name in names} - OF_PROMETHEUS - {"group_left"}


def test_dashboard_and_rules_name_only_families_that_exist(dashboard: dict) -> None:
    known = families()
    assert len(known) > 70
    on_the_dashboard = set().union(*map(named, expressions(dashboard)))
    in_the_rules = set().union(*(named(rule["expr"]) for rule in alert_rules()))
    assert on_the_dashboard | in_the_rules <= known | families_of_black_boxes()
    assert "dask_scheduler_task_duration_seconds" in on_the_dashboard
    assert "stethoscope_http_connections_dropped_total" in in_the_rules
    # Each has a panel, but for a clock and two that seldom move.
    assert known - on_the_dashboard == {
        "dask_scheduler_last_time_total",
        "process_threads",
        "process_virtual_memory_max_bytes",
    }


def test_no_expression_depends_on_one_kind_of_discovery(dashboard: dict) -> None:
    rules = [rule["expr"] for rule in alert_rules()]
    for expression in [*expressions(dashboard), *rules]:
        selectors = " ".join(re.findall(r"\{([^}]*)\}", expression))
        labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selectors))
        # Prometheus sets `instance` for each target. `cluster` matches anything by default,
        # also a target without that label.
        assert not labels & {"job", "role", "worker_name", "worker_address", "pod", "namespace"}
        if "cluster" in labels:
            assert 'cluster=~"$cluster"' in expression
    for variable in dashboard["templating"]["list"]:
        assert variable["type"] == "datasource" or variable["allValue"] == ".*"


def test_panels_answer_questions_in_order_and_details_are_folded(dashboard: dict) -> None:
    rows = [panel for panel in dashboard["panels"] if panel["type"] == "row"]
    titles = [row["title"] for row in rows]
    assert titles[:4] == [
        "Is the cluster healthy?",
        "What is it doing?",
        "Where did the time go?",
        "Which worker or prefix is the odd one out?",
    ]
    assert all(title.startswith("Details: ") for title in titles[4:])
    assert [row["collapsed"] for row in rows] == [False] * 4 + [True] * len(rows[4:])
    second = dashboard["panels"].index(rows[1])
    assert {panel["type"] for panel in dashboard["panels"][1:second]} == {"stat"}


def test_each_panel_has_a_description_a_unit_and_legends_with_the_cluster(dashboard: dict) -> None:
    for panel in all_panels(dashboard):
        assert panel["description"].endswith("."), panel["title"]
        if panel["type"] == "heatmap":
            assert panel["options"]["yAxis"]["unit"]
            continue
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        for target in panel["targets"]:
            if panel["type"] == "table":
                assert target["format"] == "table"
                assert "by (cluster" in target["expr"]
            else:
                assert "{{cluster}}" in target["legendFormat"]


def test_each_panel_has_a_place_of_its_own(dashboard: dict) -> None:
    panels = [*dashboard["panels"], *all_panels(dashboard)]
    ids = {panel["id"]: panel for panel in panels}
    assert len(ids) == len({id(panel) for panel in panels})
    taken: set[tuple[int, int]] = set()
    for panel in ids.values():
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        taken |= cells


def test_servers_link_to_their_dask_dashboards(dashboard: dict) -> None:
    schedulers = dashboard["panels"][1]
    (link,) = schedulers["fieldConfig"]["defaults"]["links"]
    assert link["url"] == "http://${__field.labels.instance}/status"
    assert "instance" in schedulers["targets"][0]["expr"]
    tables = [panel for panel in all_panels(dashboard) if panel["type"] == "table"]
    assert len(tables) > 5
    for panel in tables:
        (override,) = panel["fieldConfig"]["overrides"]
        assert override["matcher"] == {"id": "byName", "options": "instance"}


def test_each_query_uses_the_chosen_data_source_and_cluster(dashboard: dict) -> None:
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    assert variables == {"datasource", "cluster", "worker"}
    for panel in all_panels(dashboard):
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}"
            assert "$cluster" in target["expr"]
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters)


def test_doctor_keeps_text_from_servers_on_one_line() -> None:
    forged = "a\nscheduler\x1b[2J\u202e\ud800 é"
    servers = [doctor.Server("worker", forged, "tcp://a", "http://a", problems=[forged])]
    shown = r"a\nscheduler\x1b[2J\u202e\ud800 é"
    lines = doctor.report(servers).split("\n")
    assert lines[0] == f"worker {shown} tcp://a"
    assert lines[3] == f"  problem  {shown}"
    assert len(lines) == 6
