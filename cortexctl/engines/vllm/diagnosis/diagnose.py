"""A log, and how its process ended, against the table."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from cortexctl.engines.vllm.diagnosis.ending import died_without_a_word, how_it_ended
from cortexctl.engines.vllm.diagnosis.lines import may_tell_a_cause, strip_prefix, unprefixed
from cortexctl.engines.vllm.diagnosis.table import TABLE
from cortexctl.engines.vllm.log_bounds import searched

MOST_EVIDENCE = 1_000_000
"""Characters of all lines that can be evidence: every pattern of the table is tried on them."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """`cause` in one sentence, `fix` as an edit of the stack, `evidence` the log's lines that prove it.

    `pattern` names the row of the table, for machines.
    """

    pattern: str
    cause: str
    fix: str
    evidence: tuple[str, ...] = ()


def diagnose(log: Sequence[str]) -> Diagnosis | None:
    """The first row of the table that the log shows; of several such places the last. None: no known cause.

    Lines at INFO and WARNING, retries and the insides of tracebacks are no evidence, whatever they say. How much is
    searched has a bound (`loglines`), so that no log takes more than some seconds.
    """
    log = searched(log)
    kept = [index for index, line in enumerate(log) if may_tell_a_cause(line)]
    kept = kept[len(kept) - len(searched([log[index] for index in kept], most_text=MOST_EVIDENCE)) :]
    lines = [unprefixed(log[index]) for index in kept]
    text = "\n".join(lines)
    for pattern in TABLE:
        match = None
        for match in pattern.regex.finditer(text):  # noqa: B007 - the last is wanted
            pass
        if not match:
            continue
        first = text.count("\n", 0, match.start())
        last = first + match.group().rstrip("\n").count("\n")
        with suppress(ArithmeticError, ValueError):  # a number in the log with which nobody can calculate
            cause, fix = pattern.explain(match, log[: kept[first]])
            return Diagnosis(pattern.name, cause, fix, tuple(strip_prefix(line) for line in lines[first : last + 1]))
    silent = died_without_a_word(log)
    return Diagnosis(*silent[:3], (strip_prefix(log[silent[3]]),)) if silent else None


def diagnose_end(log: Sequence[str], exit_code: int | None, *, oom_killed: bool = False) -> Diagnosis | None:
    """As `diagnose`, and where the log is silent, what the container's end alone tells.

    `exit_code`: None while it runs.
    """
    ended = how_it_ended(exit_code, oom_killed=oom_killed)
    if oom_killed and ended:
        return Diagnosis(*ended)
    found = diagnose(log)
    if found or not ended:
        return found
    return Diagnosis(*ended)
