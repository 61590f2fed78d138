"""cortexctl rollback: starts a retained container, which must pass its gate before the present one is given up."""

from __future__ import annotations

import click

from cortexctl.cli import options
from cortexctl.cli.carry_out import carry_out
from cortexctl.cli.run_output import RunOutput, with_run_output
from cortexctl.cli.waiting import watched_connections
from cortexctl.operations.addresses import full_address
from cortexctl.operations.apply_options import ApplyOptions
from cortexctl.operations.connections import open_hosts
from cortexctl.operations.read_stack import SecretMode, StackReader
from cortexctl.operations.rollback import plan_rollback_live
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.operations.tidy import tidy


@click.command("rollback")
@click.argument("address", metavar="HOST/MODEL")
@options.stack_option
@click.option(
    "--generation",
    type=click.IntRange(0),
    metavar="N",
    help="Generation to restore. Default: the newest older retained one.",
)
@options.auto_approve
@options.apply_options
@with_run_output
@options.stack_choice
def command(
    address: str,
    *,
    choice: StackChoice,
    stack: str,
    generation: int | None,
    auto_approve: bool,
    apply_options: ApplyOptions,
    output: RunOutput,
) -> int:
    """Stop the serving container and start a retained generation, which must pass its gate. If it fails, the former one
    is restored. Needs no secret and no image. The stack does not change: restore its old text, too, or the next apply
    moves forward again.
    """
    desired = StackReader(stack, choice, SecretMode.SKIP).read().usable
    with watched_connections() as connections, open_hosts(desired, connections) as hosts:
        plan = plan_rollback_live(desired, full_address(desired, address), generation, hosts)
        if not plan.effective:  # finishes a run that was killed at its very end
            tidy(plan, hosts, output.log.run)
        return carry_out(plan, hosts, choice=choice, approved=auto_approve, options=apply_options, output=output)
