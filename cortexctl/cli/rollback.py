"""cortexctl rollback: back to a container that is kept, which is proven before the present one is given up."""

from __future__ import annotations

from dataclasses import replace

import click

from cortexctl.cli import options
from cortexctl.cli.addresses import full_address
from cortexctl.cli.apply import carry_out
from cortexctl.cli.telling import Telling, telling
from cortexctl.cli.tidying import tidy
from cortexctl.cli.wiring import look, need_stack, open_daemons
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.plan.rollback import Back, plan_rollback


@click.command("rollback")
@click.argument("address", metavar="HOST/MODEL")
@options.stack_option
@click.option("--generation", type=click.IntRange(0), metavar="N", help="Left out: the newest kept one that is older.")
@options.auto_approve
@options.how_to_apply
@telling
@options.stack_choice
def command(
    address: str,
    *,
    choice: StackChoice,
    stack: str,
    generation: int | None,
    auto_approve: bool,
    how: options.How,
    telling: Telling,
) -> int:
    """Stop what serves and start a kept generation, which must pass its gate; if it does not, what served comes back.
    Needs no secret and no image. The stack is not changed: put its old text back, or the next apply goes forward again.
    """
    desired = need_stack(stack, choice, with_secrets=False)
    address = full_address(desired, address)
    choice = choice.knowing(desired.secret_variables)
    daemons = open_daemons(desired)
    host = address.partition("/")[0]
    observed = look(replace(desired, hosts=tuple(h for h in desired.hosts if h.name == host)), daemons)
    records = daemons.records(tuple(h.name for h in observed.hosts if h.is_reachable))
    made = plan_rollback(desired, replace(observed, records=records), Back(address, generation))
    if not made.effective:  # one that was killed at its very end is repeated
        tidy(made, daemons, telling.run)
    return carry_out(made, daemons, choice=choice, approved=auto_approve, how=how, telling=telling)
