"""The verdicts of an image's own parser on command lines. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from cortexctl.dataclass import dataclass
from cortexctl.text.shorten import shortened

CommandLine = tuple[str, ...]
"""The arguments after the program."""


@dataclass(frozen=True, slots=True)
class ParserVerdict:
    """The verdict on one command line. `verdict`: ok, unrecognized, choice, value, explicit, ambiguous, required, exit
    (it prints its help), exception, or unknown (it needs a file that is not in the image). `text`: the parser's own
    message. `values`: the parsed values that differ from the release's defaults.
    """

    accepted: bool
    verdict: str
    text: str = ""
    release: str = ""
    values: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Probed:
    """One verdict per command line, in order; or none, and the `problem` that prevented them."""

    verdicts: tuple[ParserVerdict, ...] = ()
    problem: str = ""


def parse_probed(output: str, log: str, expected: int) -> Probed:
    """From the two outputs of the script. An image can contain anything, so nothing is taken for granted."""
    verdicts = []
    for line in output.splitlines():
        try:
            reply = json.loads(line)
            if "failed" in reply:
                return Probed(problem=f"its parser could not be built: {_one_line(reply['failed'])}")
            verdicts.append(
                ParserVerdict(
                    reply["accepted"] is True,
                    str(reply["verdict"]),
                    _one_line(reply["text"]),
                    _one_line(reply["release"]),
                    dict(reply["values"]),
                )
            )
        except (ValueError, TypeError, KeyError, RecursionError):
            return Probed(problem="its answer contains no verdicts")
    if len(verdicts) == expected:
        return Probed(tuple(verdicts))
    last = next((line for line in reversed(log.splitlines()) if line.strip()), "")
    return Probed(problem=f"it ended without a verdict{': ' if last else ' and without a message'}{_one_line(last)}")


def _one_line(text: object) -> str:
    return shortened(" ".join(str(text).split()))
