"""cortexctl destroy: plan --destroy, then apply."""

from __future__ import annotations

import click

from cortexctl.cli import options
from cortexctl.cli.apply import carry_out
from cortexctl.cli.wiring import make_plan, need_stack, open_engines


@click.command("destroy")
@options.stack_argument
@options.auto_approve
@options.unprotect
@options.parallelism
def command(stack: str, *, auto_approve: bool, unprotect: tuple[str, ...], parallelism: int) -> int:
    """Remove every container of the stack, and the networks that it made. Weights and caches stay."""
    desired = need_stack(stack, with_secrets=False)
    engines = open_engines(desired)
    made = make_plan(desired, engines, destroy=True, unprotect=unprotect)
    return carry_out(made, engines, approved=auto_approve, parallelism=parallelism)
