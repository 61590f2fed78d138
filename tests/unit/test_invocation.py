"""The rendering of the command that continues a run."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from cortexctl.apply.executor import Fate, Outcome, Result
from cortexctl.cli.main import COMMANDS, cli
from cortexctl.diagnostics import error
from cortexctl.operations.apply_options import ApplyOptions
from cortexctl.operations.next_after import next_after
from cortexctl.plan.model import Plan
from cortexctl.plan.request import Request
from cortexctl.render.diagnostic import diagnostic_text
from cortexctl.text.invocation import STACK_BY_OPTION, Invocation
from tests.applying import PLAIN, TWO_HOSTS, stack
from tests.fakes.world import World
from tests.next_commands import argv_of
from tests.reading import model_text


@pytest.mark.parametrize(
    "word", ["", "-x", "a b", "'", "$(id)`id`", "\n", "\t'\\\x1b[2J", "é", "\udcff", "\u202e", "!!", "~"]
)
def test_any_word_comes_back_from_the_shell_and_is_visible(word: str) -> None:
    run = Invocation(f"-{word}.toml", word or "e", (word,), (f"name={word}",), (("--target", word),))
    command = run.same("plan")
    assert command.isprintable()
    assert argv_of(command) == [
        "plan", f"./-{word}.toml", "--env", word or "e", "--var-file", word, "--var", f"name={word}", "--target", word,
    ]  # fmt: skip


def test_a_secret_comes_from_the_environment_and_no_name_runs_a_program() -> None:
    command = Invocation(variables=("token", "x}$(id)")).command("status")
    assert command == """cortexctl status --var token="${CORTEXCTL_VAR_token:?}" --var 'x}$(id)'"""


def test_the_commands_that_take_the_stack_only_as_an_option_are_known() -> None:
    context = click.Context(cli)
    have: set[str] = set()
    for name in COMMANDS:
        command = cli.get_command(context, name)
        inner = (
            [command.commands["show"]] if isinstance(command, click.Group) and "show" in command.commands else [command]
        )
        arguments = {p.name for c in inner if c for p in c.params if isinstance(p, click.Argument)}
        options = {o for c in inner if c for p in c.params for o in p.opts}
        have |= {name} if "--stack" in options and not arguments & {"stack", "stacks"} else set()
    assert have == STACK_BY_OPTION


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Both instances of two hosts are replaced on request; the second one waits for another apply."""
    world = World("demo", "one", "two")
    desired = stack(tmp_path, model_text(hosts='["*"]', rollout="{ canary = 1 }"), hosts=TWO_HOSTS)
    world.apply(world.plan(desired))
    return world.plan(desired, Request(replace=("tiny",), exclude=("nobody",), canary_hold=True))


def test_after_the_canaries_only_the_others_are_still_forced(plan: Plan) -> None:
    assert plan.rollouts[0].deferred == ("two/tiny",)
    done = Result(tuple(Outcome(c, Fate.DONE) for c in plan.effective))
    path = plan.stack_path
    assert next_after(plan, done, ApplyOptions(parallelism=3, lock_timeout=90).options, is_complete=True) == (
        f"cortexctl apply {path} --exclude nobody --replace two/tiny --parallelism 3 --lock-timeout 90s"
    )


def test_after_a_failure_what_is_done_is_not_forced_again(plan: Plan) -> None:
    failed = Result(tuple(Outcome(c, Fate.FAILED) for c in plan.effective))
    path = plan.stack_path
    assert next_after(plan, failed, (), is_complete=False) == (
        f"cortexctl plan {path} --exclude nobody --canary-hold --replace one/tiny"
    )


def test_a_command_in_a_help_is_not_wrapped() -> None:
    command = Invocation("stack  of   many parts " * 6 + ".toml").command("fit")
    text = diagnostic_text(
        error("CX316", "it does not fit", help=f"{'a smaller length ' * 9}; for more: {command}"), PLAIN
    )
    assert command in text
    assert text.count("\n") > 2, "the rest is"
