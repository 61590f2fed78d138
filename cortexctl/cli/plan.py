"""cortexctl plan: read the stack, look at the hosts, decide, show."""

from __future__ import annotations

import shlex
from dataclasses import replace

import click

from cortexctl.cli import options
from cortexctl.cli.notes import show_note
from cortexctl.cli.review import plan_from_snapshot, plan_from_stack
from cortexctl.cli.show import view, view_options
from cortexctl.cli.wiring import make_plan, need_stack, need_stack_of_hosts
from cortexctl.cli.writing import write
from cortexctl.errors import UsageError
from cortexctl.files.checkout import checkout_of
from cortexctl.hosts.fleet import open_hosts
from cortexctl.operations.apply import is_blocked
from cortexctl.operations.probe import probe as ask_parsers
from cortexctl.operations.saved_plan import save_plan
from cortexctl.operations.stack_choice import StackChoice, as_argument
from cortexctl.plan.model import Plan
from cortexctl.plan.request import Request


@click.command("plan")
@options.stack_argument
@click.option("--out", type=click.Path(dir_okay=False), help="Save the plan for `cortexctl apply FILE`.")
@view_options
@click.option("--allow-unreachable", is_flag=True, help="Exit as if unreachable hosts were not in the stack.")
@options.detailed_exitcode
@click.option("--destroy", is_flag=True, help="Plan the removal of everything that is the stack's.")
@click.option("--observed", metavar="SNAPSHOT", help="Plan against what `observe --out` wrote, without any host.")
@click.option("--against", metavar="STACK|git:REV|none", help="Plan as if that had just been applied; no host at all.")
@click.option(
    "--probe", is_flag=True, help="Let each image's own parser read the arguments, in a container of its own."
)
@options.no_commands
@options.ask_hub
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
    hub: bool,
    out: str | None,
    output_format: str,
    explain: bool,
    max_bytes: int | None,
    allow_unreachable: bool,
    detailed_exitcode: bool,
) -> int:
    """Show what would change, why, and what it costs. Changes nothing."""
    if probe and (observed or against):
        raise UsageError("--probe starts containers on the hosts; a plan with --observed or --against asks no host")
    if probe and no_commands:
        raise UsageError("--probe runs a program of each image of the stack, and --no-commands runs none")
    request = replace(request, allow_unreachable=allow_unreachable)
    made, choice = _plan(stack, choice, request, observed, against, probe=probe, no_commands=no_commands, hub=hub)
    if out:
        save_plan(made, out)
    next_step = _next_step(made, stack, choice, request, out)
    write(view(made, output_format, explain=explain, max_bytes=max_bytes, next_step=next_step), output_format)
    return exit_code(made, detailed=detailed_exitcode, allow_unreachable=allow_unreachable)


def _plan(
    stack: str,
    choice: StackChoice,
    request: Request,
    observed: str | None,
    against: str | None,
    *,
    probe: bool,
    no_commands: bool,
    hub: bool,
) -> tuple[Plan, StackChoice]:
    """Against the live hosts, or for review against a snapshot or another stack. A review reads no secret. The choice
    knows what is secret.
    """
    if observed and against:
        raise UsageError("--observed and --against exclude each other")
    if observed:
        desired = need_stack(stack, choice, review=True)
        return plan_from_snapshot(desired, observed, request, hub=hub), choice.knowing(desired.secret_variables)
    if against:
        desired = need_stack(stack, choice, review=True)
        made = plan_from_stack(desired, against, choice, request, hub=hub)
        return made, choice.knowing(desired.secret_variables)
    desired = need_stack_of_hosts(stack, choice, with_secrets=not request.destroy, review=no_commands)
    with open_hosts(desired.hosts, desired.owner) as daemons:
        within = checkout_of(stack) if no_commands else None
        made = make_plan(desired, daemons, request, hub=hub, within=within)
        made = ask_parsers(made, desired, daemons, show_note) if probe else made
    return made, choice.knowing(desired.secret_variables)


def exit_code(made: Plan, *, detailed: bool, allow_unreachable: bool) -> int:
    if is_blocked(made, allow_unreachable=allow_unreachable):
        return 1
    return 2 if detailed and made.effective else 0


def _next_step(made: Plan, stack: str, choice: StackChoice, request: Request, out: str | None) -> str:
    if not made.effective or made.basis or is_blocked(made, allow_unreachable=True):
        return ""
    verb = "destroy" if made.destroy else "apply"
    anyway = " --allow-unreachable" if is_blocked(made) else ""
    if out and not made.lacking:
        return f"cortexctl apply {shlex.quote(out)}{anyway}"
    return f"cortexctl {verb}{as_argument(stack)}{choice.as_flags()}{request.options()}{anyway}"
