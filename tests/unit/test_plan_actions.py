"""Which action an instance gets, and which generation."""

from __future__ import annotations

import dataclasses

import pytest

from cortexctl.instance.labels import SPEC as SPEC_LABEL
from cortexctl.instance.labels import generation_name, serving_name, undone_name
from cortexctl.instance.spec import Spec
from cortexctl.observed import owned
from cortexctl.observed.host import ImageFacts
from cortexctl.plan.action import Action, ReasonCode
from cortexctl.plan.decide import state_text
from cortexctl.plan.drift.report import find_drift
from cortexctl.plan.needs import Needs, needs
from cortexctl.plan.planner import plan
from cortexctl.plan.recipes import tasks_of
from cortexctl.plan.steps import (
    CreateContainer,
    RemoveContainer,
)
from tests.build import (
    IMAGE,
    LOCAL,
    SPEC,
    changes_of,
    generation_container,
    make_container,
    make_desired,
    make_instance,
    make_observed,
    make_spec,
    removal_of,
    rules_of,
    serving_container,
)


def test_a_new_instance_is_created_as_generation_1() -> None:
    (change,) = changes_of(make_instance())
    assert (change.action, change.detail.generation) == (Action.CREATE, 1)
    assert [r.code for r in change.reasons] == [ReasonCode.NEW]
    assert change.detail.touched == ()


def test_a_running_instance_with_the_desired_spec_does_not_change() -> None:
    (change,) = changes_of(make_instance(), serving_container(3))
    assert (change.action, change.detail.generation) == (Action.NO_OP, 3)
    assert tasks_of(change) == []


