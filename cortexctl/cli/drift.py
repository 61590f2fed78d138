"""cortexctl drift: compare the hosts with the last apply and with the stack. Made for cron."""

from __future__ import annotations

import click

from cortexctl.cli import options
from cortexctl.cli.colour import ink
from cortexctl.cli.notes import show_diagnostics, show_notes
from cortexctl.cli.waiting import watched_connections
from cortexctl.cli.writing import hidden_json, write, write_file
from cortexctl.operations.drift import DriftInputs, open_destination, read_for_drift, report_drift, send
from cortexctl.operations.results import Durations
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.plan.drift.finding import DriftReport, Kind
from cortexctl.plan.drift.report import DriftSelection

FORMATS = ["text", "json", "markdown", "prometheus"]


@click.command("drift")
@options.stack_argument
@click.option("--deep", is_flag=True, help="Inspect every managed container, and resolve image tags again.")
@options.output_format(*FORMATS)
@click.option("--out", type=click.Path(dir_okay=False), help="Write to a file instead of stdout, atomically.")
@options.detailed_exitcode("there are findings")
@click.option(
    "--kind", multiple=True, type=click.Choice([k.value for k in Kind]), help="Only findings of this kind. Repeatable."
)
@click.option("--target", multiple=True, metavar="PATTERN", help="Only these HOST/MODEL or MODEL, globs allowed.")
@click.option("--host", multiple=True, metavar="PATTERN", help="Only these hosts; the others are not read.")
@click.option("--no-health", is_flag=True, help="Do not check the health of the servers.")
@click.option(
    "--health-timeout",
    type=click.FloatRange(0.1, 60),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="Timeout of each health check.",
)
@click.option("--allow-unreachable", is_flag=True, help="Ignore unreachable hosts in the exit code.")
@click.option(
    "--notify", "url", metavar="URL", envvar="CORTEXCTL_NOTIFY_URL", help="POST the JSON report if there are findings."
)
@click.option("--quiet", "-q", is_flag=True, help="Print nothing if there are no findings.")
@options.no_commands
@options.stack_choice
def command(
    stack: str,
    *,
    choice: StackChoice,
    no_commands: bool,
    deep: bool,
    output_format: str,
    out: str | None,
    detailed_exitcode: bool,
    kind: tuple[str, ...],
    target: tuple[str, ...],
    host: tuple[str, ...],
    no_health: bool,
    health_timeout: float,
    allow_unreachable: bool,
    url: str | None,
    quiet: bool,
) -> int:
    """Report drift, pending changes and unhealthy instances. Changes nothing."""
    to, notes = open_destination(url)
    show_notes(notes)
    selection = DriftSelection(tuple(Kind(k) for k in kind), target=target, host=host)
    inputs = DriftInputs(selection, deep, None if no_health else health_timeout)
    with watched_connections() as connections:
        desired = read_for_drift(stack, choice, review=no_commands, connections=connections, only=selection)
        report, durations = report_drift(desired, inputs, connections)
    if report.diagnostics:
        show_diagnostics(report.diagnostics)
        return 1
    has_drift = report.to_report(allow_unreachable=allow_unreachable)
    if out is not None:
        write_file(out, _view(report, output_format, durations), output_format)
    elif has_drift or not quiet:
        write(_view(report, output_format, durations), output_format)
    if to is not None and has_drift:
        send(to, _view(report, "json", durations).encode("utf-8", "replace"))
    if report.unreachable and not allow_unreachable:
        return 1
    return 2 if detailed_exitcode and has_drift else 0


def _view(report: DriftReport, output_format: str, durations: Durations) -> str:
    match output_format:
        case "json":
            from cortexctl.render.drift.json_report import drift_json

            return hidden_json(drift_json(report, durations))
        case "markdown":
            from cortexctl.render.drift.markdown import drift_markdown

            return drift_markdown(report)
        case "prometheus":
            from cortexctl.render.drift.prometheus import drift_prometheus

            return drift_prometheus(report, durations)
        case _:
            from cortexctl.render.drift.terminal import drift_text

            return drift_text(report, ink())
