"""`python -m stethoscope.dask`: prints what goes with the page. See `ops`."""

from __future__ import annotations

import argparse
import json
import re
import sys
from importlib import resources

from stethoscope.dask.ops import grafana, prometheus
from stethoscope.dask.ops.prometheus import Scheduler


def _scheduler(text: str) -> Scheduler:
    try:
        return Scheduler.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _interval(text: str) -> str:
    # As Prometheus reads durations, but for the years and weeks that nobody waits.
    if not re.fullmatch(r"(?=\d)(\d+h)?(\d+m)?(\d+s)?(\d+ms)?", text) or not re.search(
        "[1-9]", text
    ):
        raise argparse.ArgumentTypeError(f"{text!r} is no duration, such as 15s")
    return text


def _prometheus_config(arguments: argparse.Namespace) -> str:
    schedulers = arguments.scheduler or [Scheduler("localhost")]
    return prometheus.configuration(schedulers, arguments.interval, arguments.rules)


def _alerts(arguments: argparse.Namespace) -> str:
    return resources.files("stethoscope.dask.ops").joinpath("alerts.yml").read_text("utf-8")


def _grafana(arguments: argparse.Namespace) -> str:
    return json.dumps(grafana.dashboard(arguments.title), indent=2) + "\n"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m stethoscope.dask",
        description="Prints what Prometheus and Grafana need to watch Dask clusters.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    config = commands.add_parser(
        "prometheus-config", help="a Prometheus configuration that finds clusters"
    )
    config.add_argument(
        "--scheduler",
        type=_scheduler,
        action="append",
        metavar="[CLUSTER=]HOST[:PORT]",
        help="where a scheduler's dashboard is, and a name for its cluster; may be given "
        f"several times (default: localhost:{prometheus.DEFAULT_PORT})",
    )
    config.add_argument(
        "--interval",
        type=_interval,
        default="15s",
        metavar="DURATION",
        help="how often to scrape (default: %(default)s)",
    )
    config.add_argument(
        "--rules",
        default="stethoscope-alerts.yml",
        metavar="FILE",
        help="where Prometheus finds the alert rules (default: %(default)s)",
    )
    config.set_defaults(print=_prometheus_config)

    alerts = commands.add_parser("alerts", help="alert rules for Prometheus")
    alerts.set_defaults(print=_alerts)

    dashboard = commands.add_parser("grafana", help="a dashboard, as JSON for Grafana's import")
    dashboard.add_argument(
        "--title", default="Dask", help="what Grafana calls it (default: %(default)s)"
    )
    dashboard.set_defaults(print=_grafana)
    return parser


def main(arguments: list[str] | None = None) -> None:
    """Print what the command line asks for."""
    chosen = parser().parse_args(arguments)
    sys.stdout.write(chosen.print(chosen))


if __name__ == "__main__":
    main()
