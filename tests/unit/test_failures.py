"""One step fails: the outcome of the change, the running containers, and an apply afterwards that completes it.

The table is tests/cases/failures; see tests/failures.py for its columns.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.failures import (
    STORIES,
    Case,
    expected_cases,
    is_back_already,
    named_steps,
    read_cases,
    repeat,
    run_case,
    what_serves,
)

CASES = read_cases()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_step_that_fails_has_the_outcome_of_the_table(case: Case, tmp_path: Path) -> None:
    story = STORIES[case.story](tmp_path)
    assert run_case(story, case.step, case.failure) == (case.fate, case.exit_code, case.serves)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_next_apply_completes_the_change_and_the_plan_after_it_is_empty(case: Case, tmp_path: Path) -> None:
    story = STORIES[case.story](tmp_path)
    run_case(story, case.step, case.failure)
    assert repeat(story) == 0
    assert what_serves(story) == story.after
    plan = story.plan()
    assert is_back_already(plan) or plan.effective == ()
    assert plan.steps == () or case.story == "destroy", (
        "a destroy asks for the network again: another run may have left it"
    )


@pytest.mark.parametrize("name", STORIES)
def test_the_table_has_every_step_of_every_story_with_every_failure(name: str, tmp_path: Path) -> None:
    plan = STORIES[name](tmp_path).plan()
    assert plan.diagnostics == ()
    assert [(c.step, c.failure) for c in CASES if c.story == name] == list(expected_cases(plan))


@pytest.mark.parametrize("name", STORIES)
def test_without_a_failure_the_change_is_done(name: str, tmp_path: Path) -> None:
    story = STORIES[name](tmp_path)
    assert story.world.apply(story.plan()).exit_code == 0
    assert what_serves(story) == story.after


# laws of the table itself: a recording cannot break them

GATED = ("create", "replace_stop_first", "replace_start_first", "start", "rollback")


def is_harmless(case: Case) -> bool:
    """A slow answer, and a lost one in the gate: it only reads, and asks again."""
    return case.failure == "late 5s" or (case.step, case.failure) == ("pass_gate", "answer lost")


@pytest.mark.parametrize("name", GATED)
def test_after_the_gate_the_new_container_serves_whatever_fails(name: str, tmp_path: Path) -> None:
    """Before its gate, the new container never has the serving name."""
    steps = list(named_steps(STORIES[name](tmp_path).plan()))
    for case in (c for c in CASES if c.story == name):
        serving = [text.removesuffix(" (no restart)") for text in case.serves.split(", ")]
        if is_harmless(case) or steps.index(case.step) > steps.index("pass_gate"):
            assert any(text.startswith("new") for text in serving), case
        else:
            assert "new" not in serving, case


def test_nothing_serves_after_a_replacement_only_if_the_daemon_is_away_for_longer_than_a_rollback_waits() -> None:
    dark = [c for c in CASES if c.story.startswith(("replace", "rollback")) and c.serves == "nothing"]
    assert {(c.step, c.failure, c.exit_code) for c in dark} == {("start_container", "away 1h", 5)}


def test_exit_code_1_means_that_everything_is_unchanged_and_5_that_something_is_not() -> None:
    for case in CASES:
        match case.exit_code:
            case 0:
                assert (case.fate, is_harmless(case)) == ("done", True), case
            case 1:
                assert case.fate in {"rolled back", "failed", "not started"}, case
                assert "new" not in case.serves, case
            case code:
                assert (code, case.fate in {"failed", "done"}) == (5, True), case
