"""cortexctl observe: a snapshot of the stack's hosts, for `plan --observed` without credentials."""

from __future__ import annotations

from pathlib import Path

import click

from cortexctl.cli import options
from cortexctl.cli.waiting import watched_connections
from cortexctl.cli.writing import print_plain, write
from cortexctl.errors import UsageError
from cortexctl.observed.snapshot import snapshot_to_json
from cortexctl.operations.observe import take_snapshot
from cortexctl.operations.read_stack import SecretMode, StackReader
from cortexctl.operations.stack_choice import StackChoice


@click.command("observe")
@options.stack_argument
@click.option("--out", type=click.Path(dir_okay=False), help="Write to a file instead of standard output.")
@options.stack_choice
def command(stack: str, *, choice: StackChoice, out: str | None) -> int:
    """Write a snapshot of the hosts for `plan --observed`, without secrets or labels of others. Exits 1 if a host could
    not be read; the snapshot records it.
    """
    desired = StackReader(stack, choice, SecretMode.SKIP).read().usable
    with watched_connections() as connections:
        observed = take_snapshot(desired, connections)
    text = snapshot_to_json(observed)
    if out is None:
        write(text, "json")
    else:
        try:
            Path(out).write_text(text, encoding="utf-8")
        except OSError as cause:
            raise UsageError(f"cannot write {out}: {cause.strerror}") from cause
    unreachable = [h for h in observed.hosts if not h.is_reachable]
    for host in unreachable:
        print_plain(f"{host.name}: {host.problem}\n")
    return 1 if unreachable else 0
