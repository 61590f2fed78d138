"""A command loads what it needs, and no more: each module costs time at every start."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.loads import COMMANDS, LISTS, ground, loaded_by, recorded

FOR_CHANGES = {"docker", "requests", "urllib3", "httpx", "h11", "cortexctl.hosts.act", "cortexctl.hosts.daemon_api"}
FOR_STACKS = {"pydantic", "pydantic_core"}
FOR_SOME = {"jinja2", "deepdiff", "rich", "yaml", "packaging", "tree_sitter", "tree_sitter_toml", "tree_sitter_json"}
"""Libraries for what only some stacks, plans and formats have."""


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_loads_no_more_than_its_list(command: str, tmp_path: Path) -> None:
    with ground(tmp_path) as at:
        more = loaded_by(command, at) - recorded(command)
    assert more == set(), f"if {command} needs them: python -m tests.loads {command}"


def test_every_list_is_one_of_a_command() -> None:
    assert {path.stem for path in LISTS.iterdir()} == set(COMMANDS)


@pytest.mark.parametrize("command", ["short-version", "short-help"])
def test_version_and_help_load_nothing_but_their_text(command: str) -> None:
    assert recorded(command) == {"cortexctl", "cortexctl.__main__", "cortexctl.cli", "cortexctl.cli.short_answers"}


@pytest.mark.parametrize(
    "command",
    [
        "validate",
        "validate-variables",
        "fmt",
        "plan",
        "plan-cached",
        "plan-against",
        "drift",
        "doctor",
        "observe",
        "args",
    ],
)
def test_a_command_that_only_reads_loads_no_library_that_changes_hosts(command: str) -> None:
    assert recorded(command) & (FOR_CHANGES | FOR_SOME) == set()


@pytest.mark.parametrize("command", ["validate", "fmt", "fit", "args", "args-check", "catalog", "schema", "version"])
def test_a_command_without_hosts_loads_nothing_for_them(command: str) -> None:
    assert not {m for m in recorded(command) if m.startswith(("cortexctl.apply", "cortexctl.hosts.act"))}


def test_a_plan_of_a_cached_stack_loads_no_reader_of_stacks() -> None:
    assert not {
        m for m in recorded("plan-cached") if m.startswith(("cortexctl.stack", "cortexctl.engines.vllm.command"))
    }
    assert recorded("plan-cached") & FOR_STACKS == set()


def test_no_command_loads_the_engine_itself() -> None:
    assert not any("vllm" in recorded(command) for command in COMMANDS)


def test_the_tables_of_a_stack_are_read_without_pydantic_itself() -> None:
    assert "pydantic_core" in recorded("validate")
    assert not any("pydantic" in recorded(command) for command in COMMANDS)
