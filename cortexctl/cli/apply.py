"""cortexctl apply: plan (or read a saved plan), ask for approval, carry out, report."""

from __future__ import annotations

import click

from cortexctl.cli import options
from cortexctl.cli.carry_out import carry_out, plan_and_carry_out
from cortexctl.cli.notes import usable
from cortexctl.cli.run_output import RunOutput, with_run_output
from cortexctl.cli.waiting import watched_connections
from cortexctl.errors import PlanStale, UsageError
from cortexctl.operations.apply_options import ApplyOptions
from cortexctl.operations.connections import open_hosts_of_plan
from cortexctl.operations.image_release import read_with_releases
from cortexctl.operations.read_stack import StackReader
from cortexctl.operations.saved_plan import plan_into, read_if_plan, refuse_changed_stack, refuse_unfit
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.plan.model import Plan
from cortexctl.plan.request import Request


@click.command("apply")
@options.stack_or_plan
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
    """Apply a stack after showing its plan and asking for approval; or a saved plan, without asking."""
    saved = read_if_plan(stack)
    if saved is not None:
        return _apply_saved(saved, stack, request, choice, apply_options, output)
    with watched_connections() as connections:
        desired = usable(read_with_releases(StackReader(stack, choice), connections, request))
        return plan_and_carry_out(
            desired,
            request,
            choice=choice,
            approved=auto_approve,
            options=apply_options,
            output=output,
            connections=connections,
        )


def _apply_saved(
    saved: Plan, file: str, request: Request, choice: StackChoice, options: ApplyOptions, output: RunOutput
) -> int:
    """Unchanged, and without asking for approval."""
    refuse_unfit(saved, file)
    if request != Request():
        raise UsageError("a saved plan is applied unchanged; to narrow it, plan again")
    refuse_changed_stack(saved, file)
    with watched_connections() as connections, open_hosts_of_plan(saved, connections) as hosts:
        try:
            return carry_out(saved, hosts, choice=choice, approved=True, options=options, output=output)
        except PlanStale as cause:
            cause.next_step = plan_into(saved, file)
            raise
