"""The published schema of a plan accepts every plan, and nothing else."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from cortexctl.desired.stack import Policy
from cortexctl.diagnostics import Kind
from cortexctl.instance.spec import Spec
from cortexctl.plan.action import Action, ReasonCode
from cortexctl.plan.model import ContainerRef
from cortexctl.plan.planfile import plan_to_dict
from cortexctl.plan.steps import TASK_KINDS
from cortexctl.render.schemas import plan_schema
from tests.record_case import CASES
from tests.specs import CONTAINER_FIELDS, REQUIRED, SERVER_FIELDS, SPEC_FIELDS
from tests.views import large_plan, rich_plan

SCHEMA: dict[str, Any] = json.loads(plan_schema())
VALIDATOR = Draft202012Validator(SCHEMA)
FOLDERS = sorted(p for p in CASES.iterdir() if p.is_dir())
GOOD: dict[str, Any] = json.loads((CASES / "readme" / "plan.json").read_text())
Mutation = Callable[[dict[str, Any]], object]


def test_it_is_a_schema_and_the_published_one(repo: Path) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert (repo / "schemas" / "plan.schema.json").read_text() == plan_schema()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda p: p.name)
def test_every_recorded_plan_is_valid(folder: Path) -> None:
    VALIDATOR.validate(json.loads((folder / "plan.json").read_text()))


def test_plans_of_every_action_are_valid() -> None:
    for plan in (rich_plan(), large_plan(20)):
        VALIDATOR.validate(json.loads(json.dumps(plan_to_dict(plan))))


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if "properties" in schema and "additionalProperties" in schema:
            yield schema
        for part in schema.values():
            yield from objects(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from objects(part)


def test_every_object_and_every_field_is_described() -> None:
    parts = list(objects(SCHEMA))
    assert len(parts) > 15
    for part in parts:
        assert part["description"]
        for name, field in part["properties"].items():
            described = field.get("description") or SCHEMA["$defs"][field["$ref"].rpartition("/")[2]]["description"]
            assert described, name


def test_the_schema_has_all_values_and_fields() -> None:
    definitions = SCHEMA["$defs"]
    assert definitions["change"]["properties"]["action"]["enum"] == [a.value for a in Action]
    assert definitions["reason"]["properties"]["code"]["enum"] == [r.value for r in ReasonCode]
    assert [s["properties"]["kind"]["const"] for s in definitions["step"]["oneOf"]] == list(TASK_KINDS)
    for kind, task in zip(definitions["step"]["oneOf"], TASK_KINDS.values(), strict=True):
        assert set(kind["properties"]) == {"kind", *(f.name for f in dataclasses.fields(task))}
    assert set(definitions["spec"]["properties"]) == {"v", *(f.name for f in dataclasses.fields(Spec))}
    assert set(definitions["spec_container"]["properties"]) == set(CONTAINER_FIELDS)
    assert set(definitions["server"]["properties"]) == set(SERVER_FIELDS)
    written = plan_to_dict(rich_plan())
    assert set(SCHEMA["properties"]) == set(written)
    assert set(definitions["change"]["properties"]) == set(written["changes"][0])
    assert set(definitions["instance"]["properties"]) == set(written["changes"][0]["instance"])
    assert set(definitions["policy"]["properties"]) == {f.name for f in dataclasses.fields(Policy)}
    assert set(definitions["container"]["properties"]) == {f.name for f in dataclasses.fields(ContainerRef)}
    assert definitions["diagnostic"]["properties"]["kind"]["enum"] == [k.value for k in Kind]
    assert set(definitions["host"]["properties"]) == set(written["hosts"][0])
    assert set(definitions["diagnostic"]["properties"]) == set(written["diagnostics"][0])


def every_field(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The place of each object's keys, outside the values that a stack decides."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key)
            if key not in {"before", "after", "args", "env"} or "fields" not in path:
                yield from every_field(inner, (*path, key))
    elif isinstance(value, list) and value:
        yield from every_field(value[0], (*path, 0))


OPTIONAL_IN_SPEC = {*SPEC_FIELDS} - REQUIRED


def optional(path: tuple[str | int, ...]) -> bool:
    """Fields of a spec with their default are left out; what a stack names is not ours to know."""
    in_spec = len(path) > 4 and path[2] in {"before", "after"}
    return in_spec and (str(path[4]) in OPTIONAL_IN_SPEC and (len(path) == 5 or path[4] in {"args", "env"}))


@pytest.mark.parametrize("path", [p for p in every_field(GOOD) if not optional(p)], ids=lambda p: ".".join(map(str, p)))
def test_a_plan_without_a_field_is_not_valid(path: tuple[str | int, ...]) -> None:
    plan = copy.deepcopy(GOOD)
    at: Any = plan
    for step in path[:-1]:
        at = at[step]
    del at[path[-1]]
    assert not VALIDATOR.is_valid(plan)


WRONG: dict[str, Mutation] = {
    "action": lambda p: p["changes"][0].update(action="explode"),
    "verbs": lambda p: p["changes"][0].update(actions=["create", "remove"]),
    "replace is two verbs": lambda p: next(c for c in p["changes"] if c["action"] == "replace").update(
        actions=["replace"]
    ),
    "replace paths": lambda p: next(c for c in p["changes"] if c["action"] == "create").update(replace_paths=["image"]),
    "reason": lambda p: p["changes"][0].update(reason="because"),
    "version": lambda p: p.update(format_version="3.0"),
    "a part of the instance": lambda p: p["changes"][0]["instance"].update(serving="vllm-model-chat"),
    "kind": lambda p: p.update(
        diagnostics=[
            {
                "rule": "CX401",
                "kind": "CX401",
                "severity": "error",
                "summary": "",
                "detail": "",
                "help": "",
                "range": None,
            }
        ]
    ),
    "ordinal": lambda p: p["changes"][0]["instance"].update(ordinal=0),
    "step kind": lambda p: p["steps"][0].update(kind="explode"),
    "step of another kind": lambda p: p["steps"][0].update(kind="set_restart"),
    "cost": lambda p: p["changes"][0]["cost"].update(down="yes"),
    "unknown field of a spec": lambda p: p["changes"][0]["after"]["container"].update(privileged=True),
    "a value of a secret": lambda p: p["changes"][0]["after"]["container"].update(
        secrets=[{"name": "A", "source": "env", "key": "A", "fingerprint": "f", "value": "planted"}]
    ),
    "host problem": lambda p: p["hosts"][0].update(problem=None),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_plan_is_not_valid(name: str) -> None:
    plan = copy.deepcopy(GOOD)
    WRONG[name](plan)
    assert not VALIDATOR.is_valid(plan)


def test_a_minor_version_may_add_fields() -> None:
    plan = copy.deepcopy(GOOD)
    plan["format_version"] = "2.9"
    for part in (
        plan,
        plan["stack"],
        plan["hosts"][0],
        plan["changes"][0],
        plan["changes"][0]["cost"],
        plan["changes"][0]["instance"],
        plan["steps"][0],
    ):
        part["new_in_this_version"] = {"any": "thing"}
    VALIDATOR.validate(plan)
