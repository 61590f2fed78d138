"""cortexctl diagnose: why an instance does not serve, and the stack edit that fixes it."""

from __future__ import annotations

import click

from cortexctl.cli import options
from cortexctl.cli.colour import ink
from cortexctl.cli.waiting import watched_connections
from cortexctl.cli.writing import out, out_json
from cortexctl.errors import UsageError
from cortexctl.operations.diagnose import diagnose_instance, diagnose_log
from cortexctl.operations.read_stack import SecretMode, StackReader
from cortexctl.operations.results import Diagnosed
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.render.diagnosis import diagnosed_json, diagnosed_text


@click.command("diagnose")
@click.argument("address", required=False, metavar="[HOST/MODEL]")
@click.option("--log", "log", metavar="FILE", help="A log file instead of an instance; - for stdin.")
@options.stack_option
@click.option("--generation", type=int, help="This generation. Default: the newest container.")
@options.text_or_json
@options.stack_choice
def command(
    address: str | None,
    *,
    choice: StackChoice,
    log: str | None,
    stack: str,
    generation: int | None,
    output_format: str,
) -> int:
    """Show why an instance does not serve: cause, evidence, and the stack edit that fixes it.

    Exits 0 if the cause is known or the instance is healthy, else 1.
    """
    if (address is None) == (log is None):
        raise UsageError("give either an address (HOST/MODEL) or --log FILE")
    diagnosed = diagnose_log(log) if log is not None else _of_instance(address or "", stack, choice, generation)
    if output_format == "json":
        out_json(diagnosed_json(diagnosed))
    else:
        out(diagnosed_text(diagnosed, ink()))
    return 0 if diagnosed.is_explained else 1


def _of_instance(address: str, stack: str, choice: StackChoice, generation: int | None) -> Diagnosed:
    desired = StackReader(stack, choice, SecretMode.SKIP).read().usable
    with watched_connections() as connections:
        return diagnose_instance(desired, stack, choice, address, generation, connections)
