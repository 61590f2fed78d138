"""plan --probe: the parsers inside the images of a plan have a say in it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from cortexctl.cli.writing import say
from cortexctl.desired.stack import Desired
from cortexctl.diagnostics import in_reading_order
from cortexctl.errors import DaemonError
from cortexctl.observed.parser_verdict import CommandLine, Probed
from cortexctl.plan.model import Plan
from cortexctl.plan.parser_probe import Question, judged, not_asked, other_release, questions
from cortexctl.render.sanitise import visible


class Parsers(Protocol):
    """Implemented by `daemon.daemons.DockerDaemons`."""

    def ask_parser(self, host: str, image: str, program: str, lines: Sequence[CommandLine]) -> Probed: ...


def probed(made: Plan, desired: Desired, parsers: Parsers) -> Plan:
    """The plan with what the parsers in its images have against the command lines that it would start."""
    found = [*made.diagnostics, *not_asked(made, desired)]
    for question in questions(made):
        answer = _asked(question, parsers)
        found += judged(question, answer, desired)
        other = other_release(question, answer, desired)
        if other:
            say(f"note: {visible(other)}\n")
    return replace(made, diagnostics=tuple(in_reading_order(found)))


def _asked(question: Question, parsers: Parsers) -> Probed:
    count = len(question.lines)
    lines = f"{count} command line{'s' if count > 1 else ''}"
    say(f"probe: asking the parser in {visible(question.reference)} on {question.host} about {lines} …\n")
    began = time.monotonic()
    try:
        answer = parsers.ask_parser(question.host, question.image_id, question.program, tuple(question.lines))
    except DaemonError as cause:
        return Probed(problem=cause.message)
    took = time.monotonic() - began
    if answer.verdicts and all(v.accepted for v in answer.verdicts):
        say(f"probe: it accepts {'all' if count > 1 else 'it'} ({took:.0f} s)\n")
    return answer
