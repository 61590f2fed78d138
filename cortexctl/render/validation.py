"""The problems of a stack, as text and as JSON."""

from __future__ import annotations

import dataclasses
from typing import Any

from cortexctl.operations.validation import Validation
from cortexctl.render.diagnostic import diagnostics_text
from cortexctl.render.plan.memory import unknown_memory_lines
from cortexctl.render.style import Ink


def validation_text(stack: str, validation: Validation, ink: Ink) -> str:
    """The diagnostics, and whether the stack is valid."""
    diagnostics = diagnostics_text(validation.diagnostics, ink)
    desired = validation.desired
    if not validation.is_valid or desired is None:
        errors = sum(d.is_error for d in validation.diagnostics)
        return f"{diagnostics}\n{stack}: {errors} {'error' if errors == 1 else 'errors'}\n"
    models, hosts = len({i.model for i in desired.instances}), len(desired.hosts)
    valid = (
        f"{stack} is valid: {models} {'model' if models == 1 else 'models'} on "
        f"{hosts} {'host' if hosts == 1 else 'hosts'}.\n"
    )
    count = validation.acknowledged
    accepted = f"{count} {'warning is' if count == 1 else 'warnings are'} acknowledged in it.\n" if count else ""
    unknown = "".join(f"{line[:1].upper()}{line[1:]}.\n" for line in unknown_memory_lines(validation.unknown))
    return (f"{diagnostics}\n" if diagnostics else "") + valid + accepted + unknown


def validation_json(validation: Validation) -> dict[str, Any]:
    return {
        "format_version": "1.0",
        "valid": validation.is_valid,
        "error_count": sum(d.is_error for d in validation.diagnostics),
        "warning_count": sum(not d.is_error for d in validation.diagnostics),
        "acknowledged_count": validation.acknowledged,
        "diagnostics": [
            {
                "rule": d.rule,
                "severity": d.severity.value,
                "summary": d.summary,
                "detail": d.detail,
                "help": d.help,
                "range": dataclasses.asdict(d.span) if d.span else None,
            }
            for d in validation.diagnostics
        ],
        "memory_unknown": [{"address": f.address, "why": f.why_unknown} for f in validation.unknown if not f.after],
        "memory_incomplete": [{"address": f.address, "why": f.after.uncounted} for f in validation.unknown if f.after],
    }
