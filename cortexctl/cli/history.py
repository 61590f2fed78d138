"""cortexctl history: the past runs: user, changes, time and outcome."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from cortexctl.cli import options
from cortexctl.cli.colour import ink
from cortexctl.cli.waiting import watched_connections
from cortexctl.cli.writing import out, out_json, print_note, print_plain
from cortexctl.operations.history import audit_log_path, audit_records, label_history, need_known
from cortexctl.operations.read_stack import SecretMode, StackReader
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.render.history import about, addresses_in, history_text, labels_text, runs_of


@click.command("history")
@options.stack_argument
@options.text_or_json
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Maximum number of runs.")
@click.option("--address", multiple=True, metavar="HOST/MODEL", help="Only changes of this instance. Repeatable.")
@options.audit_log_option
@options.stack_choice
def command(
    stack: str, *, choice: StackChoice, output_format: str, limit: int, address: tuple[str, ...], audit_log: str
) -> int:
    """Show the runs in the audit log, newest first; without a log, the history in the hosts' labels."""
    path = audit_log_path(stack, choice, audit_log)
    if path is None or not path.is_file():
        return _show_labels(stack, choice, path, address, output_format)
    return _show_runs(path, choice.env, address, limit, output_format)


def _show_runs(path: Path, env: str, addresses: Sequence[str], limit: int, output_format: str) -> int:
    runs = runs_of(audit_records(path), env)
    if addresses:
        need_known(addresses, addresses_in(runs), f"the audit log {path}")
        runs = about(runs, addresses)
    if output_format == "json":
        out_json([run.as_dict() for run in runs[:limit]])
    elif not runs:
        print_note(f"{path} has no run{f' in {env}' if env else ''}.\n")
    else:
        out(history_text(runs[:limit], ink()))
        if len(runs) > limit:
            print_note(f"\n{len(runs) - limit} older; show more with --limit\n")
    return 0


def _show_labels(
    stack: str, choice: StackChoice, path: Path | None, addresses: Sequence[str], output_format: str
) -> int:
    desired = StackReader(stack, choice, SecretMode.SKIP).read().usable
    with watched_connections() as connections:
        history = label_history(desired, addresses, connections)
    why = f"There is no audit log at {path} (the next apply creates it)." if path else "There is no audit log."
    print_plain(f"{why} From the labels of the containers:\n")
    if output_format == "json":
        out_json(history.rows)
    else:
        out(labels_text(history.rows, ink()) or f"  no container of {desired.owner}\n")
    for host in history.unreachable:
        print_plain(f"  {host.problem}\n")
    return 1 if history.unreachable else 0
