"""One way to ask for JSON, and one way to name the stack, in every command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cortexctl.cli.main import cli, run
from tests.reading import model_text, stack_text

WITHOUT_A_STACK = {"init", "show", "schema", "version", "args check", "catalog show", "catalog diff"} | {
    "catalog releases",
    "catalog architectures",
}
TAKES_SEVERAL = {"fmt"}
ADDRESSES = {"rollback", "logs", "diagnose", "args show", "import", "doctor"}
"""Their arguments name a part of the stack."""


def _commands(command: click.Command, name: str = "") -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield name, command
        return
    context = click.Context(command)
    for sub in command.list_commands(context):
        below = command.get_command(context, sub)
        assert below is not None
        yield from _commands(below, f"{name} {sub}".strip())


COMMANDS = dict(_commands(cli))


def _options(command: click.Command) -> dict[str, click.Parameter]:
    return {option: p for p in command.params for option in (*p.opts, *p.secondary_opts)}


@pytest.mark.parametrize("name", COMMANDS)
def test_json_is_requested_with_format(name: str) -> None:
    options = _options(COMMANDS[name])
    assert not {option for option in options if "json" in option}
    assert "--format" not in options or "json" in getattr(options["--format"].type, "choices", ())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_stack_is_named_in_one_way(name: str) -> None:
    options = _options(COMMANDS[name])
    if name in WITHOUT_A_STACK:
        assert not {"--stack", "-f"} & options.keys()
        return
    assert options["--stack"] is options["-f"]
    has_argument = any(isinstance(p, click.Argument) and p.name in {"stack", "stacks"} for p in COMMANDS[name].params)
    assert has_argument is (name not in ADDRESSES)


@pytest.mark.parametrize("option", ["-f", "--stack"])
@pytest.mark.parametrize("name", ["validate", "fmt", "fit", "args here/tiny"])
def test_the_option_names_the_stack(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, option: str) -> None:
    stack = tmp_path / "other.toml"
    stack.write_text(stack_text(model_text()))
    assert run([*name.split(), option, str(stack)]) == 0
    assert capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - WITHOUT_A_STACK - TAKES_SEVERAL - ADDRESSES))
def test_a_stack_is_named_once(capsys: pytest.CaptureFixture[str], name: str) -> None:
    more = ["--to", "0.33.0"] if name == "catalog upgrade" else []
    assert run([*name.split(), "a.toml", "--stack", "b.toml", *more]) == 1
    assert "not both" in capsys.readouterr().err


def test_args_takes_an_address_or_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stack = tmp_path / "stack.toml"
    stack.write_text(stack_text(model_text()))
    shown = []
    for argv in (["here/tiny", "-f"], ["show", "here/tiny", "--stack"], ["show", "tiny", "-f"]):
        assert run(["args", *argv, str(stack)]) == 0
        shown.append(capsys.readouterr().out)
    assert run(["args", "-f", str(stack), "here/tiny"]) == 0
    assert {capsys.readouterr().out} == set(shown)
    assert run(["args", "here/tiny", "--no-such-option", "-f", str(stack)]) == 1
    assert "No such option" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "expected"),
    [("--help", ["HOST/MODEL", "check"]), ("show --help", ["--stack", "compose"]), ("check --help", ["--stdin"])],
)
def test_each_part_of_args_has_its_own_help(capsys: pytest.CaptureFixture[str], argv: str, expected: list[str]) -> None:
    assert run(["args", *argv.split()]) == 0
    text = capsys.readouterr().out
    assert all(part in text for part in expected)
    assert ("--stdin" in text) is (argv == "check --help")
