"""A saved plan: the files that are refused, and the values that it keeps."""

from __future__ import annotations

import json

import pytest

from cortexctl.instance.labels import serving_name
from cortexctl.plan.model import ContainerRef
from cortexctl.plan.planfile import NotAPlan, digest_of, plan_from_json, plan_to_json
from cortexctl.text.invocation import Invocation
from tests.build import (
    changes_of,
    make_instance,
    make_plan,
    make_spec,
    replacement_plan,
    serving_container,
)


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "7", "{}", '{"version": 1}'])
def test_a_file_that_is_not_a_plan_is_refused(text: str) -> None:
    with pytest.raises(NotAPlan, match="it is not a plan saved by cortexctl"):
        plan_from_json(text)


def test_a_plan_of_another_format_is_refused_and_one_of_a_later_minor_is_read() -> None:
    data = json.loads(plan_to_json(make_plan(make_instance())))
    with pytest.raises(NotAPlan, match=r"its format is 1\.9; this cortexctl reads 2\.0") as refused:
        plan_from_json(json.dumps(data | {"format_version": "1.9"}))
    assert refused.value.again == Invocation("stack.toml")
    later = data | {"format_version": "2.7", "new": 1}
    assert plan_from_json(json.dumps(later | {"digest": digest_of(later)})) == make_plan(make_instance())


def test_a_plan_that_was_changed_by_hand_is_refused() -> None:
    data = json.loads(plan_to_json(make_plan(make_instance())))
    with pytest.raises(NotAPlan, match="changed after it was created"):
        plan_from_json(json.dumps(data | {"steps": []}))


@pytest.mark.parametrize("lost", ["stack", "hosts", "changes", "steps", "diagnostics"])
def test_a_damaged_plan_is_refused_as_such(lost: str) -> None:
    data = json.loads(plan_to_json(make_plan(make_instance())))
    del data[lost]
    with pytest.raises(NotAPlan, match="it is damaged"):
        plan_from_json(json.dumps(data | {"digest": digest_of(data)}))


def test_a_plan_names_the_containers_that_its_steps_speak_of_by_id() -> None:
    assert replacement_plan().container_names == {f"id-{serving_name('tiny')}": serving_name("tiny")}


def test_a_reference_holds_the_state_at_the_time_of_the_plan() -> None:
    (change,) = changes_of(make_instance(), serving_container(3, spec=make_spec(drain=1), run="abcd"))
    assert change.detail.touched == (
        ContainerRef(f"id-{serving_name('tiny')}", serving_name("tiny"), "running", 3, "abcd"),
    )
