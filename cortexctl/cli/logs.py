"""cortexctl logs: an instance's log."""

from __future__ import annotations

import sys

import click

from cortexctl.cli import options
from cortexctl.cli.waiting import watched_connections
from cortexctl.cli.writing import out, out_raw
from cortexctl.operations.adapters import secret_reader
from cortexctl.operations.addresses import full_address
from cortexctl.operations.connections import open_hosts
from cortexctl.operations.instances import choose, find_instance, observe_host_of
from cortexctl.operations.logs import log_lines
from cortexctl.operations.read_stack import SecretMode, StackReader
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.render.sanitise import visible


@click.command("logs")
@click.argument("address", metavar="HOST/MODEL")
@options.stack_option
@click.option("--tail", type=click.IntRange(1), default=100, show_default=True, help="Number of lines.")
@click.option("--generation", type=int, help="A candidate or a retained generation instead of the serving one.")
@click.option("--raw", is_flag=True, help="Unfiltered: with colours and terminal control characters.")
@click.option("-F", "--follow", is_flag=True, help="Follow the log until interrupted.")
@options.stack_choice
def command(
    address: str,
    *,
    choice: StackChoice,
    stack: str,
    tail: int,
    generation: int | None,
    raw: bool,
    follow: bool,
) -> int:
    """Show the log of an instance: of its serving container, else of the newest. Secrets are hidden."""
    desired = StackReader(stack, choice, SecretMode.SKIP).read().usable
    address = full_address(desired, address)
    with watched_connections() as connections, open_hosts(desired, connections) as hosts:
        instance = find_instance(desired, address, observe_host_of(desired, address, hosts))
        owned = choose(instance, generation)
        daemon = hosts.daemon(instance.host)
        for line in log_lines(owned, daemon, secret_reader(stack, choice), tail, follow=follow):
            _show(line, raw=raw)
            if follow:
                sys.stdout.flush()
    return 0


def _show(line: str, *, raw: bool) -> None:
    """Raw only on request: a log may contain terminal control characters."""
    if raw:
        out_raw(f"{line}\n")
    else:
        out("\t".join(map(visible, line.split("\t"))) + "\n")
