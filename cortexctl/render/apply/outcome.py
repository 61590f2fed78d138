"""The end of an apply: the completed changes, the others and why, and the next command."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cortexctl.apply.executor import Fate, Outcome, Result
from cortexctl.errors import CortexctlError, GateFailed, HookFailed, PathFailed
from cortexctl.plan.action import Action
from cortexctl.plan.model import Change
from cortexctl.render.plan.phrases import PAST_TENSE
from cortexctl.render.sanitise import visible
from cortexctl.render.style import Ink
from cortexctl.text.units import show_seconds

LINES_WITH_CAUSE, LINES_WITHOUT = 4, 15
"""Lines of the log that are shown: few if the cause is known, because then they are its evidence."""
LINE_WIDTH = 300
_COLOURS = {Fate.DONE: "green", Fate.ROLLED_BACK: "yellow", Fate.FAILED: "red", Fate.NOT_STARTED: "dim"}


def result_text(result: Result, seconds: float, next_step: str, ink: Ink, logs: Mapping[str, str]) -> str:
    """Failures first and in full, then the counts. A failed rollback comes before everything else.

    `logs`: address -> the file that the whole log of the failed container was saved to.
    """
    parts = ["\n".join(_failure(o, ink, logs.get(o.change.address, ""))) for o in _worst_first(result.outcomes)]
    parts += ["\n".join(_host_failure(host, cause, ink)) for host, cause in result.host_failures]
    parts += [text for text in (_not_started(result, ink), _hosts_now(result, ink)) if text]
    parts.append("\n".join(_recap(result, seconds, next_step, ink)))
    return "\n\n".join(parts) + "\n"


def _not_started(result: Result, ink: Ink) -> str:
    """The changes that were not started, and why: a failure stops the later changes on its host."""
    waiting = [o.change for o in result.outcomes if o.fate is Fate.NOT_STARTED]
    if not waiting or result.interrupted:
        return ""
    return "\n".join(f"  {ink('not started', 'dim')}  {c.address}{_because(c, result)}" for c in waiting)


def _because(waiting: Change, result: Result) -> str:
    failed = [o.change for o in result.outcomes if o.failure is not None]
    here = [f.address for f in failed if f.host == waiting.host]
    before = [f.address for f in failed if f.model == waiting.model]
    if here:
        return f"   (after {here[0]} failed on the same host)"
    if before:
        return f"   (after {before[0]} failed, of the same model)"
    return "   (failure limit reached: rollout.max_failures)" if result.budget_spent else ""


def _hosts_now(result: Result, ink: Ink) -> str:
    """After an interrupt: the state of each host."""
    if not result.interrupted:
        return ""
    by_host: dict[str, list[str]] = {}
    for outcome in result.outcomes:
        name = outcome.change.address.removeprefix(f"{outcome.change.host}/")
        by_host.setdefault(outcome.change.host, []).append(f"{name} {_left(outcome)}")
    return "\n".join(f"  {ink('now', 'bold')}  {host}: {', '.join(states)}" for host, states in by_host.items())


def _left(outcome: Outcome) -> str:
    if outcome.left_behind:
        return "was left partially applied"
    if outcome.fate is Fate.DONE:
        return f"was {PAST_TENSE[outcome.change.action]}"
    return "is unchanged"


def _worst_first(outcomes: tuple[Outcome, ...]) -> list[Outcome]:
    failed = [o for o in outcomes if o.failure is not None]
    return sorted(failed, key=lambda o: (not o.rollback_problem, o.fate is Fate.ROLLED_BACK, o.change.address))


def _failure(outcome: Outcome, ink: Ink, log_file: str) -> Iterator[str]:
    change, cause = outcome.change, outcome.failure
    if outcome.rollback_problem:
        message = f"THE ROLLBACK FAILED and {change.address} does not serve"
        yield ink("Error", "red", "bold") + " " + ink(f"{message}: {visible(outcome.rollback_problem)}", "red", "bold")
    if cause is None:
        return
    message = visible(cause.message.removeprefix(f"{change.host}: "))
    yield ink("Error", "red", "bold") + " " + ink(f"{change.address}: {message}", "bold")
    if isinstance(cause, GateFailed):
        yield from _gate_failure(cause, ink)
    elif isinstance(cause, HookFailed):
        for line in cause.output[-LINES_WITHOUT:]:
            yield f"    {ink('|', 'blue')} {visible(line)}"
    elif cause.cause:
        yield f"  {ink('cause', 'bold')}  {visible(cause.cause)}"
        yield f"  {ink('fix', 'bold')}    {visible(cause.fix)}"
    elif isinstance(cause, PathFailed) and cause.next_step:
        yield f"  {ink('fix', 'bold')}    {visible(cause.next_step)}"
    if log_file:
        yield f"  {ink('log', 'bold')}    {log_file}"
    old = change.detail.serving
    if outcome.fate is Fate.ROLLED_BACK and old is not None:
        yield f"  {ink('now', 'bold')}    generation {old.generation} {_restored_text(outcome)}"
    elif outcome.left_behind:
        yield f"  {ink('now', 'bold')}    it was left partially applied; the next plan shows the remaining work"
    else:
        yield f"  {ink('now', 'bold')}    {_unchanged_text(change)}"


def _restored_text(outcome: Outcome) -> str:
    if outcome.unproven:
        return f"was started again, and {visible(outcome.unproven)}"
    return "serves again"


def _unchanged_text(change: Change) -> str:
    """The state after a failure that left nothing partially applied."""
    if change.action is Action.CREATE:
        return "no container of it is left, and everything else is unchanged"
    return "everything is unchanged"


def _gate_failure(cause: GateFailed, ink: Ink) -> Iterator[str]:
    yield f"  {ink('cause', 'bold')}  {visible(cause.cause) or 'no known cause; the last lines of its log:'}"
    if cause.fix:
        yield f"  {ink('fix', 'bold')}    {visible(cause.fix)}"
    for line in cause.messages[-(LINES_WITH_CAUSE if cause.cause else LINES_WITHOUT) :]:
        line = visible(line)  # noqa: PLW2901
        yield f"    {ink('|', 'blue')} {line if len(line) <= LINE_WIDTH else line[: LINE_WIDTH - 1] + '…'}"


def _host_failure(host: str, cause: CortexctlError, ink: Ink) -> Iterator[str]:
    yield ink("Error", "red", "bold") + " " + ink(visible(cause.message), "bold")
    yield f"  {ink('now', 'bold')}    nothing on {host} was touched after that"


def _recap(result: Result, seconds: float, next_step: str, ink: Ink) -> Iterator[str]:
    done = [o for o in result.outcomes if o.fate is Fate.DONE]
    if result.exit_code == 0:
        verbs = sorted({PAST_TENSE[o.change.action] for o in done})
        counts = [f"{sum(PAST_TENSE[o.change.action] == verb for o in done)} {verb}" for verb in verbs]
        yield f"{ink('Done', 'green', 'bold')}   {'   '.join(counts)}   in {show_seconds(seconds)}"
    else:
        counts = [ink(f"{result.count(f)} {f.value}", _COLOURS[f]) for f in Fate if result.count(f)]
        label = "Interrupted" if result.interrupted else "Result"
        spent = show_seconds(seconds)
        yield f"{ink(label, 'bold')}   {'   '.join(counts)}   in {spent}   exit code {result.exit_code}"
    if next_step:
        yield f"{ink('Next', 'bold')}   {next_step}"
