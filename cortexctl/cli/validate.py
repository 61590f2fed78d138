"""cortexctl validate: the file alone. No host, no secret, no network."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import Any

import click

from cortexctl.cli import options
from cortexctl.cli.wiring import ink, read_stack
from cortexctl.cli.writing import write
from cortexctl.diagnostics import Diagnostic, in_reading_order
from cortexctl.plan.guards import check_desired
from cortexctl.plan.place import placed
from cortexctl.render.diagnostic import diagnostics_text
from cortexctl.spec.desired import Desired


@click.command("validate")
@options.stack_argument
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "sarif"]),
    default="text",
    show_default=True,
    help="SARIF is what code hosts annotate lines by.",
)
@click.option("--json", "form", flag_value="json", help="Short for --format json.")
@options.stack_choice
def command(stack: str, *, choice: options.Choice, form: str) -> int:
    """Check the stack file alone: syntax, references, arguments. All problems at once."""
    desired, found = _check(stack, choice)
    valid = not any(d.is_error for d in found)
    if form == "sarif":
        from cortexctl.render.sarif import sarif_json

        write(sarif_json(found, stack), form)
    elif form == "json":
        sys.stdout.write(json.dumps(_as_json(found, valid=valid), indent=2) + "\n")
    elif valid and desired is not None:
        if found:
            sys.stdout.write(diagnostics_text(found, ink()) + "\n")
        models, hosts = len({i.model for i in desired.instances}), len(desired.hosts)
        sys.stdout.write(
            f"{stack} is valid: {models} {'model' if models == 1 else 'models'} on "
            f"{hosts} {'host' if hosts == 1 else 'hosts'}.\n"
        )
    else:
        errors = sum(d.is_error for d in found)
        sys.stdout.write(diagnostics_text(found, ink()))
        sys.stdout.write(f"\n{stack}: {errors} {'error' if errors == 1 else 'errors'}\n")
    return 0 if valid else 1


def _check(stack: str, choice: options.Choice) -> tuple[Desired | None, list[Diagnostic]]:
    """The stack in the chosen environment; without one, as it stands and in every environment that it has."""
    from cortexctl.stack.load import environments

    found: list[Diagnostic] = []
    desired: Desired | None = None
    for env in [choice.env] if choice.env else ["", *environments(stack)]:
        here, said = read_stack(stack, replace(choice, env=env), with_secrets=False)
        found += said
        if here is not None:
            here, unplaced = placed(here)
            found += [*unplaced, *check_desired(here)]
            desired = desired or here
    return desired, in_reading_order(found)


def _as_json(found: list[Diagnostic], *, valid: bool) -> dict[str, Any]:
    import dataclasses

    return {
        "format_version": "1.0",
        "valid": valid,
        "error_count": sum(d.is_error for d in found),
        "warning_count": sum(not d.is_error for d in found),
        "diagnostics": [
            {
                "rule": d.rule,
                "severity": d.severity.value,
                "summary": d.summary,
                "detail": d.detail,
                "help": d.help,
                "range": dataclasses.asdict(d.span) if d.span else None,
            }
            for d in found
        ],
    }
