"""What an image's own parser said of command lines. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cortexctl.text.shorten import shortened

CommandLine = tuple[str, ...]
"""The words after the program."""


@dataclass(frozen=True, slots=True)
class ParserVerdict:
    """On one command line. `verdict`: ok, unrecognized, choice, value, explicit, ambiguous, required, exit (it shows
    its help), exception, or unknown (it wants a file that is not in the image). `text`: the parser's own words.
    `values`: what the right words set, where it differs from the release's defaults.
    """

    accepted: bool
    verdict: str
    text: str = ""
    release: str = ""
    values: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Probed:
    """One verdict a command line, in order; or none, and the `problem` why nobody can tell."""

    verdicts: tuple[ParserVerdict, ...] = ()
    problem: str = ""


def parse_probed(output: str, log: str, asked: int) -> Probed:
    """From what the script wrote to its two outputs. An image can hold anything, so nothing is taken for granted."""
    verdicts = []
    for line in output.splitlines():
        try:
            said = json.loads(line)
            if "failed" in said:
                return Probed(problem=f"its parser could not be built: {_one_line(said['failed'])}")
            verdicts.append(
                ParserVerdict(
                    said["accepted"] is True,
                    str(said["verdict"]),
                    _one_line(said["text"]),
                    _one_line(said["release"]),
                    dict(said["values"]),
                )
            )
        except (ValueError, TypeError, KeyError, RecursionError):
            return Probed(problem="it answered with something else than verdicts")
    if len(verdicts) == asked:
        return Probed(tuple(verdicts))
    last = next((line for line in reversed(log.splitlines()) if line.strip()), "")
    return Probed(problem=f"it ended without a verdict{': ' if last else ' and without a word'}{_one_line(last)}")


def _one_line(text: object) -> str:
    return shortened(" ".join(str(text).split()))
