"""The program around a command: what it sets for the whole process."""

from __future__ import annotations

import gc
import sys

import pytest

from cortexctl import __main__ as program
from cortexctl.cli import main as command_line


def test_python_searches_seldom_for_cycles_and_not_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []

    def run() -> int:
        calls.append("the command")
        return 3

    monkeypatch.setattr(sys, "argv", ["cortexctl", "plan"])
    monkeypatch.setattr(gc, "set_threshold", calls.append)
    monkeypatch.setattr(gc, "freeze", lambda: calls.append("freeze"))
    monkeypatch.setattr(command_line, "run", run)
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert (ended.value.code, calls) == (3, [program.NEW_OBJECTS, "the command", "freeze"])
