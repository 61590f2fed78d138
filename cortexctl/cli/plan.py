"""cortexctl plan: read the stack, observe the hosts, decide, show."""

from __future__ import annotations

from dataclasses import replace

import click

from cortexctl.cli import options
from cortexctl.cli.notes import show_note, usable
from cortexctl.cli.show import view, view_options
from cortexctl.cli.waiting import watched_connections
from cortexctl.cli.writing import write
from cortexctl.operations.plan import PlanInputs, is_blocked, make_plan, read_for_plan
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.plan.model import Plan
from cortexctl.plan.request import Request


@click.command("plan")
@options.stack_argument
@click.option("--out", type=click.Path(dir_okay=False), help="Save the plan for `cortexctl apply FILE`.")
@view_options
@click.option("--allow-unreachable", is_flag=True, help="Ignore unreachable hosts in the exit code.")
@options.detailed_exitcode("there are changes")
@click.option("--destroy", is_flag=True, help="Plan the removal of the whole stack.")
@click.option("--observed", metavar="SNAPSHOT", help="Plan against a snapshot of `observe --out`; no host is read.")
@click.option("--against", metavar="STACK|git:REV|none", help="Plan as if it had just been applied; no host is read.")
@click.option(
    "--probe", is_flag=True, help="Check the arguments with the parser in each image, in a separate container."
)
@options.no_commands
@options.allow_hub
@options.plan_request
@options.stack_choice
def command(
    stack: str,
    *,
    choice: StackChoice,
    request: Request,
    observed: str | None,
    against: str | None,
    probe: bool,
    no_commands: bool,
    allow_hub: bool,
    out: str | None,
    output_format: str,
    explain: bool,
    max_bytes: int | None,
    allow_unreachable: bool,
    detailed_exitcode: bool,
) -> int:
    """Show what would change, why, and what it costs. Changes nothing."""
    request = replace(request, allow_unreachable=allow_unreachable)
    inputs = PlanInputs(request, observed, against, probe, no_commands, allow_hub)
    inputs.check()
    with watched_connections() as connections:
        desired = usable(read_for_plan(stack, choice, inputs, connections))
        plan = make_plan(desired, choice, inputs, show_note, connections)
    if out:
        from cortexctl.operations.saved_plan import save_plan

        save_plan(plan, out)
    next_step = _next_step(plan, out)
    write(view(plan, output_format, explain=explain, max_bytes=max_bytes, next_step=next_step), output_format)
    return _exit_code(plan, detailed=detailed_exitcode, allow_unreachable=allow_unreachable)


def _exit_code(plan: Plan, *, detailed: bool, allow_unreachable: bool) -> int:
    if is_blocked(plan, allow_unreachable=allow_unreachable):
        return 1
    return 2 if detailed and plan.effective else 0


def _next_step(plan: Plan, out: str | None) -> str:
    if not plan.effective or plan.basis or is_blocked(plan, allow_unreachable=True):
        return ""
    from cortexctl.operations.apply_options import ALLOW_UNREACHABLE

    anyway = (ALLOW_UNREACHABLE,) if is_blocked(plan) else ()
    if out and not plan.lacking:
        from cortexctl.operations.saved_plan import apply_saved

        return apply_saved(plan, out, anyway)
    return plan.invocation.same("destroy" if plan.destroy else "apply", options=anyway)
