"""An edit of a stack's text changes the instances that it names, and nothing else."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any, cast

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from cortexctl.plan.hypothetical import as_if_applied
from cortexctl.plan.planner import plan
from cortexctl.stack.schema import StackFile
from cortexctl.stack.tables import Table, fields_of, is_table
from tests.edits import of_containers, of_policies, of_servers, of_the_file
from tests.edits.drawn import few, fewer, texts
from tests.edits.edit import EDITED, EDITS
from tests.edits.world import (
    address_of,
    apply_text,
    containers_of,
    touched_by,
    unprotecting,
    world_of,
)

pytestmark = pytest.mark.usefixtures("fingerprints_once")


STORIES = (of_servers, of_containers, of_policies, of_the_file)
"""Their import registers their edits."""

ELSEWHERE = {"stack", "moved.from", "moved.to"}
"""Keys whose edits have tests of their own below."""


def _drawing(data: st.DataObject) -> st.DrawFn:
    return cast("st.DrawFn", data.draw)


def _check_an_edit(name: str, data: st.DataObject) -> None:
    text = data.draw(texts(), label="text")
    model = data.draw(st.sampled_from(sorted(text.values["models"])), label="model")
    edit, kind = EDITS[name]
    before, after, touched = edit(_drawing(data), text, model, kind)
    world = world_of(before)
    apply_text(world, before)
    there, foreign = containers_of(world, ours=True), containers_of(world, ours=False)

    planned = world.plan(after.desired, unprotecting(touched))
    assert touched_by(planned) == touched
    assert [d.summary for d in planned.diagnostics if d.is_error] == []
    assert {s.address for s in planned.steps} - {""} == {
        a for a, (action, _) in touched.items() if action.does_something
    }
    reviewed = plan(after.desired, as_if_applied(before.desired, after.desired), unprotecting(touched))
    assert touched_by(reviewed) == touched

    world.secrets.values = dict(after.secrets)
    assert world.apply(planned).exit_code == 0
    again = world.plan(after.desired)
    assert again.effective == ()
    assert again.steps == ()
    assert containers_of(world, ours=False) == foreign
    now = containers_of(world, ours=True)
    assert {i: now[i] for i, was in there.items() if address_of(was) not in touched} == {
        i: was for i, was in there.items() if address_of(was) not in touched
    }
    event(f"touches {min(len(touched), 3)}")


@pytest.mark.parametrize("name", sorted(name for name, (_, kind) in EDITS.items() if kind is None))
@few
@given(data=st.data())
def test_an_edit_changes_exactly_the_instances_that_it_names(name: str, data: st.DataObject) -> None:
    _check_an_edit(name, data)


@pytest.mark.parametrize("name", sorted(name for name, (_, kind) in EDITS.items() if kind is not None))
@fewer
@given(data=st.data())
def test_an_edit_of_a_kind_changes_exactly_the_instances_that_it_names(name: str, data: st.DataObject) -> None:
    _check_an_edit(name, data)


def test_there_is_an_edit_of_every_key_of_the_stack_file() -> None:
    """A new key needs an edit above, which declares the changes that it makes."""
    assert set(_keys(StackFile, "")) | {"models", "hosts"} == EDITED | ELSEWHERE


def _keys(table: type[Table], below: str) -> Iterator[str]:
    for field in fields_of(table):
        key = below + field.key
        inner = list(_tables(field.annotation))
        if not inner:
            yield key
        for one in inner:
            yield from _keys(one, f"{key}.")


def _tables(annotation: Any) -> list[type[Table]]:
    if is_table(annotation):
        return [annotation]
    return [t for inner in typing.get_args(annotation) for t in _tables(inner)]
