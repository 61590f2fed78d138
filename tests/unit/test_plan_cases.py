"""Every folder under tests/cases/plan is a case: stack.toml and observed.json give plan.txt and plan.json.

A new case: write stack.toml and observed.json (or before.toml: what was applied earlier), then
    python -m tests.record_case NAME
and read what it wrote.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cortexctl.plan.action import Action
from cortexctl.plan.planfile import plan_from_json, plan_to_json
from cortexctl.render.plan.terminal import plan_text
from cortexctl.render.style import Ink
from tests.record_case import CASES, files_of, observation_file, plan_of_case

FOLDERS = sorted(p for p in CASES.iterdir() if p.is_dir())


@pytest.mark.parametrize("case", FOLDERS, ids=lambda p: p.name)
def test_case(case: Path) -> None:
    for name, text in files_of(case).items():
        assert text == (case / name).read_text(), name


RECORDED = [p for p in FOLDERS if (p / "before.toml").exists()]


@pytest.mark.parametrize("case", RECORDED, ids=lambda p: p.name)
def test_recording_again_changes_nothing(case: Path) -> None:
    assert observation_file(case) == (case / "observed.json").read_text()


@pytest.mark.parametrize("case", FOLDERS, ids=lambda p: p.name)
def test_planning_twice_gives_the_same_bytes(case: Path) -> None:
    assert plan_to_json(plan_of_case(case)) == plan_to_json(plan_of_case(case))


@pytest.mark.parametrize("case", FOLDERS, ids=lambda p: p.name)
def test_a_saved_plan_reads_back_as_the_same_plan(case: Path) -> None:
    text = (case / "plan.json").read_text()
    assert plan_to_json(plan_from_json(text)) == text


@pytest.mark.parametrize("case", FOLDERS, ids=lambda p: p.name)
def test_colour_only_adds_colour(case: Path) -> None:
    import re

    plan = plan_of_case(case)
    coloured = plan_text(plan, Ink(enabled=True), explain=True)
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plan_text(plan, Ink(enabled=False), explain=True)


def test_there_are_cases_for_every_action() -> None:
    actions = {c["action"] for case in FOLDERS for c in json.loads((case / "plan.json").read_text())["changes"]}
    assert actions == {a.value for a in Action}


def test_one_case_has_every_action_at_once() -> None:
    """This case shows the effect of a change to a view."""
    changes = json.loads((CASES / "everything" / "plan.json").read_text())["changes"]
    assert {c["action"] for c in changes} == {a.value for a in Action}
    assert len({c["model"] for c in changes}) >= 12
