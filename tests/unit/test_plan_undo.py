"""How a change that failed is undone, and to which container an instance returns."""

from __future__ import annotations

import pytest

from cortexctl.instance.labels import generation_name, serving_name
from cortexctl.instance.spec import RESTART_POLICY
from cortexctl.plan.action import Action
from cortexctl.plan.recipes import SHORT_GRACE, serving_of, tasks_of, undo
from cortexctl.plan.steps import (
    PassGate,
    RemoveContainer,
    RenameContainer,
    SetRestart,
    StartContainer,
    StopContainer,
)
from tests.build import (
    change_of,
    changes_of,
    generation_container,
    make_instance,
    make_spec,
    removal_of,
    serving_container,
)


def test_a_create_is_undone_by_removing_the_candidate() -> None:
    assert undo(change_of(make_instance())) == [RemoveContainer(generation_name("tiny", 1, 1))]


def test_the_undo_of_a_replacement_restores_the_old_container_through_its_gate() -> None:
    old, name = f"id-{serving_name('tiny')}", generation_name("tiny", 1, 2)
    assert undo(change_of(make_instance(), serving_container(spec=make_spec(drain=1)))) == [
        RemoveContainer(name),
        RenameContainer(old, serving_name("tiny")),
        StartContainer(old),
        PassGate(old),
        SetRestart(old, RESTART_POLICY),
    ]


@pytest.mark.parametrize("state", ["exited", "created", "dead"])
def test_a_stopped_container_is_restored_too_because_an_interrupted_run_may_have_stopped_it(state: str) -> None:
    change = change_of(make_instance(), serving_container(spec=make_spec(drain=1), state=state))
    old = f"id-{serving_name('tiny')}"
    assert undo(change) == [
        RemoveContainer(generation_name("tiny", 1, 2)),
        RenameContainer(old, serving_name("tiny")),
        StartContainer(old),
        PassGate(old),
        SetRestart(old, RESTART_POLICY),
    ]


def test_a_container_that_was_there_before_is_never_removed_by_an_undo() -> None:
    (change,) = changes_of(make_instance(), generation_container(2, state="exited"))
    candidate = change.detail.candidate
    assert candidate is not None
    assert (change.action, candidate.id) == (Action.CREATE, f"id-{generation_name('tiny', 1, 2)}")
    assert undo(change) == [StopContainer(candidate.id, SHORT_GRACE)]


def test_a_candidate_that_was_never_healthy_is_not_returned_to() -> None:
    """A run that was killed in its gate; and then the stack changed."""
    here, young = f"id-{serving_name('tiny')}", f"id-{generation_name('tiny', 1, 2)}"
    left = (
        serving_container(1, spec=make_spec(drain=1), state="exited"),
        generation_container(2, spec=make_spec(drain=2)),
    )
    removal, change = changes_of(make_instance(), *left)
    assert (removal.action, [r.id for r in (removal.detail.leftover,) if r]) == (Action.REMOVE, [young])
    assert (change.action, serving_of(change).id) == (Action.REPLACE, here)
    assert StartContainer(here) in undo(change)


def test_with_the_old_stack_the_candidate_is_removed_and_the_stopped_container_started() -> None:
    removal, change = changes_of(
        make_instance(), serving_container(1, state="exited"), generation_container(2, spec=make_spec(drain=2))
    )
    assert (removal.action, [r.name for r in (removal.detail.leftover,) if r]) == (
        Action.REMOVE,
        [generation_name("tiny", 1, 2)],
    )
    assert (change.action, serving_of(change).name) == (Action.START, serving_name("tiny"))


def test_the_running_container_serves_if_none_has_the_serving_name() -> None:
    """A run that was killed between its last renames; and then the stack changed."""
    (change,) = changes_of(
        make_instance(),
        generation_container(1, spec=make_spec(drain=1), state="exited"),
        generation_container(2, spec=make_spec(drain=2)),
    )
    assert change.action is Action.REPLACE
    assert serving_of(change).name == generation_name("tiny", 1, 2)
    assert change.cost.down
    assert not any(isinstance(t, RemoveContainer) for t in tasks_of(change))


def test_an_older_container_that_a_person_started_serves_if_the_named_one_is_down() -> None:
    (change,) = changes_of(
        make_instance(),
        serving_container(2, spec=make_spec(drain=1), state="exited"),
        generation_container(1, spec=make_spec(drain=2)),
    )
    assert (change.action, serving_of(change).name) == (Action.REPLACE, generation_name("tiny", 1, 1))


def test_a_start_is_undone_by_a_stop() -> None:
    here = f"id-{serving_name('tiny')}"
    assert undo(change_of(make_instance(), serving_container(state="exited"))) == [
        StopContainer(here, SHORT_GRACE),
        RenameContainer(here, serving_name("tiny")),
    ]


def test_nothing_undoes_a_removal_or_a_no_op() -> None:
    assert undo(removal_of(serving_container())) == []
    assert undo(change_of(make_instance(), serving_container())) == []
