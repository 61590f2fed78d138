"""Plan <-> JSON: the machine format, and the saved plan. One document holds everything that apply needs.

It contains no secrets, only references and fingerprints, because no input of a plan contains secret values.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from cortexctl.decoding.decode import read_json
from cortexctl.decoding.readers import NotAsExpected
from cortexctl.desired.hook import Hook
from cortexctl.desired.stack import Policy
from cortexctl.diagnostics import Diagnostic
from cortexctl.instance.codec import spec_to_dict
from cortexctl.instance.spec import Spec
from cortexctl.plan.action import Action
from cortexctl.plan.capacity.forecast_json import instance_to_dict, line_to_dict
from cortexctl.plan.model import (
    FORMAT_VERSION,
    Change,
    ContainerRef,
    InstanceChange,
    Plan,
    PlannedHost,
    PlannedImage,
    TimeRange,
)
from cortexctl.plan.planfile_read import plan_from_dict
from cortexctl.plan.steps import KIND_OF, Step
from cortexctl.text.invocation import Invocation
from cortexctl.text.json_text import json_text

_NONE_OF_OURS = "it is not a plan saved by cortexctl plan --out"

_PLAIN = re.compile(r"[\w./][\w./-]{0,200}", re.ASCII)
_GPU_FACTS = ("gpu_name", "gpu_memory", "gpu_capability")
"""Facts about a host, as far as the stack declares them."""

_DETAIL = tuple(f.name for f in dataclasses.fields(InstanceChange) if f.name not in {"before", "after"})


class NotAPlan(ValueError):
    """The text is not a plan of ours, or has a format that this release does not read. `again`: its stack, if the text
    shows it.
    """

    def __init__(self, message: str, again: Invocation | None = None) -> None:
        super().__init__(message)
        self.again = again


def plan_to_dict(plan: Plan) -> dict[str, Any]:
    """Plain JSON values in a stable order."""
    shared = _Shared()
    document = {
        "format_version": FORMAT_VERSION,
        "stack": {"name": plan.stack, "path": plan.stack_path, "digest": plan.stack_digest, "env": plan.env},
        "destroy": plan.destroy,
        "basis": plan.basis,
        "selection": list(plan.selection),
        **_invocation_to_dict(plan.invocation),
        "hosts": [_host_to_dict(h) for h in plan.hosts],
        "changes": [_change_to_dict(c, shared) for c in plan.changes],
        "steps": [_step_to_dict(s) for s in plan.steps],
        "rollouts": [dataclasses.asdict(r) for r in plan.rollouts],
        "max_failures": plan.max_failures,
        "parallel_starts": plan.parallel_starts,
        "diagnostics": [_diagnostic_to_dict(d) for d in plan.diagnostics],
        "hooks": [_hook_to_dict(h) for h in plan.hooks],
        "audit_log": plan.audit_log,
        "forecasts": [instance_to_dict(f) for f in plan.forecasts],
        "ledger": [line_to_dict(line) for line in plan.ledger],
    }
    return {**document, "digest": digest_of(document)}


def digest_of(document: Mapping[str, Any]) -> str:
    """The content of the plan in 64 hex digits; the document's own `digest` is not included. It proves that the applied
    plan is the reviewed one.
    """
    content = {key: value for key, value in document.items() if key != "digest"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def plan_to_json(plan: Plan) -> str:
    return json_text(plan_to_dict(plan), 2) + "\n"


def plan_from_json(text: str) -> Plan:
    """The inverse of `plan_to_json`. Raises NotAPlan with the problem."""
    try:
        data = read_json(text)
    except NotAsExpected as cause:
        raise NotAPlan(f"{_NONE_OF_OURS} ({cause})") from None
    if not isinstance(data, dict) or "format_version" not in data:
        raise NotAPlan(_NONE_OF_OURS)
    version = str(data["format_version"])[:20]
    if version.split(".")[0] != FORMAT_VERSION.split(".")[0]:
        raise NotAPlan(f"its format is {version}; this cortexctl reads {FORMAT_VERSION}", _invocation(data))
    if data.get("digest") != digest_of(data):
        raise NotAPlan("it was changed after it was created")
    try:
        return plan_from_dict(data)
    except NotAsExpected as cause:
        raise NotAPlan(f"it is damaged: {cause}") from None


def _invocation(data: Mapping[str, Any]) -> Invocation | None:
    """The stack of the plan. Anyone can have written the text: only simple words are repeated."""
    stack = data.get("stack")
    path, env = (stack.get(key) for key in ("path", "env")) if isinstance(stack, dict) else (None, None)
    if not isinstance(path, str) or not _PLAIN.fullmatch(path):
        return None
    if not env:
        return Invocation(path)
    return Invocation(path, env) if isinstance(env, str) and _PLAIN.fullmatch(env) else None


def _invocation_to_dict(run: Invocation) -> dict[str, Any]:
    """Only of a run with options. The stack is named elsewhere."""
    options = [list(option) for option in run.options]
    parts = {"variable_files": list(run.files), "variables": list(run.variables), "options": options}
    return {"invocation": parts} if any(parts.values()) else {}


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
        "tls": dataclasses.asdict(host.tls) if host.tls else None,
        **({"reach": host.reach} if host.reach != "auto" else {}),
        **({"measured_cards": [dataclasses.asdict(c) for c in host.measured_cards]} if host.measured_cards else {}),
    }


class _Shared:
    """The values that many changes share, each converted once."""

    def __init__(self) -> None:
        self._specs: dict[int, tuple[Spec, dict[str, Any]]] = {}
        self._policies: dict[int, tuple[Policy, dict[str, Any]]] = {}

    def spec(self, spec: Spec | None) -> dict[str, Any] | None:
        if spec is None:
            return None
        if id(spec) not in self._specs:
            self._specs[id(spec)] = spec, spec_to_dict(spec)
        return self._specs[id(spec)][1]

    def policy(self, policy: Policy) -> dict[str, Any]:
        if id(policy) not in self._policies:
            self._policies[id(policy)] = policy, dataclasses.asdict(policy)
        return self._policies[id(policy)][1]


def _range_to_dict(times: TimeRange) -> dict[str, int]:
    return {"low": times.low, "high": times.high, "by": times.by, "download_bytes": times.download}


def _change_to_dict(change: Change, shared: _Shared) -> dict[str, Any]:
    """The fields of every change, and under `instance` the change to the containers there."""
    return {
        "address": change.address,
        "host": change.host,
        "model": change.model,
        "action": change.action.value,
        "actions": change.action.verbs,
        "reason": change.reasons[0].code.value if change.reasons else "",
        "reasons": [{"code": r.code.value, "detail": r.detail} for r in change.reasons],
        "replace_paths": [f.path for f in change.fields if change.action is Action.REPLACE and not f.in_place],
        "sensitive_paths": [f.path for f in change.fields if f.sensitive],
        "fields": [dataclasses.asdict(f) for f in change.fields],
        "before": shared.spec(change.detail.before),
        "after": shared.spec(change.detail.after),
        "cost": {
            "down": change.cost.down,
            "at_most_seconds": change.cost.at_most,
            "expected_seconds": change.cost.expected,
            "starts": change.cost.starts,
            "stops": change.cost.stops,
            "forecast_seconds": _range_to_dict(change.cost.forecast) if change.cost.forecast else None,
        },
        "instance": _instance_to_dict(change.detail, shared),
    }


def _instance_to_dict(detail: InstanceChange, shared: _Shared) -> dict[str, Any]:
    """All fields except the two specs, which are stored beside it."""
    values = {name: getattr(detail, name) for name in _DETAIL}
    return {
        name: shared.policy(value) if isinstance(value, Policy) else _refs_to_dict(value)
        for name, value in values.items()
    }


def _refs_to_dict(value: Any) -> Any:
    """Containers and images as tables; other values are plain."""
    if isinstance(value, tuple):
        return tuple(_refs_to_dict(v) for v in value)
    return dataclasses.asdict(value) if isinstance(value, ContainerRef | PlannedImage) else value


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
        "kind": d.kind.value,
        "severity": d.severity.value,
        "summary": d.summary,
        "detail": d.detail,
        "help": d.help,
        "range": dataclasses.asdict(d.span) if d.span else None,
    }
