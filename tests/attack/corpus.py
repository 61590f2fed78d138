"""Inputs that an earlier cortexctl did not survive: a traceback, a hang, or memory without end. A find of `make fuzz` is added
here, as a file of its kind below tests/cases/finds.
"""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.attack.commands import command
from tests.attack.documents import snapshots, try_plan, try_snapshot, try_stack
from tests.attack.finds import Find, Row, attempt, bounded
from tests.attack.texts import RELEASES
from tests.conftest import REPO

FINDS = REPO / "tests/cases/finds"
FILES = sorted(path for path in FINDS.glob("*/*") if path.is_file())


def _stack(path: Path) -> None:
    with tempfile.TemporaryDirectory() as name:  # `fmt` and `validate` write nothing, and a stack names files beside it
        there = Path(name) / f"stack{path.suffix}"
        there.write_bytes(path.read_bytes())
        try_stack(there)


def _line(path: Path) -> None:
    argv = shlex.split(path.read_text(encoding="utf-8"))
    for release in RELEASES:
        command("args", "check", "--vllm-version", release, "--", *argv)


TRIES: dict[str, Callable[[Path], object]] = {
    "stacks": _stack,
    "plans": try_plan,
    "snapshots": lambda path: try_snapshot(snapshots()[0][0], path),
    "logs": lambda path: command("diagnose", "--log", str(path), quotes=True),
    "lines": _line,
}


def try_find(path: Path) -> Find | None:
    """The fault that the input causes today, if any."""

    def do() -> None:
        TRIES[path.parent.name](path)

    with bounded():
        return attempt(path.name, {}, do)


def attack_corpus() -> Row:
    finds = [find for path in FILES if (find := try_find(path))]
    return Row(
        "inputs that an earlier version did not survive",
        f"{len(FILES)}",
        f"{len(FILES) - len(finds)} pass",
        tuple(finds),
    )
