"""A saved plan's document as a plan: every field has its type, and every reference has its target."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from cortexctl.dataclass import dataclass
from cortexctl.decoding.decode import Decoder
from cortexctl.decoding.readers import NotAsExpected
from cortexctl.desired.stack import Host
from cortexctl.diagnostics import Diagnostic
from cortexctl.engines.launch_forecast import Forecast
from cortexctl.engines.registry import of_known_engine
from cortexctl.instance.codec import spec_from_dict
from cortexctl.instance.spec import Spec
from cortexctl.plan.action import Action
from cortexctl.plan.capacity.forecast_json import NAMES
from cortexctl.plan.model import Change, Cost, InstanceChange, Plan, PlannedHost, TimeRange
from cortexctl.plan.steps import TASK_KINDS, Step, Task
from cortexctl.text.invocation import Invocation

_COST = {"at_most": "at_most_seconds", "expected": "expected_seconds", "forecast": "forecast_seconds"}


def plan_from_dict(data: Mapping[str, Any]) -> Plan:
    """The inverse of `plan_to_dict`. Raises NotAsExpected."""
    stack = _DECODER.read(_Stack, data.get("stack"), "stack")
    flat = {
        "parallel_starts": 1,  # a plan of an earlier release lacks it: its changes wait for each other
        **data,
        "stack": stack.name,
        "stack_path": stack.path,
        "stack_digest": stack.digest,
        "env": stack.env,
    }
    plan = _DECODER.read(Plan, flat)
    check_together(plan)
    return dataclasses.replace(plan, invocation=dataclasses.replace(plan.invocation, stack=stack.path, env=stack.env))


@dataclass(frozen=True, slots=True)
class _Stack:
    name: str
    path: str
    digest: str
    env: str


@dataclass(frozen=True, slots=True)
class _Step:
    """The fields of all steps; the others belong to the task."""

    id: str
    host: str
    address: str
    after: tuple[str, ...]
    kind: str


def _step(value: Any) -> Step:
    head = _DECODER.read(_Step, value)
    if head.kind not in TASK_KINDS:
        raise NotAsExpected(f"there is no step of the kind {head.kind[:40]}", "kind")
    task: Task = _DECODER.read(TASK_KINDS[head.kind], value)
    return Step(head.id, head.host, head.address, head.after, task)


def _host(value: Any) -> PlannedHost:
    """A host and its changes are one table."""
    host = _DECODER.read(Host, value)
    return _PLANNED.read(PlannedHost, {**value, "host": host})


@dataclass(frozen=True, slots=True)
class _Specs:
    """They are stored beside the table of the instance, because every change has a before and an after."""

    before: Spec | None
    after: Spec | None


def _change(value: Any) -> Change:
    """A change and the change to its instance are two tables."""
    specs = _DECODER.read(_Specs, value)
    instance = value.get("instance")
    if type(instance) is not dict:
        raise NotAsExpected("a table is expected", "instance")
    detail = _DETAIL.read(InstanceChange, {**instance, "before": specs.before, "after": specs.after}, "instance")
    return _CHANGE.read(Change, {**value, "detail": detail})


_STARTS_FROM_ONE = {Action.START, Action.RESTART, Action.REPLACE, Action.UPDATE, Action.ADOPT, Action.MOVE}
"""Actions on a container that serves, or did."""


def check_together(plan: Plan) -> None:
    """Checks that the fields agree with each other. An apply relies on it. Raises NotAsExpected."""
    for number, of_instance in enumerate(plan.forecasts):
        for which in ("before", "after"):
            forecast = getattr(of_instance, which)
            if isinstance(forecast, Forecast) and not 0 <= forecast.tightest < len(forecast.stages):
                raise NotAsExpected("there is no such stage", f"forecasts[{number}].{which}.tightest_stage")
    hosts = [planned.host.name for planned in plan.hosts]
    if len(set(hosts)) != len(hosts):
        raise NotAsExpected("a host appears twice", "hosts")
    changes = {(c.host, c.address) for c in plan.changes}
    if len(changes) != len(plan.changes):
        raise NotAsExpected("an address appears twice", "changes")
    for number, change in enumerate(plan.changes):
        at = f"changes[{number}]"
        if change.host not in hosts:
            raise NotAsExpected("there is no such host", f"{at}.host")
        if change.detail.serving is None and (change.action in _STARTS_FROM_ONE or change.detail.rename):
            raise NotAsExpected("no container is named", f"{at}.instance.serving")
        if change.action is Action.REMOVE and not change.detail.touched:
            raise NotAsExpected("no container is named", f"{at}.instance")
        if change.detail.after is None and change.action in {Action.CREATE, Action.REPLACE}:
            raise NotAsExpected("it is missing", f"{at}.after")
    _check_steps(plan, hosts, changes)


def _check_steps(plan: Plan, hosts: Collection[str], changes: Collection[tuple[str, str]]) -> None:
    ids = {s.id for s in plan.steps}
    if len(ids) != len(plan.steps):
        raise NotAsExpected("an id appears twice", "steps")
    for number, step in enumerate(plan.steps):
        at = f"steps[{number}]"
        if step.host not in hosts:
            raise NotAsExpected("there is no such host", f"{at}.host")
        if step.address and step.place not in changes:
            raise NotAsExpected("there is no such change", f"{at}.address")
        if not ids.issuperset(step.after):
            raise NotAsExpected("there is no such step", f"{at}.after")
    try:
        TopologicalSorter({s.id: s.after for s in plan.steps}).prepare()
    except CycleError:
        raise NotAsExpected("they wait for each other", "steps") from None


_PLANNED = Decoder({Host: lambda host: host})
_DETAIL = Decoder({Spec: lambda spec: spec})
_CHANGE = Decoder(
    {InstanceChange: lambda detail: detail},
    names={Cost: _COST, TimeRange: {"download": "download_bytes"}},
    may_lack={Cost: {"forecast"}},
)


def _spec(value: Any) -> Spec:
    return of_known_engine(spec_from_dict(value))


_DECODER = Decoder(
    {Spec: _spec, Step: _step, PlannedHost: _host, Change: _change},
    names={**NAMES, Diagnostic: {"span": "range"}, Invocation: {"files": "variable_files"}},
    may_lack={
        Forecast: {"start"},
        Host: {"reach", "measured_cards"},
        Plan: {"invocation"},
        Invocation: {"stack", "env"},
    },
)
