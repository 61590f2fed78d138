"""What a command prints to be copied does what was shown: the same stack, environment, variables and selection.

Generated invocations, with values that a shell would take apart, run in this process against fake daemons; bash splits
the printed commands.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cortexctl.instance.labels import owner
from tests.applying import crash
from tests.fakes.world import World
from tests.next_commands import argv_of, as_json, command_line, commands, readings

STACK = """
stack = "demo"

[vars.note]
default = "x"
[vars.spare]
default = "x"
[vars.len]
type = "int"
default = 1024
[vars.token]
secret = true

[hosts.one]
docker = "unix:///run/one.sock"
models_dir = "/m"
[hosts.two]
docker = "unix:///run/two.sock"
models_dir = "/m"

[models.chat]
image = "image:v0.32.0"
source = { path = "chat" }
gpus = "none"
hosts = ["*"]
env = { NOTE = "{{ vars.note }}" }
secrets = { VLLM_API_KEY = { var = "token" } }
rollout = { canary = 1 }
[models.chat.args]
max_model_len = "{{ vars.len }}"

[models.embed]
image = "image:v0.32.0"
source = { path = "embed" }
gpus = "none"
hosts = ["*"]
[models.embed.args]
max_model_len = "{{ vars.len }}"

[env.lab.models.embed]
hosts = ["two"]
"""
HOSTILE = "a $`'\"\\*;&|<>(){}!#~é-=?[]%^"
UNSEEN = "\t\n\x1b\x7f\N{RIGHT-TO-LEFT OVERRIDE}"
"""A terminal does not show these."""
TOKEN = "t $(id) 'x' \"y\""
KNOWN = {"CORTEXCTL_VAR_token": TOKEN}
PATTERNS = ["chat", "embed", "one/*", "*", "two/chat", "[ce]*", "one/chat"]
texts = st.text(HOSTILE, min_size=1, max_size=8)
names = st.text(HOSTILE + UNSEEN, min_size=1, max_size=8).filter(lambda name: name.strip(". ") != "")


@dataclass(frozen=True)
class Case:
    """An invocation, without its verb. `choosing`: its environment and variables."""

    stack: str
    choosing: tuple[str, ...]
    options: tuple[str, ...]
    var_file: tuple[str, int]
    env: str

    @property
    def argv(self) -> tuple[str, ...]:
        return (self.stack, *self.choosing, *self.options)


def _many(option: str, patterns: Sequence[str]) -> st.SearchStrategy[tuple[str, ...]]:
    chosen = st.lists(st.sampled_from(patterns), max_size=2, unique=True)
    return chosen.map(lambda each: tuple(word for pattern in each for word in (option, pattern)))


def _flag(*argv: str) -> st.SearchStrategy[tuple[str, ...]]:
    return st.booleans().map(lambda on: argv if on else ())


@st.composite
def cases(draw: st.DrawFn, *, forces: bool = True) -> Case:
    """`forces`: with --replace and --restart."""
    stack = "./" + draw(names) + ".toml"
    env = draw(st.sampled_from(["", "lab"]))
    choosing: tuple[str, ...] = ("--env", env) if env else ()
    file = (draw(names) + ".vars.toml", draw(st.integers(256, 4096)))
    choosing += draw(_flag("--var-file", file[0]))
    for name, values in (("note", texts), ("spare", st.one_of(texts, names)), ("len", st.integers(256, 4096))):
        if draw(st.booleans()):
            choosing += ("--var", f"{name}={draw(values)}")
    choosing += draw(_flag("--var", f"token={TOKEN}"))
    options = [_many("--target", PATTERNS), _many("--exclude", ["embed", "one/chat"]), _many("--host", ["one", "t*"])]
    options += [_flag("--canary-hold"), _flag("--allow-unreachable"), _many("--launch-anyway", PATTERNS)]
    if forces:
        options += [_many("--replace", PATTERNS), _many("--restart", PATTERNS)]
    else:
        options += [_flag("--only", "drift")]
    return Case(stack, choosing, tuple(word for option in options for word in draw(option)), file, env)


def _write(folder: Path, case: Case) -> None:
    (folder / case.stack).write_text(STACK)
    name, length = case.var_file
    (folder / name).write_text(f"len = {length}\n")


def _next(text: str) -> list[str]:
    """The words of the next command, without the program; empty if there is none."""
    lines = [line for line in text.splitlines() if line.startswith("Next ")]
    return argv_of(commands(lines[0])[0]) if lines else []


modest = settings(max_examples=10, deadline=None)


@pytest.mark.usefixtures("fingerprints_once")
@modest
@given(cases(), st.booleans())
def test_the_next_command_of_a_plan_applies_the_plan_that_was_shown(case: Case, exists: bool) -> None:
    world = World(owner("demo", case.env), "one", "two")
    world.secrets.values["token"] = TOKEN
    with TemporaryDirectory() as folder, command_line(world, Path(folder), KNOWN) as line:
        _write(Path(folder), case)
        if exists:
            assert line.run("apply", case.stack, *case.choosing[: 2 * bool(case.env)], "--auto-approve")[0] == 0
        shown = line.plan(*case.argv)
        _, text = line.run("plan", *case.argv)
        again = _next(text)
        errors = [d for d in json.loads(shown)["diagnostics"] if d["severity"] == "error"]
        assume(again)
        assert not errors
        assert again[0] == "apply"
        code, _ = line.run(*again)
        assert code == 4, "nobody approves"
        assert [as_json(plan) for plan in line.plans] == [shown]


@pytest.mark.usefixtures("fingerprints_once")
@modest
@given(cases(forces=False), st.sampled_from(["one", "two", ""]), st.integers(1, 9))
def test_the_next_command_of_an_apply_shows_what_is_left(case: Case, fails_on: str, parallelism: int) -> None:
    """After a failure: the plan with the same options. After the canaries: the apply of the rest."""
    world = World(owner("demo", case.env), "one", "two")
    world.secrets.values["token"] = TOKEN
    with TemporaryDirectory() as folder, command_line(world, Path(folder), KNOWN) as line:
        _write(Path(folder), case)
        assert line.run("apply", case.stack, *case.choosing[: 2 * bool(case.env)], "--auto-approve")[0] == 0
        if fails_on:
            world.daemon(fails_on).behaviours.append(crash(1, "ValueError: no"))
        planned, _ = line.run("plan", *case.argv)
        assume(planned == 0)
        code, text = line.run("apply", *case.argv, "--auto-approve", "--parallelism", str(parallelism))
        again = _next(text)
        assume(again)
        if code:
            assert again[0] == "plan"
            assert line.plan(*again[1:]) == line.plan(*case.argv)
        elif again[0] == "apply":
            assert ("--parallelism" in again) is (parallelism != 10)
            rest = line.plan(*(word for word in case.argv if word != "--canary-hold"))
            line.run(*again)
            assert [as_json(plan) for plan in line.plans] == [rest]
        else:
            assert again[0] == "status"
            here = Path(folder)
            assert readings(again, here, KNOWN) == readings(("status", case.stack, *case.choosing), here, KNOWN)
