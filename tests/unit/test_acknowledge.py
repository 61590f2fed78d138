"""Warnings that the stack acknowledges are counted, and not shown; errors are always shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cortexctl.operations.stack_choice import StackChoice
from cortexctl.operations.validate import validate
from tests.applying import stack
from tests.fakes.world import World
from tests.next_commands import command_line
from tests.reading import model_text

FLOATING = model_text("front", image='"vllm/vllm-openai:latest"', gpus="[0]", acknowledge='{ CX209 = "we mirror it" }')


def rules(path: Path, env: str = "") -> list[str]:
    return [d.rule for d in validate(str(path), StackChoice(env), allow_hub=False).diagnostics]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def go(more: str) -> Path:
        path = tmp_path / "stack.toml"
        path.write_text(f'stack = "demo"\n{more}\n[hosts.here]\nmodels_dir = "/models"\n\n{FLOATING}')
        return path

    return go


def test_an_acknowledged_warning_is_counted_and_not_shown(write: Callable[[str], Path], tmp_path: Path) -> None:
    path = write("")
    assert rules(path) == []
    with command_line(World("demo", "here"), tmp_path, {}) as line:
        code, text = line.run("validate")
        assert code == 0
        assert text.startswith("stack.toml is valid: 1 model on 1 host.\n1 warning is acknowledged in it.\n")
        assert json.loads(line.run("validate", "--format", "json")[1])["acknowledged_count"] == 1
        line.run("plan")
        assert "CX209" not in line.errors


def test_it_is_for_one_model_or_for_the_whole_stack(write: Callable[[str], Path]) -> None:
    path = write("")
    path.write_text(path.read_text() + model_text("back", image='"vllm/vllm-openai:latest"', gpus="[1]"))
    assert rules(path) == ["CX209"]
    path.write_text(path.read_text().replace("[hosts", 'acknowledge = { CX209 = "all are mirrored" }\n\n[hosts', 1))
    assert rules(path) == []


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ('CX218 = "there is none"', ["CX235"]),
        ('CX998 = "no rule"', ["CX235"]),
        ('CX204 = "an error, and it needs the secrets"', []),
        ('CX317 = "only with the model\'s files"', []),
        ('CX401 = "only with the host"', []),
    ],
)
def test_one_without_effect_is_a_warning_if_the_file_alone_decides(
    write: Callable[[str], Path], entry: str, expected: list[str]
) -> None:
    assert rules(write(f"acknowledge = {{ {entry} }}")) == expected


def test_one_that_an_environment_needs_has_an_effect(write: Callable[[str], Path]) -> None:
    path = write('acknowledge = { CX219 = "in the laboratory" }')
    assert rules(path) == ["CX235"]
    path.write_text(path.read_text() + '\n[env.lab.models.front]\npublish = "10.0.0.1:8001"\n')
    assert rules(path) == []
    assert rules(path, "lab") == []


def test_warnings_of_a_plan_can_be_acknowledged_and_its_errors_cannot(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, model_text())))
    accepted = '{ CX409 = "with the next replacement", CX405 = "an error" }'
    for more, expected in (({}, ["CX409"]), ({"acknowledge": accepted}, [])):
        assert [d.rule for d in world.plan(stack(tmp_path, model_text(protect="true", **more))).diagnostics] == expected
    missing = model_text(image='"gone:v0.32.0"', acknowledge=accepted)
    assert [d.rule for d in world.plan(stack(tmp_path, missing)).diagnostics] == ["CX405"]


@pytest.mark.parametrize("argv", [("args", "front"), ("logs", "front"), ("diagnose", "front")])
def test_a_command_about_one_instance_does_not_repeat_the_warnings(tmp_path: Path, argv: tuple[str, ...]) -> None:
    path = tmp_path / "stack.toml"
    path.write_text(f'stack = "demo"\n[hosts.here]\nmodels_dir = "/models"\n\n{FLOATING}'.replace("CX209", "CX210"))
    with command_line(World("demo", "here"), tmp_path, {}) as line:
        line.run("plan")
        assert "Warning[CX209]" in line.errors
        line.run(*argv)
        assert "CX209" not in line.errors
