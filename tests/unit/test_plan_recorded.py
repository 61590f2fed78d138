"""Laws that every recorded plan keeps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cortexctl.instance.labels import generation_name, is_generation_name
from cortexctl.plan.action import Action
from cortexctl.plan.model import Change, Plan
from cortexctl.plan.planfile import plan_from_json
from cortexctl.plan.recipes import serving_of
from cortexctl.plan.steps import (
    CreateContainer,
    PassGate,
    RemoveContainer,
    RenameContainer,
    SetRestart,
    StartContainer,
    Task,
)
from tests.record_case import CASES

RECORDED_PLANS = sorted(CASES.glob("*/plan.json"))


def read_plan(path: Path) -> Plan:
    return plan_from_json(path.read_text(encoding="utf-8"))


def tasks_in(planned: Plan, change: Change) -> list[Task]:
    return [s.task for s in planned.steps_of(change)]


def container_of(task: Task) -> str:
    return getattr(task, "container", "") or getattr(task, "name", "")


def gate_index(tasks: list[Task]) -> int:
    return next(i for i, t in enumerate(tasks) if isinstance(t, PassGate))


@pytest.mark.parametrize("path", RECORDED_PLANS, ids=lambda p: p.parent.name)
def test_the_old_container_is_neither_renamed_nor_removed_before_the_gate(path: Path) -> None:
    planned = read_plan(path)
    for change in planned.effective:
        if change.action is not Action.REPLACE:
            continue
        tasks = tasks_in(planned, change)
        touched = {ref.id for ref in change.detail.touched} | {ref.name for ref in change.detail.touched}
        for task in tasks[: gate_index(tasks)]:
            assert not isinstance(task, RenameContainer | RemoveContainer)
        assert any(isinstance(t, RenameContainer) and container_of(t) in touched for t in tasks[gate_index(tasks) :])


@pytest.mark.parametrize("path", RECORDED_PLANS, ids=lambda p: p.parent.name)
def test_the_restart_policy_is_switched_on_only_after_the_gate(path: Path) -> None:
    planned = read_plan(path)
    for change in planned.effective:
        tasks = tasks_in(planned, change)
        on = [i for i, t in enumerate(tasks) if isinstance(t, SetRestart) and t.policy != "no"]
        if change.action in {Action.UPDATE, Action.ADOPT, Action.MOVE}:
            assert not any(isinstance(t, StartContainer) for t in tasks)  # it serves, and continues to serve
            continue
        if change.action is Action.REMOVE:
            assert on == []
            continue
        assert len(on) == 1
        gate = gate_index(tasks)
        assert gate < on[0]
        assert container_of(tasks[on[0]]) == container_of(tasks[gate])


@pytest.mark.parametrize("path", RECORDED_PLANS, ids=lambda p: p.parent.name)
def test_a_candidate_gets_the_serving_name_only_after_its_gate_and_when_the_name_is_free(path: Path) -> None:
    planned = read_plan(path)
    for change in planned.effective:
        tasks = tasks_in(planned, change)
        if change.action in {Action.UPDATE, Action.ADOPT, Action.MOVE}:
            continue  # it serves already
        for position, task in enumerate(tasks):
            if isinstance(task, RenameContainer) and not is_generation_name(task.name):
                assert position > gate_index(tasks)
                assert container_of(tasks[gate_index(tasks)]) == task.container
                if change.action is Action.REPLACE:
                    earlier = tasks[:position]
                    assert any(isinstance(t, RenameContainer) and t.container == serving_of(change).id for t in earlier)


@pytest.mark.parametrize("path", RECORDED_PLANS, ids=lambda p: p.parent.name)
def test_a_container_is_created_under_a_candidates_name_with_a_pinned_image(path: Path) -> None:
    for step in read_plan(path).steps:
        if isinstance(step.task, CreateContainer):
            assert is_generation_name(step.task.name)
            assert step.task.name.endswith(f"--g{step.task.generation}")


@pytest.mark.parametrize("path", RECORDED_PLANS, ids=lambda p: p.parent.name)
def test_steps_touch_only_containers_that_the_change_names(path: Path) -> None:
    planned = read_plan(path)
    for change in planned.effective:
        known = {ref.id for ref in change.detail.touched} | {
            generation_name(change.model, change.detail.ordinal, change.detail.generation)
        }
        assert all(container_of(t) in known for t in tasks_in(planned, change))


@pytest.mark.parametrize("path", RECORDED_PLANS, ids=lambda p: p.parent.name)
def test_a_change_that_does_nothing_has_no_steps_and_every_other_has_some(path: Path) -> None:
    planned = read_plan(path)
    for change in planned.changes:
        assert bool(planned.steps_of(change)) is (change in planned.effective)


@pytest.mark.parametrize("path", RECORDED_PLANS, ids=lambda p: p.parent.name)
def test_a_recorded_plan_names_a_replacement_by_two_verbs_and_its_reasons(path: Path) -> None:
    for change in json.loads(path.read_text(encoding="utf-8"))["changes"]:
        if change["action"] == "replace":
            assert change["actions"] == ["remove", "create"]
            assert change["reason"] in {"changed", "requested"}
            assert bool(change["replace_paths"]) is (change["reason"] == "changed")
        paths = {f["path"] for f in change["fields"]}
        assert set(change["sensitive_paths"]) == {p for p in paths if p.startswith("secrets.")}


def test_there_are_recorded_plans_to_hold_the_laws_against() -> None:
    actions = {c.action for path in RECORDED_PLANS for c in read_plan(path).changes}
    assert actions == set(Action)
