"""cortexctl show: shows a saved plan in any view. Needs no stack, no host and no secret."""

from __future__ import annotations

import functools

import click

from cortexctl.cli import options
from cortexctl.cli.colour import ink
from cortexctl.cli.writing import write
from cortexctl.errors import UsageError
from cortexctl.plan.model import Plan

FORMATS = ["text", "json", "markdown", "html"]
LEAST_BYTES = 6_000
"""The same as in render.plan.markdown, which is loaded only when it is used; a test compares them."""


def view_options(command: options.Command) -> options.Command:
    """Adds --format, --explain and --max-bytes; the command gets them as `output_format`, `explain` and `max_bytes`."""

    @options.output_format(*FORMATS)
    @click.option("--explain", is_flag=True, help="Show the steps of every change (text).")
    @click.option(
        "--max-bytes",
        type=click.IntRange(min=LEAST_BYTES),
        metavar="N",
        help="Maximum size in bytes; details are dropped to fit (markdown only).",
    )
    @functools.wraps(command)
    def with_view(*args: object, output_format: str, max_bytes: int | None, **kwargs: object) -> int:
        if max_bytes is not None and output_format != "markdown":
            raise UsageError("--max-bytes needs --format markdown")
        return command(*args, output_format=output_format, max_bytes=max_bytes, **kwargs)

    return with_view


@click.command("show")
@click.argument("planfile", metavar="PLANFILE")
@view_options
def command(planfile: str, *, output_format: str, explain: bool, max_bytes: int | None) -> int:
    """Show a plan that was saved with `plan --out`, unchanged."""
    from cortexctl.operations.saved_plan import apply_saved, read_plan

    saved = read_plan(planfile)
    can_be_applied = saved.effective and not (saved.has_errors or saved.basis or saved.lacking)
    next_step = apply_saved(saved, planfile) if can_be_applied else ""
    if output_format == "text":
        from cortexctl.render.plan.terminal import refusal_text

        write(refusal_text(saved, ink()), output_format)
    write(view(saved, output_format, explain=explain, max_bytes=max_bytes, next_step=next_step), output_format)
    return 0


def view(plan: Plan, output_format: str, *, explain: bool, max_bytes: int | None, next_step: str) -> str:
    """The plan in one of FORMATS."""
    match output_format:
        case "json":
            from cortexctl.plan.planfile import plan_to_json

            return plan_to_json(plan)
        case "markdown":
            from cortexctl.render.plan.markdown import MAX_BYTES, plan_markdown

            return plan_markdown(plan, max_bytes=max_bytes or MAX_BYTES, next_step=next_step)
        case "html":
            from cortexctl.render.plan.html import plan_html

            return plan_html(plan, next_step=next_step)
        case _:
            from cortexctl.render.plan.terminal import plan_text

            return plan_text(plan, ink(), explain=explain, next_step=next_step)
