"""Printed commands, run in the same process against fake daemons: what each one reads and plans."""

from __future__ import annotations

import io
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from cortexctl.apply.perform import Performer
from cortexctl.cli import carry_out
from cortexctl.cli.main import run
from cortexctl.errors import CortexctlError
from cortexctl.hosts import fleet
from cortexctl.instance.labels import RUN
from cortexctl.operations import apply as operation
from cortexctl.operations.apply import prepare
from cortexctl.operations.apply_options import ApplyOptions
from cortexctl.operations.read_stack import StackReader, StackReading
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.plan.model import Plan
from cortexctl.plan.planfile import plan_to_json
from tests.fakes.daemon import FakeDaemons
from tests.fakes.world import World

_COMMAND = re.compile(r"(?:^|: |  )(cortexctl [a-z].*)", re.MULTILINE)
"""Not a mention in a sentence."""


class OpenDaemons(FakeDaemons):
    """Fake daemons behind the command line."""

    def close(self) -> None:
        """There is nothing to close."""

    def left_by_killed_runs(self, _hosts: object) -> list[str]:
        return []


@dataclass
class CommandLine:
    """cortexctl over a world. `readings`: path and choice of every stack that the last command read. `plans`: those
    that it was about to carry out.
    """

    world: World
    folder: Path
    readings: list[tuple[str, StackChoice]] = field(default_factory=list)
    plans: list[Plan] = field(default_factory=list)
    errors: str = ""

    def run(self, *argv: str) -> tuple[int, str]:
        """The exit code and stdout."""
        self.readings, self.plans = [], []
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
        with redirect_stdout(out), redirect_stderr(err):
            code = run(list(argv))
        self.errors = _text(err)
        assert "Traceback" not in self.errors, self.errors
        return code, _text(out)

    def plan(self, *argv: str) -> str:
        """The plan that `plan` makes, as JSON."""
        _, text = self.run("plan", *argv, "--format", "json")
        return text


def _text(stream: io.TextIOWrapper) -> str:
    return cast("io.BytesIO", stream.buffer).getvalue().decode()


@contextmanager
def command_line(world: World, folder: Path, environment: Mapping[str, str]) -> Iterator[CommandLine]:
    """In the folder and with the environment variables."""
    line = CommandLine(world, folder)
    daemons = OpenDaemons(world.daemons.by_host)

    @contextmanager
    def open_hosts(*_: Any, **__: Any) -> Iterator[OpenDaemons]:
        yield daemons

    def performer(owner: str, _path: str, _choice: StackChoice, _daemons: Any, log: Any) -> Performer:
        return Performer(owner, daemons, world.prober, world.secrets, world.clock, {RUN: log.run})

    def prepared(plan: Plan, options: ApplyOptions) -> Plan:
        line.plans.append(prepare(plan, options))
        return line.plans[-1]

    read = StackReader.read

    def reading(self: StackReader, **options: Any) -> StackReading:
        line.readings.append((self.path, self.choice))
        return read(self, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(fleet, "open_hosts", open_hosts)
        patch.setattr(operation, "make_performer", performer)
        patch.setattr(operation, "learn_from_apply", lambda *_: ())
        patch.setattr(carry_out, "prepare", prepared)
        patch.setattr(carry_out, "_stop_on_signal", lambda _plan: _Never())
        patch.setattr(StackReader, "read", reading)
        patch.setattr("sys.stdin", io.StringIO())
        for name in [n for n in os.environ if n.startswith("CORTEXCTL_")]:
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        yield line


def readings(argv: Sequence[str], folder: Path, environment: Mapping[str, str]) -> set[tuple[str, StackChoice]]:
    """The stacks, each with its choice, that a command reads before it opens a host."""
    with command_line(World("none"), folder, environment) as line, pytest.MonkeyPatch.context() as patch:
        patch.setattr(fleet, "open_hosts", _no_host)
        line.run(*argv)
        return set(line.readings)


def _no_host(*_: Any, **_options: Any) -> None:
    raise CortexctlError("no host is opened here")


class _Never:
    def is_set(self) -> bool:
        return False


def commands(text: str) -> list[str]:
    """Every command in a text: to the end of its line."""
    return _COMMAND.findall(text)


def argv_of(command: str, environment: Mapping[str, str] = os.environ) -> list[str]:
    """The arguments of a command, as bash splits them, without the name of the program."""
    script = f"set -u; set -- {command}; printf '%s\\0' \"$@\""
    shell = subprocess.run(["bash", "-c", script], capture_output=True, check=True, env=environment)
    program, *argv = os.fsdecode(shell.stdout).split("\0")[:-1]
    assert program == "cortexctl"
    return argv


def as_json(plan: Plan) -> str:
    """As `plan --format json` prints it."""
    return plan_to_json(plan)
