"""cortexctl destroy: plan --destroy, then apply."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import click

from cortexctl.cli import options
from cortexctl.cli.apply import carry_out
from cortexctl.cli.telling import Telling, telling
from cortexctl.cli.wiring import make_plan, need_stack, open_daemons
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.plan.request import Request


@click.command("destroy")
@options.stack_argument
@options.auto_approve
@options.how_to_apply
@telling
@options.plan_request
@options.stack_choice
def command(
    stack: str,
    *,
    choice: StackChoice,
    request: Request,
    auto_approve: bool,
    how: options.How,
    telling: Telling,
) -> int:
    """Remove every container of the stack, and the networks that it made. Weights and caches stay."""
    desired = need_stack(stack, choice, with_secrets=False)
    choice = choice.knowing(desired.secret_variables)
    daemons = open_daemons(desired)
    request = replace(request, destroy=True, allow_unreachable=how.allow_unreachable)
    plan = partial(make_plan, desired, daemons, request)
    again = plan if auto_approve else None
    return carry_out(plan(), daemons, choice=choice, approved=auto_approve, how=how, telling=telling, again=again)
