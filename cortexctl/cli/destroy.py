"""cortexctl destroy: plan --destroy, then apply."""

from __future__ import annotations

import click

from cortexctl.cli import options
from cortexctl.cli.carry_out import plan_and_carry_out
from cortexctl.cli.notes import usable
from cortexctl.cli.run_output import RunOutput, with_run_output
from cortexctl.cli.waiting import watched_connections
from cortexctl.operations.apply_options import ApplyOptions
from cortexctl.operations.read_stack import SecretMode, StackReader
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.plan.request import Request


@click.command("destroy")
@options.stack_argument
@options.auto_approve
@options.apply_options
@with_run_output
@options.destroy_request
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
    with watched_connections() as connections:
        return plan_and_carry_out(
            desired,
            request,
            choice=choice,
            approved=auto_approve,
            options=apply_options,
            output=output,
            connections=connections,
        )
