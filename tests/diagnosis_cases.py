"""The recorded logs of failed starts."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from cortexctl.engines.vllm.log.line import read_line

CASES = Path(__file__).parent / "cases" / "diagnosis"
"""NAME.toml has the samples of the table's module NAME; runs/, unknown/ and healthy/ logs of servers."""


def samples() -> list[dict[str, Any]]:
    return [case for path in sorted(CASES.glob("*.toml")) for case in tomllib.loads(path.read_text())["case"]]


def runs() -> list[dict[str, Any]]:
    return list(tomllib.loads((CASES / "runs" / "expected.toml").read_text())["case"])


def lines_of(case: dict[str, Any]) -> list[str]:
    text: str = case["log"]
    return text.split("\n")


def strip_prefix(raw: str) -> str:
    """The message in a line of one message."""
    (line,) = read_line(raw)
    return line.text.strip()
