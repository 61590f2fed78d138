"""Matches a log, and how its process ended, against the table."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from cortexctl.engines.base import Diagnosis
from cortexctl.engines.log_bounds import searched
from cortexctl.engines.vllm.diagnosis import (
    arguments,
    checkpoint,
    features,
    gpu_memory,
    gpus,
    host_limits,
    parallel,
    precision,
    processes,
    source,
)
from cortexctl.engines.vllm.diagnosis.ending import died_silently, explain_end, hangs, stopped_in_order
from cortexctl.engines.vllm.diagnosis.lines import evidence
from cortexctl.engines.vllm.log.line import Line, read_lines
from cortexctl.engines.vllm.log.starts import last_start, since_up

GROUPS = (
    arguments,
    gpu_memory,
    parallel,
    precision,
    features,
    gpus,
    host_limits,
    source,
    checkpoint,
    processes,
)
"""All exact patterns are tried before any vague one."""
_ALL = tuple(pattern for group in GROUPS for pattern in group.PATTERNS)

TABLE = tuple(sorted(_ALL, key=lambda pattern: pattern.vague))
"""Patterns that name one cause come before those with many possible causes; otherwise the order of the modules."""

MOST_EVIDENCE = 1_000_000
"""The most characters of all lines that can be evidence: every pattern of the table is tried on them."""


def diagnose(log: Sequence[str]) -> Diagnosis | None:
    """The first row of the table that matches the last start in the log; of several places, the last one. None: no
    known cause.

    Warnings, retries and the insides of tracebacks are never evidence, nor is anything before the server was up. The
    search is limited (`log_bounds`), so that no log takes more than a few seconds.
    """
    start = last_start(read_lines(log))
    candidates = _candidates(start)
    lines = [start[index].text for index in candidates]
    text = "\n".join(lines)
    for pattern in TABLE:
        match = None
        for match in pattern.regex.finditer(text):  # noqa: B007 - the last is wanted
            pass
        if not match:
            continue
        first = text.count("\n", 0, match.start())
        last = first + match.group().rstrip("\n").count("\n")
        with suppress(ArithmeticError, ValueError):  # a number in the log that is not usable in a calculation
            cause, fix = pattern.explain(match, [line.text for line in start[: candidates[first]]])
            return Diagnosis(pattern.name, cause, fix, tuple(line.strip() for line in lines[first : last + 1]))
    ending = died_silently(start) or hangs(start)
    return Diagnosis(*ending[:3], (start[ending[3]].text.strip(),)) if ending else None


def _candidates(start: Sequence[Line]) -> list[int]:
    """The indexes of the lines that can be evidence; of many, the last."""
    may_be = [
        index
        for index, (is_evidence, follows) in enumerate(zip(evidence(start), since_up(start), strict=True))
        if is_evidence and follows
    ]
    return may_be[len(may_be) - len(searched([start[index].text for index in may_be], most_text=MOST_EVIDENCE)) :]


def diagnose_end(log: Sequence[str], exit_code: int | None, *, oom_killed: bool = False) -> Diagnosis | None:
    """As `diagnose`; if the log shows no cause, the container's end alone.

    `exit_code`: None while it runs.
    """
    ended = explain_end(exit_code, oom_killed=oom_killed)
    if oom_killed and ended:
        return Diagnosis(*ended)
    diagnosis = diagnose(log)
    ended = ended or stopped_in_order(log, exit_code)
    return diagnosis or (Diagnosis(*ended) if ended else None)
