"""A value that no stack can hold is an error in one sentence, from a file, a variable or a file of variables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cortexctl.stack.document import DEEPEST, UnreadableDocument, fit, parse_document
from cortexctl.stack.load import VariableInputs, load_stack
from tests.reading import DOCKER, model_text, read, stack_text

HEX = "0x" + "f" * 5000
"""More than 4,300 digits once it is written as a decimal number, which Python refuses to do."""
LARGE = ["9223372036854775808", "-9223372036854775809", HEX, "9" * 4000]


def problems(path: Path, inputs: VariableInputs | None = None) -> list[str]:
    desired, diagnostics = read(path, inputs=inputs)
    assert desired is None
    return [d.summary for d in diagnostics]


@pytest.mark.parametrize("number", LARGE, ids=lambda n: n[:12])
@pytest.mark.parametrize(
    "where", ["[vars.x]\ndefault = {}\n", "[models.tiny.args]\nseed = {}\n", "x = [1, {{ y = {} }}]\n"]
)
def test_a_whole_number_that_no_stack_can_hold(tmp_path: Path, number: str, where: str) -> None:
    path = tmp_path / "stack.toml"
    path.write_text(stack_text(model_text()) + where.format(number))
    (problem,) = problems(path)
    assert problem.endswith("a whole number of more than 64 bits")


def test_the_largest_whole_number_is_one() -> None:
    assert fit(parse_document("x.toml", f"a = {2**63 - 1}\nb = {-(2**63) + 1}")).data["a"] == 2**63 - 1


@pytest.mark.parametrize("number", LARGE, ids=lambda n: n[:12])
def test_a_large_number_in_a_variable_within_a_longer_text(tmp_path: Path, number: str) -> None:
    path = tmp_path / "stack.toml"
    text = stack_text(model_text(served_names='["a{{ vars.x }}b"]')) + '[vars.x]\ntype = "int"\n'
    path.write_text(text + f"default = {number}\n")
    assert "a whole number of more than 64 bits" in problems(path)[0]
    path.write_text(text)
    assert any("64 bits" in s for s in problems(path, VariableInputs(assignments=(f"x={number}",))))
    assert any("64 bits" in s for s in problems(path, VariableInputs(environ={"CORTEXCTL_VAR_x": number})))
    values = tmp_path / "values.toml"
    values.write_text(f"x = {number}\n")
    assert any("64 bits" in s for s in problems(path, VariableInputs(files=(str(values),))))


@pytest.mark.parametrize("value", ["[" * 100_000, '["' + "\ud800" + '"]', '["\\ud800"]', "[" + "9" * 5000 + "]", "nan"])
def test_an_invalid_value_of_a_variable_from_outside(tmp_path: Path, value: str) -> None:
    path = tmp_path / "stack.toml"
    text = stack_text(model_text(served_names='["a{{ vars.x }}"]'))
    for kind in ("list", "int", "bool"):
        path.write_text(text + f'[vars.x]\ntype = "{kind}"\n')
        assert problems(path, VariableInputs(assignments=(f"x={value}",)))


def test_half_a_character_from_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "stack.toml"
    path.write_text(stack_text(model_text(served_names='["a{{ vars.x }}"]')) + "[vars.x]\n")
    assert "half of a surrogate pair" in problems(path, VariableInputs(environ={"CORTEXCTL_VAR_x": "a\udcff"}))[0]


@pytest.mark.parametrize("name", ["stack.toml", "stack.json"])
@pytest.mark.parametrize(
    "at", ["{}", "# {}", 'stack = "{}"', '["{}"]', '{{"stack": "{}"}}', "stack = '{}'\n[[[", "# {}\nstack = 5\n"]
)
def test_half_a_character_in_the_text_of_a_stack(name: str, at: str) -> None:
    desired, diagnostics = load_stack(name, default_docker=DOCKER, secret_value=None, text=at.format("\ud800"))
    assert desired is None
    assert all(d.summary.encode() for d in diagnostics)
    assert diagnostics


DEEP: dict[str, str] = {
    "a.toml": ".".join(["a"] * 50_000) + " = 1", "b.toml": "[" + ".".join(["a"] * 50_000) + "]",
    "c.toml": "x = " + "[" * 100_000, "d.toml": "x = " + "{a = " * 500 + "1" + "}" * 500,
    "e.toml": 'x."a"' + " . a" * 200 + " = 1", "f.json": "[" * 100_000, "g.json": '{"a":' * 200 + "1" + "}" * 200,
    "h.json": json.dumps({"a": 1}).replace("1", "[" * 900 + "]" * 900),
}  # fmt: skip


@pytest.mark.parametrize("name", DEEP)
def test_a_text_that_is_nested_too_deeply_is_not_a_stack(name: str) -> None:
    with pytest.raises(UnreadableDocument, match="is nested too deeply to be a stack"):
        fit(parse_document(name, DEEP[name]))


@pytest.mark.parametrize("value", ['"t"', "1", "[]", "[1]", "['t']", "{ b = 't' }"])
def test_the_depth_limit_is_the_same_for_every_kind_of_value(value: str) -> None:
    is_filled = value in {"[1]", "['t']", "{ b = 't' }"}

    def at(depth: int) -> str:
        return ".".join(["a"] * (depth - is_filled)) + f" = {value}\n"

    assert fit(parse_document("x.toml", at(DEEPEST))).data
    with pytest.raises(UnreadableDocument, match="is nested too deeply to be a stack"):
        fit(parse_document("x.toml", at(DEEPEST + 1)))


def test_a_text_within_the_depth_limit_is_read() -> None:
    data: Any = fit(parse_document("x.toml", ".".join(["a"] * 60) + " = 1\n")).data
    for _ in range(60):
        data = data["a"]
    assert data == 1
