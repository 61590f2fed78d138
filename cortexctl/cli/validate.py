"""cortexctl validate: the file alone. No host, no secret, no network."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from cortexctl.cli import options
from cortexctl.cli.wiring import ink, read_stack
from cortexctl.diagnostics import Diagnostic, in_reading_order
from cortexctl.plan.guards import check_desired
from cortexctl.render.diagnostic import diagnostics_text


@click.command("validate")
@options.stack_argument
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(stack: str, *, as_json: bool) -> int:
    """Check the stack file alone: syntax, references, arguments. All problems at once."""
    desired, found = read_stack(stack, with_secrets=False)
    if desired is not None:
        found = in_reading_order([*found, *check_desired(desired)])
    valid = not any(d.is_error for d in found)
    if as_json:
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
