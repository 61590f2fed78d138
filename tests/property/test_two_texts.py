"""A text in its other form, a second time, and after another text."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from cortexctl.instance import labels
from cortexctl.plan.action import Action
from cortexctl.plan.hypothetical import as_if_applied
from cortexctl.plan.model import Plan
from cortexctl.plan.planfile import plan_to_dict
from cortexctl.plan.planner import plan
from cortexctl.plan.request import Request
from tests.edits.drawn import modest, texts
from tests.edits.edit import replaced
from tests.edits.text import (
    Text,
    small_text,
)
from tests.edits.world import (
    address_of,
    apply_text,
    containers_of,
    is_serving,
    touched_by,
    world_of,
)

pytestmark = pytest.mark.usefixtures("fingerprints_once")


@modest
@given(texts(), texts())
def test_both_forms_of_a_text_resolve_to_the_same_and_plan_the_same(one: Text, other: Text) -> None:
    other = replace(other, env=one.env)
    observed = as_if_applied(one.desired, other.desired)
    in_json, errors = other.read(language="json")
    assert in_json is not None, errors
    assert replace(in_json, path="", digest="") == replace(other.desired, path="", digest="")
    plans = [plan_to_dict(plan(desired, observed)) for desired in (in_json, other.desired)]
    for document in plans:
        assert document["changes"]
        del document["stack"]["path"], document["stack"]["digest"], document["digest"]
        document["diagnostics"] = sorted(f"{d['rule']} {d['summary']} {d['help']}" for d in document["diagnostics"])
    assert json.dumps(plans[0]) == json.dumps(plans[1])


@modest
@given(texts(), texts())
def test_after_an_apply_the_plan_is_empty_whatever_the_earlier_stack(one: Text, other: Text) -> None:
    """There and back again."""
    other = replace(other, env=one.env)
    world = world_of(one)
    foreign = containers_of(world, ours=False)
    for text in (one, other, one):
        removed = [c.address for c in world.plan(text.desired).changes if c.action is Action.REMOVE]
        apply_text(world, text, Request(unprotect=tuple(removed)))
        again = world.plan(text.desired)
        assert again.effective == ()
        assert again.steps == ()
        assert [d.summary for d in again.diagnostics if d.is_error] == []
        here = [c for h in text.values["hosts"] for c in world.daemon(h).containers.values() if is_serving(c)]
        serving = {(address_of(c), c.state) for c in here if labels.MODEL in c.labels}
        assert serving >= {(i.address, "running") for i in text.desired.instances}
        assert {a for a, _ in serving} <= {i.address for i in text.desired.instances} | _forgotten(again)
    assert containers_of(world, ours=False) == foreign


def _forgotten(planned: Plan) -> set[str]:
    return {c.address for c in planned.changes if c.action is Action.FORGET}


@pytest.mark.parametrize(
    ("key", "was", "meanwhile"), [("restart", "always", "no"), ("memory", "4 GiB", "8 GiB"), ("cpus", 2.0, 4.0)]
)
def test_a_change_in_place_can_be_reverted(key: str, was: Any, meanwhile: Any) -> None:
    text = small_text({"a": {key: was}})
    world = world_of(text)
    apply_text(world, text)
    container = world.daemon("east-1").by_name("vllm-model-a")
    planned = getattr(container, key)
    apply_text(world, text.but("models", "a", key, to=meanwhile))
    assert getattr(container, key) != planned
    apply_text(world, text)
    assert getattr(container, key) == planned


@pytest.mark.parametrize(
    ("was", "now"), [("{{ vars.v }} a", "{{ vars.v }} a\n"), ("{{ vars.v }}\na", "{{ vars.v }}\r\na")]
)
def test_the_text_around_a_variable_is_kept_to_the_last_character(was: str, now: str) -> None:
    """It is kept as in a text without a variable: a chat template may end in a newline that matters."""
    before, after = (small_text({"a": {"env": {"A": a}}}).but("vars", "v", to={"default": "x"}) for a in (was, now))
    planned = plan(after.desired, as_if_applied(before.desired, after.desired))
    assert touched_by(planned) == replaced(["east-1/a"], "env.A")
