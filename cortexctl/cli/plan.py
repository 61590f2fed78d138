"""cortexctl plan: read the stack, look at the hosts, decide, show."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cortexctl.cli import options
from cortexctl.cli.wiring import ink, make_plan, need_stack, open_engines
from cortexctl.errors import UsageError
from cortexctl.plan.model import Plan
from cortexctl.plan.planfile import plan_to_json
from cortexctl.render.terminal import plan_text


@click.command("plan")
@options.stack_argument
@click.option("--out", type=click.Path(dir_okay=False), help="Save the plan for `cortexctl apply FILE`.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--json-out", type=click.Path(dir_okay=False), help="Write the JSON to a file as well.")
@click.option("--explain", is_flag=True, help="Show the steps of every change.")
@click.option("--destroy", is_flag=True, help="Plan the removal of everything that is the stack's.")
@click.option("--allow-unreachable", is_flag=True, help="Exit as if unreachable hosts were not in the stack.")
@options.unprotect
@options.detailed_exitcode
def command(
    stack: str,
    *,
    out: str | None,
    form: str,
    json_out: str | None,
    explain: bool,
    destroy: bool,
    allow_unreachable: bool,
    unprotect: tuple[str, ...],
    detailed_exitcode: bool,
) -> int:
    """Show what would change, why, and what it costs. Changes nothing."""
    desired = need_stack(stack)
    engines = open_engines(desired)
    try:
        made = make_plan(desired, engines, destroy=destroy, unprotect=unprotect)
    finally:
        engines.close()
    for file in filter(None, (out, json_out)):
        save(made, file)
    if form == "json":
        sys.stdout.write(plan_to_json(made))
    else:
        sys.stdout.write(plan_text(made, ink(), explain=explain, next_step=_next_step(made, stack, out)))
    return exit_code(made, detailed=detailed_exitcode, allow_unreachable=allow_unreachable)


def save(made: Plan, file: str) -> None:
    """Raises UsageError when the file cannot be written."""
    try:
        Path(file).write_text(plan_to_json(made), encoding="utf-8")
    except OSError as cause:
        raise UsageError(f"cannot write {file}: {cause.strerror}") from cause


def blocking(made: Plan, *, allow_unreachable: bool = False) -> bool:
    """Whether something stands against the plan; unreachable hosts do unless they are allowed."""
    return any(d.is_error and not (allow_unreachable and d.rule == "CX401") for d in made.diagnostics)


def exit_code(made: Plan, *, detailed: bool, allow_unreachable: bool) -> int:
    if blocking(made, allow_unreachable=allow_unreachable):
        return 1
    return 2 if detailed and made.effective else 0


def _next_step(made: Plan, stack: str, out: str | None) -> str:
    if not made.effective or blocking(made, allow_unreachable=True):
        return ""
    verb = "destroy" if made.destroy else "apply"
    if out:
        return f"cortexctl apply {out}"
    return f"cortexctl {verb}" + ("" if stack == options.DEFAULT_STACK else f" {stack}")
