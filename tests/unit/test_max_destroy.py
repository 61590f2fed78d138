"""The most instances that one plan may remove: a wrong edit, or the wrong file, is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cortexctl.plan.action import Action
from cortexctl.plan.model import Plan
from cortexctl.plan.planfile import plan_from_json, plan_to_json
from cortexctl.plan.request import Request
from tests.applying import stack
from tests.fakes.world import World
from tests.forks import ran
from tests.reading import model_text, stack_text

NAMES = ("a", "b", "c", "d")


def models(*names: str, **lines: str) -> str:
    return "".join(model_text(name=name, served_names=f'["{name}"]', **lines) for name in names)


def guarded(limit: int | None, text: str) -> str:
    return text + (f"\n[guards]\nmax_destroy = {limit}\n" if limit is not None else "")


def planned(tmp_path: Path, limit: int | None, left: tuple[str, ...], request: Request = Request()) -> Plan:  # noqa: B008
    """Four models run, and the stack declares only those that are `left`."""
    world = World("demo", "here")
    assert world.apply(world.plan(stack(tmp_path, models(*NAMES)))).exit_code == 0
    return world.plan(stack(tmp_path, guarded(limit, models(*left))), request)


@pytest.mark.parametrize(
    ("limit", "left", "request_", "is_refused"),
    [
        (None, ("a",), Request(), False),
        (3, ("a",), Request(), False),
        (2, ("a",), Request(), True),
        (0, ("a", "b", "c"), Request(), True),
        (0, NAMES, Request(), False),
        (2, ("a",), Request(max_destroy=3), False),
        (3, ("a",), Request(max_destroy=1), True),
        (3, NAMES, Request(destroy=True), True),
        (3, NAMES, Request(destroy=True, max_destroy=4), False),
        (1, NAMES, Request(destroy=True, target=("a",)), False),
    ],
)
def test_more_removals_than_the_limit_are_refused(
    tmp_path: Path, limit: int | None, left: tuple[str, ...], request_: Request, *, is_refused: bool
) -> None:
    plan = planned(tmp_path, limit, left, request_)
    rules = [d.rule for d in plan.diagnostics if d.is_error]
    assert rules == (["CX420"] if is_refused else [])
    removed = [c for c in plan.effective if c.action is Action.REMOVE]
    assert removed or left == NAMES, "there is something to remove"
    assert plan_from_json(plan_to_json(plan)) == plan


def test_the_refusal_names_the_instances_and_the_number_to_confirm(tmp_path: Path) -> None:
    (problem,) = planned(tmp_path, 1, ("a",)).diagnostics
    assert problem.summary == "the plan removes 3 instances, and the limit is 1: here/b, here/c, here/d"
    assert problem.help == "if that is intended, confirm the number: --max-destroy 3"


def test_a_replaced_instance_and_a_tidied_container_do_not_count(tmp_path: Path) -> None:
    world = World("demo", "here")
    for context in ("1024", "2048", "4096", "8192"):
        text = guarded(0, models("a", args=f"{{ max_model_len = {context} }}"))
        plan = world.plan(stack(tmp_path, text))
        assert not plan.has_errors, plan.diagnostics
        assert world.apply(plan).exit_code == 0


@pytest.mark.parametrize(("value", "rule"), [("-1", "CX104"), ('"2"', "CX104"), ("true", "CX104")])
def test_a_wrong_limit_is_an_error(tmp_path: Path, value: str, rule: str) -> None:
    (tmp_path / "stack.toml").write_text(stack_text(model_text()) + f"[guards]\nmax_destroy = {value}\n")
    done = ran("validate", "stack.toml", cwd=tmp_path, env=dict(os.environ))
    assert done.returncode == 1
    assert f"Error[{rule}] guards.max_destroy" in done.stdout
