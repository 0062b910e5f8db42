"""`python -m stethoscope.dask`: prints what Prometheus and Grafana need, and examines clusters."""

from __future__ import annotations

import argparse
import os
import re
import sys

from stethoscope.dask.ops import alerts, doctor, grafana, prometheus
from stethoscope.dask.ops.prometheus import Options, Scheduler


def _scheduler(text: str) -> Scheduler:
    try:
        return Scheduler.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _interval(text: str) -> str:
    # Prometheus' durations, but for weeks and years.
    if not re.fullmatch(r"(?=\d)(\d+h)?(\d+m)?(\d+s)?(\d+ms)?", text) or not re.search(
        "[1-9]", text
    ):
        raise argparse.ArgumentTypeError(f"expected a duration, for example 15s, found {text!r}")
    return text


def _namespace(text: str) -> str:
    if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", text):
        raise argparse.ArgumentTypeError(
            f"expected letters, digits and underscores, for example dask, found {text!r}"
        )
    return text


def _address(text: str) -> str:
    if not re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^\s/:=\[\]]+):\d{1,5}", text):
        raise argparse.ArgumentTypeError(f"expected HOST:PORT, found {text!r}")
    return text


def _title(text: str) -> str:
    # Bytes of the command line that are not UTF-8 arrive as surrogates.
    if not text.strip() or re.search("[\ud800-\udfff]", text):
        raise argparse.ArgumentTypeError(
            f"expected a title that is not blank, for example Dask, found {text!r}"
        )
    return text


# Each command returns its output and its exit code.


def _prometheus_config(arguments: argparse.Namespace) -> tuple[str, int]:
    for option, kinds in prometheus.KINDS_OF_OPTIONS.items():
        if getattr(arguments, option) is not None and arguments.kind not in kinds:
            arguments.refuse(
                f"argument --{option}: --kind {arguments.kind} does not use it: "
                f"expected --kind {' or '.join(kinds)}"
            )
    options = Options(
        schedulers=arguments.scheduler or [Scheduler("localhost")],
        workers=arguments.worker or [],
        files=arguments.files or [],
        interval=arguments.interval,
        rules=prometheus.DEFAULT_RULES if arguments.rules is None else arguments.rules,
    )
    return prometheus.configuration(arguments.kind, options), 0


def _alerts(arguments: argparse.Namespace) -> tuple[str, int]:
    return alerts.rules(arguments.namespace), 0


def _grafana(arguments: argparse.Namespace) -> tuple[str, int]:
    return grafana.dashboard(arguments.title, arguments.namespace), 0


def _doctor(arguments: argparse.Namespace) -> tuple[str, int]:
    try:
        examiner = doctor.Doctor(arguments.url, arguments.timeout, arguments.insecure)
        servers = examiner.examine()
    except doctor.NoScheduler as error:
        sys.stderr.write(f"{doctor.one_line(str(error))}\n")
        return "", 2
    return doctor.report(servers), 1 if any(server.problems for server in servers) else 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m stethoscope.dask",
        description="Prints what Prometheus and Grafana need to watch Dask clusters, and examines "
        "how a running cluster serves its metrics.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_prometheus_config(commands)

    command = commands.add_parser("alerts", help="print alert rules for Prometheus")
    _add_namespace(command)
    command.set_defaults(run=_alerts)

    command = commands.add_parser("grafana", help="print a dashboard for Grafana's import, as JSON")
    command.add_argument(
        "--title",
        type=_title,
        default="Dask",
        help="the dashboard's title, from which its uid is derived (default: %(default)s)",
    )
    _add_namespace(command)
    command.set_defaults(run=_grafana)

    command = commands.add_parser(
        "doctor",
        help="examine a running cluster",
        description="Tells for the scheduler and each worker which handler answers /metrics, how "
        "old its values are, and what to do if it is not this package. Exit codes: 0 if all is "
        "served as configured, 1 if not, 2 if no scheduler answers at the URL.",
    )
    command.add_argument(
        "url",
        type=_scheduler,
        metavar="URL",
        help="the scheduler's dashboard, for example http://scheduler.example:8787, or its page "
        "/metrics",
    )
    command.add_argument(
        "--timeout",
        type=float,
        default=5.0,
        metavar="SECONDS",
        help="how long to wait for each answer (default: %(default)g)",
    )
    command.add_argument(
        "--insecure", action="store_true", help="do not verify certificates of https dashboards"
    )
    command.set_defaults(run=_doctor)
    return parser


def _add_prometheus_config(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "prometheus-config", help="print a configuration with which Prometheus finds clusters"
    )
    command.add_argument(
        "--kind",
        choices=list(prometheus.KINDS),
        default="http_sd",
        help="a Prometheus configuration with http_sd, file_sd or static targets, or an object "
        "for Prometheus' operator on Kubernetes (default: %(default)s)",
    )
    command.add_argument(
        "--scheduler",
        type=_scheduler,
        action="append",
        metavar="[CLUSTER=]HOST[:PORT]",
        help="a scheduler's dashboard, also as http[s]://HOST[:PORT][/PREFIX], and a name for its "
        f"cluster, {_for_kinds('scheduler')}; may be given several times "
        f"(default: localhost:{prometheus.DEFAULT_PORT})",
    )
    command.add_argument(
        "--worker",
        type=_address,
        action="append",
        metavar="HOST:PORT",
        help=f"a worker's dashboard, {_for_kinds('worker')}; may be given several times",
    )
    command.add_argument(
        "--files",
        action="append",
        metavar="PATTERN",
        help="the files that schedulers write (the key targets-file), "
        f"{_for_kinds('files')}; may be given several times",
    )
    command.add_argument(
        "--interval",
        type=_interval,
        default="15s",
        metavar="DURATION",
        help="how often to scrape (default: %(default)s)",
    )
    command.add_argument(
        "--rules",
        metavar="FILE",
        help=f"the file with the alert rules, {_for_kinds('rules')} "
        f"(default: {prometheus.DEFAULT_RULES})",
    )
    command.set_defaults(run=_prometheus_config, refuse=command.error)


def _for_kinds(option: str) -> str:
    return f"for --kind {' or '.join(prometheus.KINDS_OF_OPTIONS[option])}"


def _add_namespace(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--namespace",
        type=_namespace,
        default="dask",
        help="distributed.dashboard.prometheus.namespace of the clusters (default: %(default)s)",
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the command line, and return its exit code."""
    try:
        chosen = parser().parse_args(arguments)
        output, code = chosen.run(chosen)
    except SystemExit as end:
        # Of argparse, which has printed its help or an error.
        output, code = "", end.code
    return code if _print(output) else 2


def _print(output: str) -> bool:
    """Write the output. Returns false if it could not be written, after an error message."""
    if sys.stdout is None:
        sys.stderr.write("cannot write the output: standard output is closed\n")
        return False
    try:
        sys.stdout.write(output)
        sys.stdout.flush()
        return True
    except (OSError, UnicodeError) as error:
        # A reader that stops early, such as head, is not an error worth a message.
        if not isinstance(error, BrokenPipeError):
            sys.stderr.write(f"cannot write the output: {error}\n")
        # The interpreter flushes the stream once more when it exits, and would fail again.
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        return False


if __name__ == "__main__":
    sys.exit(main())
