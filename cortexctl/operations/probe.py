"""`plan --probe`: the parsers inside the images of a plan check its command lines."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from cortexctl.desired.stack import Desired
from cortexctl.diagnostics import in_reading_order
from cortexctl.errors import DaemonError
from cortexctl.observed.parser_verdict import CommandLine, Probed
from cortexctl.operations.notes import Level, Note, Report
from cortexctl.plan.model import Plan
from cortexctl.plan.parser_probe import Question, judged, not_asked, other_release, questions


class Parsers(Protocol):
    """Implemented by `hosts.fleet.DockerDaemons`."""

    def ask_parser(self, host: str, image: str, program: str, lines: Sequence[CommandLine]) -> Probed: ...


def probe(plan: Plan, desired: Desired, parsers: Parsers, report: Report) -> Plan:
    """The plan with what the parsers in its images refuse of the command lines that it would start."""
    diagnostics = [*plan.diagnostics, *not_asked(plan, desired)]
    for question in questions(plan):
        answer = _query(question, parsers, report)
        diagnostics += judged(question, answer, desired)
        other = other_release(question, answer, desired)
        if other:
            report(Note(other, Level.NOTE))
    return replace(plan, diagnostics=tuple(in_reading_order(diagnostics)))


def _query(question: Question, parsers: Parsers, report: Report) -> Probed:
    count = len(question.lines)
    lines = f"{count} command line{'s' if count > 1 else ''}"
    report(Note(f"probe: asking the parser in {question.reference} on {question.host} about {lines} …"))
    began = time.monotonic()
    try:
        answer = parsers.ask_parser(question.host, question.image_id, question.program, tuple(question.lines))
    except DaemonError as cause:
        return Probed(problem=cause.message)
    seconds = time.monotonic() - began
    if answer.verdicts and all(v.accepted for v in answer.verdicts):
        report(Note(f"probe: it accepts {'all' if count > 1 else 'it'} ({seconds:.0f} s)"))
    return answer
