"""cortexctl drift: look at the hosts, say what is not as it was applied or not as the stack says. Made for cron."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import click

from cortexctl import __version__
from cortexctl.cli import options
from cortexctl.cli.colour import ink
from cortexctl.cli.wiring import need_stack_of_hosts
from cortexctl.cli.writing import hidden_json, say, shown, write
from cortexctl.desired.stack import Desired
from cortexctl.files.atomic import write_atomic
from cortexctl.hooks.notify import SECRET, Destination, destination, notify
from cortexctl.hosts.fleet import DockerDaemons, open_hosts
from cortexctl.hosts.lock import is_dead
from cortexctl.observe.drift_observer import DriftObserver
from cortexctl.observed.health import Answer
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.plan.drift.finding import DriftReport, Kind
from cortexctl.plan.drift.report import DriftSelection, find_drift
from cortexctl.plan.drift.servers import Server
from cortexctl.render.diagnostic import diagnostics_text
from cortexctl.render.drift.json_report import Took

FORMATS = ["text", "json", "markdown", "prometheus"]


@click.command("drift")
@options.stack_argument
@click.option("--deep", is_flag=True, help="Inspect every container of ours, and what image tags mean now.")
@options.output_format(*FORMATS)
@click.option("--out", type=click.Path(dir_okay=False), help="Write to a file, whole or not at all, instead of stdout.")
@options.detailed_exitcode
@click.option("--kind", multiple=True, type=click.Choice([k.value for k in Kind]), help="Only this kind. Repeatable.")
@click.option("--target", multiple=True, metavar="PATTERN", help="Only these HOST/MODEL or MODEL, globs allowed.")
@click.option("--host", multiple=True, metavar="PATTERN", help="Only these hosts; the others are not read.")
@click.option("--no-health", is_flag=True, help="Do not ask the servers for their health.")
@click.option("--health-timeout", type=click.FloatRange(0.1, 60), default=5.0, show_default=True, metavar="SECONDS")
@click.option("--allow-unreachable", is_flag=True, help="Exit as if unreachable hosts were not in the stack.")
@click.option(
    "--notify", "url", metavar="URL", envvar="CORTEXCTL_NOTIFY_URL", help="POST the JSON when something is found."
)
@click.option("--quiet", "-q", is_flag=True, help="Print nothing when nothing is found.")
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
    """Say what is not as it was applied, what is not applied yet, and what does not serve. Changes nothing."""
    to = _destination(url)
    desired = _stack(stack, choice, review=no_commands)
    only = DriftSelection(tuple(Kind(k) for k in kind), target=target, host=host)
    report, took = _look(desired, only, deep=deep, health_timeout=None if no_health else health_timeout)
    report = replace(report, given=replace(choice, env="").knowing(desired.secret_variables).as_flags())
    if report.diagnostics:
        say(diagnostics_text(report.diagnostics, ink("stderr")) + "\n")
        return 1
    told = report.telling(allow_unreachable=allow_unreachable)
    if out is not None:
        write_atomic(out, shown(_view(report, output_format, took), output_format))
    elif told or not quiet:
        write(_view(report, output_format, took), output_format)
    if to is not None and told:
        _tell(to, report, took)
    if report.unreachable and not allow_unreachable:
        return 1
    return 2 if detailed_exitcode and told else 0


def _destination(url: str | None) -> Destination | None:
    """Before anything is looked at: a wrong URL is known at once."""
    if not url:
        return None
    to = destination(url)
    if to.is_plain:
        say(f"Warning: what is found is sent to {to.where} as it is, for anybody on the way to read; use https\n")
    return to


def _stack(stack: str, choice: StackChoice, *, review: bool) -> Desired:
    """Warnings about the file are for who writes it, not for who reads the mail of a cron job. A secret without a
    value here is not compared.
    """
    return need_stack_of_hosts(stack, choice, lenient=True, warn=False, review=review)


def _look(
    desired: Desired, only: DriftSelection, *, deep: bool, health_timeout: float | None
) -> tuple[DriftReport, Took]:
    began, at = time.monotonic(), int(time.time())
    with open_hosts(desired.hosts, desired.owner) as daemons:
        ask_health = partial(_healths, daemons, health_timeout) if health_timeout is not None else None
        here = only.hosts_of(desired)
        observed, facts = DriftObserver(here, only, daemons, ask_health, is_dead, __version__, deep).observe()
    return find_drift(desired, observed, facts, only), Took(at, time.monotonic() - began)


def _healths(daemons: DockerDaemons, seconds: float, servers: Sequence[Server]) -> dict[tuple[str, str], Answer]:
    from cortexctl.health.health_check import query_all

    return query_all({s.key: daemons.reach(s.host, s.container) for s in servers}, seconds)


def _view(report: DriftReport, output_format: str, took: Took) -> str:
    match output_format:
        case "json":
            from cortexctl.render.drift.json_report import drift_json

            return hidden_json(drift_json(report, took))
        case "markdown":
            from cortexctl.render.drift.markdown import drift_markdown

            return drift_markdown(report)
        case "prometheus":
            from cortexctl.render.drift.prometheus import drift_prometheus

            return drift_prometheus(report, took)
        case _:
            from cortexctl.render.drift.terminal import drift_text

            return drift_text(report, ink())


def _tell(to: Destination, report: DriftReport, took: Took) -> None:
    from cortexctl.render.drift.json_report import drift_json

    body = hidden_json(drift_json(report, took)).encode("utf-8", "replace")
    notify(to, body, secret=os.environ.get(SECRET, ""), timestamp=int(time.time()))
