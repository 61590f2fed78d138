"""`plan --probe`: the parsers inside the images of a plan check its command lines."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from cortexctl.concurrently import at_once_watched
from cortexctl.desired.stack import Desired
from cortexctl.diagnostics import in_reading_order
from cortexctl.errors import DaemonError
from cortexctl.observed.parser_verdict import CommandLine, Probed
from cortexctl.operations.notes import Level, Note, Report
from cortexctl.plan.model import Plan
from cortexctl.plan.parser_probe import ParserQuery, other_release, parser_queries, problems_of, unchecked
from cortexctl.waiting import UNWATCHED, Watch


class Parsers(Protocol):
    """Implemented by `hosts.fleet.DockerDaemons`."""

    def probe_parser(self, host: str, image: str, program: str, lines: Sequence[CommandLine]) -> Probed: ...


def probe(plan: Plan, desired: Desired, parsers: Parsers, report: Report, watch: Watch = UNWATCHED) -> Plan:
    """The plan with diagnostics for command lines that the parsers in its images refuse."""
    diagnostics = [*plan.diagnostics, *unchecked(plan, desired)]
    for query in parser_queries(plan):
        [answer] = at_once_watched(partial(_query, parsers, report), [query], watch, name=lambda one: one.host)
        diagnostics += problems_of(query, answer, desired)
        other = other_release(query, answer, desired)
        if other:
            report(Note(other, Level.NOTE))
    return replace(plan, diagnostics=tuple(in_reading_order(diagnostics)))


def _query(parsers: Parsers, report: Report, query: ParserQuery) -> Probed:
    count = len(query.lines)
    lines = f"{count} command line{'s' if count > 1 else ''}"
    report(Note(f"probe: checking {lines} with the parser in {query.reference} on {query.host} …"))
    started = time.monotonic()
    try:
        answer = parsers.probe_parser(query.host, query.image_id, query.program, tuple(query.lines))
    except DaemonError as cause:
        return Probed(problem=cause.message)
    seconds = time.monotonic() - started
    if answer.verdicts and all(v.accepted for v in answer.verdicts):
        report(Note(f"probe: it accepts {'all' if count > 1 else 'it'} ({seconds:.0f} s)"))
    return answer
