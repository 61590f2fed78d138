"""Options that several commands share."""

from __future__ import annotations

import click

DEFAULT_STACK = "stack.toml"

stack_argument = click.argument("stack", default=DEFAULT_STACK, metavar="[STACK]")
auto_approve = click.option("--auto-approve", is_flag=True, help="Do not ask.")
unprotect = click.option(
    "--unprotect", multiple=True, metavar="ADDRESS", help="Lift the protection of HOST/MODEL for this plan."
)
parallelism = click.option(
    "--parallelism",
    type=click.IntRange(1, 256),
    default=10,
    show_default=True,
    help="Hosts worked on at once.",
)
detailed_exitcode = click.option("--detailed-exitcode", is_flag=True, help="Exit 2 when there are changes.")