def test_a_label_with_the_text_of_the_wanted_spec_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the planner, nor its needs, nor drift parse it. Any other label is parsed."""

    def refused(text: str) -> Spec:
        parsed.append(text)
        raise ValueError("not to be parsed")

    parsed: list[str] = []
    wanted = (make_instance(), make_instance("other"))
    specs = [i.spec for i in wanted]
    rows = serving_container(3, spec=specs[0]), serving_container(1, model="other", spec=specs[1])
    desired, observed = make_desired(*wanted), make_observed(*rows)
    monkeypatch.setattr(owned, "spec_from_label", refused)
    planned = plan(desired, observed)
    assert [c.action for c in planned.changes] == [Action.NO_OP, Action.NO_OP]
    assert planned.diagnostics == ()
    assert needs(desired, observed) == Needs()
    assert find_drift(desired, observed).findings == ()
    assert parsed == []
    changed = serving_container(3, spec=make_spec(drain=7))
    assert rules_of(plan(desired, make_observed(changed, rows[1]))) == ["CX402"]
    assert set(parsed) == {changed.labels[SPEC_LABEL]}


@pytest.mark.parametrize("state", ["exited", "created", "restarting", "paused", "dead"])
def test_a_stopped_instance_with_the_desired_spec_is_started(state: str) -> None:
    (change,) = changes_of(make_instance(), serving_container(3, state=state))
    assert (change.action, change.detail.generation) == (Action.START, 3)
    assert change.reasons[0].code is ReasonCode.STOPPED
    assert change.reasons[0].detail == state_text(serving_container(state=state))


def test_an_exit_code_is_shown_with_the_state() -> None:
    assert state_text(serving_container(state="exited")) == "exited with code 0"
    assert state_text(serving_container(state="restarting")) == "restarting"


@pytest.mark.parametrize(
    ("serving", "retained", "generation"),
    [(1, (), 2), (3, (1, 2), 4), (3, (2,), 4), (12, (2, 11), 13)],
)
def test_a_replacement_gets_the_generation_after_the_newest(
    serving: int, retained: tuple[int, ...], generation: int
) -> None:
    old = make_spec(drain=1)
    others = [generation_container(g, state="exited", spec=make_spec(drain=2)) for g in retained]
    (change,) = changes_of(make_instance(), serving_container(serving, spec=old), *others)
    assert (change.action, change.detail.generation) == (Action.REPLACE, generation)
    assert [r.detail for r in change.reasons] == ["drain"]
    assert change.detail.before == old
    assert change.detail.after == SPEC


def test_a_used_generation_is_not_used_again_after_the_serving_container_is_gone() -> None:
    (change,) = changes_of(make_instance(), generation_container(4, state="exited", spec=make_spec(drain=1)))
    assert (change.action, change.detail.generation) == (Action.CREATE, 5)
    assert change.detail.touched == ()


@pytest.mark.parametrize("state", ["created", "running", "exited"])
def test_a_candidate_of_an_interrupted_create_is_continued(state: str) -> None:
    (change,) = changes_of(make_instance(), generation_container(2, state=state, run="abcd"))
    assert (change.action, change.detail.generation) == (Action.CREATE, 2)
    assert [(r.code, r.detail) for r in change.reasons] == [(ReasonCode.UNFINISHED, "abcd")]
    assert [ref.generation for ref in change.detail.touched] == [2]


@pytest.mark.parametrize("state", ["created", "running", "exited"])
def test_a_candidate_of_an_interrupted_replacement_is_continued(state: str) -> None:
    (change,) = changes_of(
        make_instance(), serving_container(1, spec=make_spec(drain=1)), generation_container(2, state=state, run="abcd")
    )
    assert (change.action, change.detail.generation) == (Action.REPLACE, 2)
    assert [r.code for r in change.reasons] == [ReasonCode.CHANGED, ReasonCode.UNFINISHED]
    assert [ref.generation for ref in change.detail.touched] == [1, 2]


def test_a_candidate_of_another_spec_is_removed_first_and_its_number_not_used_again() -> None:
    leftover, change = changes_of(
        make_instance(),
        serving_container(1, spec=make_spec(drain=1)),
        generation_container(2, spec=make_spec(drain=2), run="abcd"),
    )
    assert (leftover.action, leftover.address) == (Action.REMOVE, "here/tiny--g2")
    assert [(r.code, r.detail) for r in leftover.reasons] == [(ReasonCode.LEFTOVER, "abcd")]
    assert (change.action, change.detail.generation) == (Action.REPLACE, 3)


def test_a_candidate_beside_a_serving_container_that_is_as_wanted_is_a_leftover() -> None:
    leftover, change = changes_of(make_instance(), serving_container(1), generation_container(2))
    assert leftover.action is Action.REMOVE
    assert change.action is Action.NO_OP


def test_the_newest_of_several_candidates_is_continued() -> None:
    leftover, change = changes_of(
        make_instance(), serving_container(1, spec=make_spec(drain=1)), generation_container(2), generation_container(3)
    )
    assert leftover.address == "here/tiny--g2"
    assert change.detail.generation == 3


def test_an_older_container_of_the_desired_spec_is_retained_and_not_a_candidate() -> None:
    (change,) = changes_of(
        make_instance(), serving_container(2, spec=make_spec(drain=1)), generation_container(1, state="exited")
    )
    assert (change.action, change.detail.generation) == (Action.REPLACE, 3)


@pytest.mark.parametrize(("keep", "pruned"), [(0, [1, 2, 3]), (1, [1, 2, 3]), (2, [1, 2]), (3, [1]), (4, []), (9, [])])
def test_a_replacement_prunes_the_oldest_retained_generations(keep: int, pruned: list[int]) -> None:
    """`keep` counts the one that is being replaced."""
    others = [generation_container(g, state="exited", spec=make_spec(drain=2)) for g in (2, 1, 3)]
    (change,) = changes_of(make_instance(keep=keep), serving_container(4, spec=make_spec(drain=1)), *others)
    assert [ref.generation for ref in change.detail.touched] == [4, *pruned]
    old = [] if keep else [RemoveContainer(f"id-{serving_name('tiny')}")]
    assert [t for t in tasks_of(change) if isinstance(t, RemoveContainer)] == [
        *(RemoveContainer(f"id-{generation_name('tiny', 1, g)}") for g in pruned),
        *old,
    ]


def test_a_retained_generation_loses_the_serving_name_and_is_not_pruned() -> None:
    """Also the name of a model that moved: a removal would break `keep`."""
    desired = dataclasses.replace(make_desired(make_instance()), moved={"old": "tiny"})
    serving = serving_container(2, model="old", spec=make_spec(drain=1))
    retained = dataclasses.replace(
        generation_container(1, model="old", state="exited", spec=make_spec(drain=2)), name=serving_name("tiny")
    )
    (change,) = plan(desired, make_observed(serving, retained)).changes
    assert change.action is Action.REPLACE
    assert change.detail.serving is not None
    names = {ref.name for ref in change.detail.displaced} | {change.detail.serving.name}
    assert names == {serving_name("old"), serving_name("tiny")}
    assert change.detail.pruned == ()
    assert [t for t in tasks_of(change) if isinstance(t, RemoveContainer)] == []


@pytest.mark.parametrize(("destroy", "reason"), [(False, ReasonCode.NOT_IN_STACK), (True, ReasonCode.DESTROY)])
def test_a_removal_takes_every_container_of_the_instance(destroy: bool, reason: ReasonCode) -> None:
    change = removal_of(
        serving_container(2),
        generation_container(1, state="exited"),
        generation_container(3, state="created"),
        destroy=destroy,
    )
    assert change.action is Action.REMOVE
    assert [r.code for r in change.reasons] == [reason]
    assert {ref.generation for ref in change.detail.touched} == {1, 2, 3}
    assert change.cost.down


def test_the_removal_of_a_stopped_container_costs_nothing() -> None:
    assert not removal_of(serving_container(2, state="exited"), destroy=True).cost.down


def test_a_new_image_is_pinned_and_pulled_only_when_it_is_not_there() -> None:
    digest = "sha256:" + "d" * 64
    remote = {("here", IMAGE): ImageFacts(IMAGE, "registry", digest=digest)}
    (local,) = plan(make_desired(make_instance()), make_observed()).changes
    (pulled,) = plan(make_desired(make_instance()), make_observed(images=remote)).changes
    assert local.detail.image is not None
    assert (local.detail.image.id, local.detail.image.pull) == (LOCAL.id, False)
    assert pulled.detail.image is not None
    assert (pulled.detail.image.digest, pulled.detail.image.pull) == (digest, True)
    assert tasks_of(local)[0] == CreateContainer(generation_name("tiny", 1, 1), 1, LOCAL.id)
    assert tasks_of(pulled)[0] == CreateContainer(generation_name("tiny", 1, 1), 1, f"{IMAGE}@{digest}")


def test_a_running_undone_generation_serves_if_the_named_container_is_down() -> None:
    """It has passed its gate once, so it is not a candidate, and a replacement that fails returns to it."""
    undone = make_container(undone_name("tiny", 1, 2), generation=2, spec=make_spec(drain=2))
    (change,) = changes_of(make_instance(), serving_container(1, spec=make_spec(drain=1), state="exited"), undone)
    assert change.action is Action.REPLACE
    assert change.detail.serving is not None
    assert change.detail.serving.name == undone.name
    assert change.cost.down
