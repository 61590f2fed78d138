"""cortexctl rollback: back to a container that is kept, which is proven before the present one is given up."""

from __future__ import annotations

import click

from cortexctl.cli import options
from cortexctl.cli.carry_out import carry_out
from cortexctl.cli.run_output import RunOutput, with_run_output
from cortexctl.cli.wiring import need_stack
from cortexctl.hosts.fleet import open_hosts
from cortexctl.observe.gather import observe_for_rollback
from cortexctl.operations.addresses import full_address
from cortexctl.operations.apply_options import ApplyOptions
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.operations.tidy import tidy
from cortexctl.plan.rollback import RollbackTarget, plan_rollback


@click.command("rollback")
@click.argument("address", metavar="HOST/MODEL")
@options.stack_option
@click.option("--generation", type=click.IntRange(0), metavar="N", help="Left out: the newest kept one that is older.")
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
    """Stop what serves and start a kept generation, which must pass its gate; if it does not, what served comes back.
    Needs no secret and no image. The stack is not changed: put its old text back, or the next apply goes forward again.
    """
    desired = need_stack(stack, choice, with_secrets=False)
    address = full_address(desired, address)
    choice = choice.knowing(desired.secret_variables)
    host = address.partition("/")[0]
    with open_hosts(desired.hosts, desired.owner) as daemons:
        observed = observe_for_rollback(desired.on_hosts([host]), daemons)
        plan = plan_rollback(desired, observed, RollbackTarget(address, generation))
        if not plan.effective:  # one that was killed at its very end is repeated
            tidy(plan, daemons, output.log.run)
        return carry_out(plan, daemons, choice=choice, approved=auto_approve, options=apply_options, output=output)
