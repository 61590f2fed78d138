"""cortexctl status: the current state of every instance of the stack."""

from __future__ import annotations

import click

from cortexctl.cli import options
from cortexctl.cli.colour import ink
from cortexctl.cli.waiting import watched_connections
from cortexctl.cli.writing import out, out_json
from cortexctl.operations.image_release import read_with_releases
from cortexctl.operations.read_stack import SecretMode, StackReader
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.operations.status import fleet_status
from cortexctl.render.status import status_json, status_text


@click.command("status")
@options.stack_argument
@options.text_or_json
@options.stack_choice
def command(stack: str, *, choice: StackChoice, output_format: str) -> int:
    """Show every instance: its state, health, generation and endpoint. Exits 1 if one does not serve."""
    with watched_connections() as connections:
        desired = read_with_releases(StackReader(stack, choice, SecretMode.SKIP), connections).usable
        status = fleet_status(desired, connections)
    if output_format == "json":
        out_json(status_json(status))
    else:
        next_step = (
            "" if status.all_serve else choice.knowing(desired.secret_variables).invocation(stack).command("drift")
        )
        out(status_text(status, ink(), next_step))
    return 0 if status.all_serve else 1
