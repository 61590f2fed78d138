"""Models that are renamed."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexctl.instance import labels
from cortexctl.plan.action import Action
from cortexctl.plan.hypothetical import as_if_applied
from cortexctl.plan.planner import plan
from cortexctl.plan.steps import RenameContainer
from tests.edits.drawn import few, modest, texts
from tests.edits.edit import each, replaced
from tests.edits.text import (
    Text,
    small_text,
)
from tests.edits.world import (
    apply_text,
    containers_of,
    is_serving,
    touched_by,
    world_of,
)

pytestmark = pytest.mark.usefixtures("fingerprints_once")


def renamed_text(text: Text, old: str, new: str) -> Text:
    """The model under its new name in every place, and the entry of its move."""
    values = copy.deepcopy(text.values)
    for table in (values["models"], values["env"]["lab"]["models"]):
        if old in table:
            table[new] = table.pop(old)
    for table in values["models"].values():
        table["after"] = [new if name == old else name for name in table.get("after", [])]
    values["moved"] = [*values.get("moved", []), {"from": old, "to": new}]
    return replace(text, values=values)


@modest
@given(texts(), st.sampled_from(["y", "0", "z.z_z-z"]), st.data())
def test_a_model_that_is_renamed_is_moved_and_nothing_else_happens(text: Text, new: str, data: st.DataObject) -> None:
    old = data.draw(st.sampled_from(sorted(text.values["models"])), label="old")
    after = renamed_text(text, old, new)
    world = world_of(text)
    apply_text(world, text)
    there = containers_of(world, ours=True)

    planned = world.plan(after.desired)
    assert touched_by(planned) == each(after.addresses(new), Action.MOVE)
    assert {type(s.task) for s in planned.steps} <= {RenameContainer}
    assert not any(c.cost.down for c in planned.changes)
    assert touched_by(plan(after.desired, as_if_applied(text.desired, after.desired))) == touched_by(planned)

    assert world.apply(planned).exit_code == 0
    assert world.plan(after.desired).effective == ()
    now = containers_of(world, ours=True)
    moved = {i: replace(c, name=now[i].name) if c.labels[labels.MODEL] == old else c for i, c in there.items()}
    assert now == moved
    assert {c.name for c in now.values()} == {labels.serving_name(i.model, i.ordinal) for i in after.desired.instances}

    edited = after.but("models", new, "env", "VLLM_EDITED", to="x")
    assert touched_by(world.plan(edited.desired)) == replaced(after.addresses(new), "env.VLLM_EDITED")
    apply_text(world, edited)
    assert world.plan(edited.desired).effective == ()


@few
@given(texts(), st.data())
def test_an_entry_that_leads_to_a_name_which_moved_on_leads_further(text: Text, data: st.DataObject) -> None:
    """A second rename only adds an entry."""
    old = data.draw(st.sampled_from(sorted(text.values["models"])), label="old")
    world = world_of(text)
    apply_text(world, text)
    twice = renamed_text(renamed_text(text, old, "y"), "y", "z")
    planned = world.plan(twice.desired)
    assert {c.action for c in planned.effective} <= {Action.MOVE}
    assert {c.model for c in planned.effective} <= {"z"}


@pytest.mark.parametrize(
    ("moved", "new"),
    [
        pytest.param([("x", "z")], "z", id="the entry is corrected"),
        pytest.param([], "x", id="back, by the old text"),
        pytest.param(
            [("x", "z"), ("y", "z")],
            "z",
            id="an entry for each name",
        ),
        pytest.param([("y", "x")], "x", id="back, by an entry"),
    ],
)
def test_a_model_that_is_renamed_once_more_is_moved_or_refused(moved: list[tuple[str, str]], new: str) -> None:
    """Under neither the name of its label nor the new one, until then."""
    world = world_of(first := small_text({"x": {"protect": True}}))
    apply_text(world, first)
    apply_text(world, small_text({"y": {"protect": True}}, [("x", "y")]))
    desired, errors = small_text({new: {"protect": True}}, moved).read()
    assert desired or errors
    if desired is not None:
        planned = world.plan(desired)
        assert planned.has_errors or touched_by(planned) == {f"east-1/{new}": (Action.MOVE, ())}
        assert planned.has_errors or world.apply(planned).exit_code == 0
        assert planned.has_errors or world.plan(desired).effective == ()


@pytest.mark.parametrize("moved", [[("x", "z")], []], ids=["once more", "back"])
def test_a_rename_never_stops_a_serving_container(moved: list[tuple[str, str]]) -> None:
    """It is not mistaken for a candidate, which would be stopped if it did not pass its gate."""
    world = world_of(first := small_text({"x": {}}))
    apply_text(world, first)
    apply_text(world, small_text({"y": {}}, [("x", "y")]))
    world.prober.smoke_fails.add("vllm-model-y")
    world.apply(world.plan(small_text({"z" if moved else "x": {}}, moved).desired))
    assert [c.state for c in containers_of(world, ours=True).values()] == ["running"]


@pytest.mark.parametrize(
    ("wanted", "moved"),
    [("z", [("x", "z"), ("y", "z")]), ("y", [("x", "y")])],
    ids=["two models get one name", "a model gets the name of another that is there"],
)
def test_two_models_that_serve_never_become_one(wanted: str, moved: list[tuple[str, str]]) -> None:
    """One of them would run on unseen, or be removed silently although it is protected."""
    world = world_of(first := small_text({"x": {"protect": True}, "y": {"protect": True}}))
    apply_text(world, first)
    desired, errors = small_text({wanted: {}}, moved).read()
    assert desired or errors
    assert desired is None or world.plan(desired).has_errors


def test_an_entry_that_is_no_longer_needed_can_be_removed() -> None:
    world = world_of(first := small_text({"x": {}}))
    apply_text(world, first)
    apply_text(world, small_text({"y": {}}, [("x", "y")]))
    apply_text(world, small_text({"y": {"env": {"A": "1"}}}, [("x", "y")]))
    assert {c.labels[labels.MODEL] for c in containers_of(world, ours=True).values() if is_serving(c)} == {"y"}
    planned = world.plan(small_text({"y": {"env": {"A": "1"}}}).desired)
    assert [c for c in planned.effective if c.address == "east-1/y"] == []
