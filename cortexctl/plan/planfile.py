"""Plan <-> JSON: the machine's view, and the saved plan. One document holds all that apply needs.

No secret is in it, only references and fingerprints, for no value that a plan is made of holds one.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from cortexctl.decoding.decode import read_json
from cortexctl.decoding.readers import NotAsExpected
from cortexctl.desired.hook import Hook
from cortexctl.diagnostics import Diagnostic
from cortexctl.instance.codec import spec_to_dict
from cortexctl.plan.action import Action
from cortexctl.plan.capacity.forecast_json import instance_to_dict, line_to_dict
from cortexctl.plan.model import (
    FORMAT_VERSION,
    Change,
    Plan,
    PlannedHost,
)
from cortexctl.plan.planfile_read import plan_from_dict
from cortexctl.plan.steps import KIND_OF, Step
from cortexctl.text.json_text import json_text

_NONE_OF_OURS = "it is not a plan saved by cortexctl plan --out"

_GPU_FACTS = ("gpu_name", "gpu_memory", "gpu_capability")
"""Of a host, as far as the stack says. Plans of earlier releases have none of them."""


class NotAPlan(ValueError):
    """The text is no plan of ours, or of a format that this release does not read."""


def plan_to_dict(plan: Plan) -> dict[str, Any]:
    """Plain JSON values in a stable order."""
    document = {
        "format_version": FORMAT_VERSION,
        "stack": {"name": plan.stack, "path": plan.stack_path, "digest": plan.stack_digest, "env": plan.env},
        "destroy": plan.destroy,
        "basis": plan.basis,
        "selection": list(plan.selection),
        "hosts": [_host_to_dict(h) for h in plan.hosts],
        "changes": [_change_to_dict(c) for c in plan.changes],
        "steps": [_step_to_dict(s) for s in plan.steps],
        "rollouts": [dataclasses.asdict(r) for r in plan.rollouts],
        "max_failures": plan.max_failures,
        "diagnostics": [_diagnostic_to_dict(d) for d in plan.diagnostics],
        "hooks": [_hook_to_dict(h) for h in plan.hooks],
        "audit_log": plan.audit_log,
        "forecasts": [instance_to_dict(f) for f in plan.forecasts],
        "ledger": [line_to_dict(line) for line in plan.ledger],
    }
    return {**document, "digest": digest_of(document)}


def digest_of(document: Mapping[str, Any]) -> str:
    """What the plan says, in 64 hex digits; the document's own `digest` is left out. A plan is applied as it was
    reviewed, or not at all.
    """
    said = {key: value for key, value in document.items() if key != "digest"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def plan_to_json(plan: Plan) -> str:
    return json_text(plan_to_dict(plan), 2) + "\n"


def plan_from_json(text: str) -> Plan:
    """The inverse of `plan_to_json`. Raises NotAPlan with what is wrong."""
    try:
        data = read_json(text)
    except NotAsExpected as cause:
        raise NotAPlan(f"{_NONE_OF_OURS} ({cause})") from None
    if not isinstance(data, dict) or "format_version" not in data:
        raise NotAPlan(_NONE_OF_OURS)
    version = str(data["format_version"])[:20]
    if version.split(".")[0] != FORMAT_VERSION.split(".")[0]:
        raise NotAPlan(f"its format is {version}; this cortexctl reads {FORMAT_VERSION}")
    if data.get("digest") != digest_of(data):
        raise NotAPlan("it was changed after it was made")
    try:
        return plan_from_dict(data)
    except NotAsExpected as cause:
        raise NotAPlan(f"it is damaged: {cause}") from None


def _host_to_dict(planned: PlannedHost) -> dict[str, Any]:
    host = planned.host
    return {
        "name": host.name,
        "docker": host.docker,
        "address": host.address,
        "daemon": planned.daemon,
        "containers": planned.containers,
        "unmanaged": planned.unmanaged,
        "problem": planned.problem,
        "gpus": host.gpus,
        "gpus_before": planned.gpus_before,
        "gpus_after": planned.gpus_after,
        **{name: getattr(host, name) for name in _GPU_FACTS},
    }


def _change_to_dict(change: Change) -> dict[str, Any]:
    return {
        "address": change.address,
        "host": change.host,
        "model": change.model,
        "ordinal": change.ordinal,
        "action": change.action.value,
        "actions": change.action.verbs,
        "reason": change.reasons[0].code.value if change.reasons else "",
        "reasons": [{"code": r.code.value, "detail": r.detail} for r in change.reasons],
        "replace_paths": [f.path for f in change.fields if change.action is Action.REPLACE and not f.in_place],
        "sensitive_paths": [f.path for f in change.fields if f.sensitive],
        "fields": [dataclasses.asdict(f) for f in change.fields],
        "before": spec_to_dict(change.before) if change.before else None,
        "after": spec_to_dict(change.after) if change.after else None,
        "image": dataclasses.asdict(change.image) if change.image else None,
        "generation": change.generation,
        "adopted": change.adopted,
        "imported": change.imported,
        "touched": [dataclasses.asdict(r) for r in change.touched],
        "task": change.task,
        "gate": dataclasses.asdict(change.gate),
        "on_failure": change.on_failure,
        "keep": change.keep,
        "start_first": change.start_first,
        "goes_back": change.goes_back,
        "protect": change.protect,
        "on_remove": change.on_remove,
        "rename": change.rename,
        "cost": {
            "down": change.cost.down,
            "at_most_seconds": change.cost.at_most,
            "expected_seconds": change.cost.expected,
            "starts": change.cost.starts,
            "stops": change.cost.stops,
        },
    }


def _step_to_dict(step: Step) -> dict[str, Any]:
    return {
        "id": step.id,
        "host": step.host,
        "address": step.address,
        "after": list(step.after),
        "kind": KIND_OF[type(step.task)],
        **dataclasses.asdict(step.task),
    }


def _hook_to_dict(hook: Hook) -> dict[str, Any]:
    return {**dataclasses.asdict(hook), "on": hook.on.value}


def _diagnostic_to_dict(d: Diagnostic) -> dict[str, Any]:
    return {
        "rule": d.rule,
        "severity": d.severity.value,
        "summary": d.summary,
        "detail": d.detail,
        "help": d.help,
        "range": dataclasses.asdict(d.span) if d.span else None,
    }
