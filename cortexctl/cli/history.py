"""cortexctl history: who applied what, when, and how it ended."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import click

from cortexctl.cli import options
from cortexctl.cli.colour import ink
from cortexctl.cli.wiring import need_stack, read_stack
from cortexctl.cli.writing import out, out_json, say, say_plain
from cortexctl.desired.stack import Desired
from cortexctl.errors import UsageError
from cortexctl.hosts.fleet import open_hosts
from cortexctl.instance import labels
from cortexctl.observe.gather import observe_identity
from cortexctl.observed.observation import Observed
from cortexctl.observed.owned import owned_instances
from cortexctl.operations.run_log import NO_LOG
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.render.plan.folding import listed
from cortexctl.render.sanitise import visible

Row = dict[str, str]
LISTED = 20
"""Addresses that are named instead of one that nobody knows."""


@click.command("history")
@options.stack_argument
@options.text_or_json
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="So many runs at most.")
@click.option("--address", multiple=True, metavar="HOST/MODEL", help="Only what happened to it. Repeatable.")
@options.audit_log_option
@options.stack_choice
def command(
    stack: str, *, choice: StackChoice, output_format: str, limit: int, address: tuple[str, ...], audit_log: str
) -> int:
    """Show the runs that the audit log tells of, newest first; without one, what the hosts' labels tell instead."""
    from cortexctl.audit.audit_log import read_log
    from cortexctl.render.history import about, addresses_in, history_text, runs_of

    path = _path(stack, choice, audit_log)
    if path is None or not path.is_file():
        return _by_labels(stack, choice, path, address, output_format=output_format)
    try:
        runs = runs_of(read_log(path), choice.env)
    except OSError as cause:
        raise UsageError(f"the audit log {path} cannot be read: {cause.strerror}") from None
    if address:
        _need_known(address, addresses_in(runs), f"the audit log {path}")
        runs = about(runs, address)
    shown = runs[:limit]
    if output_format == "json":
        out_json([run.as_dict() for run in shown])
        return 0
    if not runs:
        say(f"{path} tells of no run{f' in {choice.env}' if choice.env else ''}.\n")
        return 0
    out(history_text(shown, ink()))
    if len(runs) > limit:
        say(f"\n{len(runs) - limit} older; show more with --limit\n")
    return 0


def _need_known(wanted: Sequence[str], known: Collection[str], where: str) -> None:
    """A slip of the finger must not read as "nothing happened to it"."""
    if unknown := [address for address in wanted if address not in known]:
        there = f"there are: {listed(map(visible, sorted(known)), LISTED)}" if known else "it names no instance"
        raise UsageError(f"{where} has no {' and no '.join(unknown)}; {there}")


def _path(stack: str, choice: StackChoice, wanted: str) -> Path | None:
    """Where the log is; None where the stack, or who asks, wants none. A stack that cannot be read has it beside it."""
    from cortexctl.stack.hooks import default_log

    if wanted:
        return None if wanted == NO_LOG else Path(wanted)
    desired, _ = read_stack(stack, choice, with_secrets=False)
    name = desired.audit_log if desired is not None else default_log(stack)
    return Path(stack).resolve().parent / name if name else None


def _by_labels(
    stack: str, choice: StackChoice, path: Path | None, addresses: tuple[str, ...], *, output_format: str
) -> int:
    """Of what is there now: the run, the revision and the author that each container carries."""
    from cortexctl.render.history import labels_text

    desired = need_stack(stack, choice, with_secrets=False)
    with open_hosts(desired.hosts, desired.owner) as daemons:
        observed = observe_identity(desired, daemons)
    rows = _rows(observed, desired)
    if addresses:
        if all(h.is_reachable for h in observed.hosts):
            _need_known(addresses, {row["address"] for row in rows}, desired.owner)
        rows = [row for row in rows if row["address"] in addresses]
    why = f"There is no audit log at {path} (the next apply begins it)." if path else "No audit log is kept."
    say_plain(f"{why} What the containers' labels tell:\n")
    if output_format == "json":
        out_json(rows)
    else:
        out(labels_text(rows, ink()) or f"  no container of {desired.owner}\n")
    for host in observed.hosts:
        if not host.is_reachable:
            say_plain(f"  {host.problem}\n")
    return 0 if all(h.is_reachable for h in observed.hosts) else 1


def _rows(observed: Observed, desired: Desired) -> list[Row]:
    rows = [
        {
            "address": instance.address,
            "container": owned.container.name,
            "generation": str(owned.generation),
            "state": owned.container.state,
            "run": owned.run,
            "revision": owned.container.labels.get(labels.REVISION, ""),
            "author": owned.container.labels.get(labels.AUTHOR, ""),
        }
        for host in observed.hosts
        for instance in owned_instances(host, desired.owner, desired.moved).values()
        for owned in instance.all
    ]
    return sorted(rows, key=lambda row: (row["address"], -int(row["generation"])))
