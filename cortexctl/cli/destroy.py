"""cortexctl destroy: plan --destroy, then apply."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import click

from cortexctl.cli import options
from cortexctl.cli.carry_out import carry_out
from cortexctl.cli.notes import usable
from cortexctl.cli.run_output import RunOutput, with_run_output
from cortexctl.operations.adapters import open_hosts
from cortexctl.operations.apply_options import ApplyOptions
from cortexctl.operations.plan import plan_live
from cortexctl.operations.read_stack import SecretMode, StackReader
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.plan.request import Request


@click.command("destroy")
@options.stack_argument
@options.auto_approve
@options.apply_options
@with_run_output
@options.plan_request
@options.stack_choice
def command(
    stack: str,
    *,
    choice: StackChoice,
    request: Request,
    auto_approve: bool,
    apply_options: ApplyOptions,
    output: RunOutput,
) -> int:
    """Remove every container of the stack, and the networks that it created. Weights and caches stay."""
    desired = usable(StackReader(stack, choice, SecretMode.SKIP).read())
    request = replace(request, destroy=True, allow_unreachable=apply_options.allow_unreachable)
    with open_hosts(desired) as hosts:
        plan = partial(plan_live, desired, hosts, request)
        return carry_out(
            plan(),
            hosts,
            choice=choice.knowing(desired.secret_variables),
            approved=auto_approve,
            options=apply_options,
            output=output,
            plan_again=plan if auto_approve else None,
        )
