"""The texts for findings, in one place, so that all views agree: the finding, and its next step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cortexctl.engines.base import HIDDEN
from cortexctl.observed.health import HealthOutcome
from cortexctl.observed.lock_holder import LockInfo
from cortexctl.plan.drift.finding import Code, DriftReport, Finding, Kind
from cortexctl.render.plan.phrases import is_or_has, value_text
from cortexctl.text.invocation import quoted
from cortexctl.text.units import show_bytes

MEANINGS = {
    Kind.UNREACHABLE: "the host cannot be read",
    Kind.UNHEALTHY: "it runs but does not serve",
    Kind.DRIFT: "differs from the last apply",
    Kind.PENDING: "the stack differs from the last apply",
    Kind.ORPHAN: "ours, but no longer in the stack",
    Kind.UNMANAGED: "not ours, not touched",
}
COLOURS = {
    Kind.UNREACHABLE: "red",
    Kind.UNHEALTHY: "red",
    Kind.DRIFT: "yellow",
    Kind.PENDING: "blue",
    Kind.ORPHAN: "yellow",
    Kind.UNMANAGED: "dim",
}
_ONLY_DRIFT = ("--only", "drift")
_NEEDS_REPLACEMENT = {Code.NOT_PUBLISHED, Code.CHANGED, Code.ROLLED_BACK}
_HEALTH_TEXTS = {
    HealthOutcome.REFUSED.value: "its port refuses connections; it may still be loading its model",
    HealthOutcome.RESET.value: "it closes the connection; it may still be loading its model",
    HealthOutcome.SILENT.value: "/health accepts the request and does not answer",
}
_CODES = {
    "0": "vLLM exits with 0 if its engine died, and also if it was stopped",
    "137": "killed: by hand, by the kernel because memory ran out, or because it did not stop in time",
    "139": "it crashed",
    "143": "ended by a signal before it served",
}


def kinds_counted(report: DriftReport) -> list[tuple[Kind, int]]:
    """The number of findings of each requested kind, zeros included."""
    return [(kind, len(report.of(kind))) for kind in Kind if report.shows(kind)]


def finding_text(f: Finding) -> str:
    """The finding in a sentence, without its subject."""
    return _TEXTS[f.code](f)


def is_change(f: Finding) -> bool:
    """Whether the finding is a changed field, which views show as a change."""
    return f.code in {Code.UPDATED, Code.CHANGED, Code.EDITED}


def values(f: Finding) -> tuple[str, str]:
    """(before, now) of a field: applied and observed, or applied and desired. A secret value is not shown."""
    if HIDDEN in (f.expected, f.actual) and None not in (f.expected, f.actual):
        known = _value(f.path, f.expected)
        return known, "(another value, not shown)"
    return _value(f.path, f.expected), _value(f.path, f.actual)


def next_step(f: Finding, report: DriftReport) -> str:
    """The fix: a command if there is one. Empty if nothing needs to be done."""
    command, at = report.invocation.command, ("--target", f.subject)
    match f.code:
        case Code.STOPPED | Code.REMOVED | Code.RENAMED | Code.DISCONNECTED | Code.UPDATED:
            return command("apply", options=(_ONLY_DRIFT, at))
        case Code.NOT_PUBLISHED | Code.CHANGED | Code.ROLLED_BACK:
            return command("apply", options=(("--replace", f.subject), at))
        case Code.UNFINISHED | Code.LEFTOVER | Code.NEW | Code.TO_ADOPT | Code.EDITED | Code.MOVED:
            return command("plan", options=(at,))
        case Code.NOT_SERVING | Code.RESTARTING:
            return command("logs", f.subject)
        case Code.NOT_IN_STACK | Code.DISABLED:
            lift = (("--unprotect", f.subject),) if f.detail else ()
            return command("apply", options=(at, *lift))
        case Code.RETAGGED:
            again = command("apply", options=(("--replace", f.subject), at))
            return f"on {f.host}: docker tag {_id(f.expected)} {quoted(f.detail)}; or run the new image: {again}"
        case _:
            return _by_hand(f)


def next_steps(findings: Sequence[Finding], report: DriftReport) -> list[str]:
    """The steps for all findings of one subject. A replacement fixes the others, too."""
    steps = [s for s in dict.fromkeys(next_step(f, report) for f in findings) if s]
    if any(f.code in _NEEDS_REPLACEMENT for f in findings):
        steps = [s for s in steps if " ".join(_ONLY_DRIFT) not in s]
    return steps


def _by_hand(f: Finding) -> str:
    """The fixes that no command of cortexctl makes."""
    match f.code:
        case Code.UNREADABLE_HOST:
            return f.detail or f"check that the daemon of {f.host} runs and can be reached from here"
        case Code.RETAINED_RUNS:
            return f"on {f.host}: docker stop {quoted(f.container)}"
        case Code.DUPLICATE:
            return f"on {f.host}: docker rm -f {quoted(f.container)}, if it is not needed"
        case Code.UNREADABLE_SPEC:
            return "if a newer cortexctl wrote it, upgrade; otherwise remove the container"
        case Code.OTHER_HOST:
            return f'give the host the name "{f.actual}" again; or, if two hosts are the same daemon, keep only one'
        case Code.NAME_TAKEN | Code.PORT_TAKEN | Code.LEFT_ALONE:
            return "remove or move it yourself: cortexctl never touches it"
        case _:
            return ""


def busy_text(holder: LockInfo) -> str:
    return f"{holder.who} on {holder.machine_name} is applying (pid {holder.pid}, run {holder.run})"


def _value(path: str, value: Any) -> str:
    if value == HIDDEN:
        return "(set, not shown)"
    if path == "memory_reservation" and isinstance(value, int):
        return show_bytes(value)
    return value_text(path if not isinstance(value, str) else "", value)


def _protected(f: Finding) -> str:
    return " and protected" if f.detail else ""


def _why(state: str) -> str:
    """The possible meaning of an exit code."""
    meaning = _CODES.get(state.rpartition(" ")[2]) if "code" in state else ""
    return f" ({meaning})" if meaning else ""


def _by_run(run: str) -> str:
    return f" (applied by run {run})" if run else ""


def _id(image: Any) -> str:
    return str(image).removeprefix("sha256:")[:12]


def _not_serving(f: Finding) -> str:
    outcome = _HEALTH_TEXTS.get(str(f.actual), f"/health answers {f.actual}")
    return outcome + (f", and it was {f.detail}" if f.detail.startswith("restarted") else "")


def _changed(f: Finding) -> str:
    return f"{f.path}   {' -> '.join(values(f))}"


_TEXTS: dict[Code, Callable[[Finding], str]] = {
    Code.UNREADABLE_HOST: lambda f: str(f.actual),
    Code.NOT_SERVING: _not_serving,
    Code.RESTARTING: lambda f: "it restarts again and again" + (f" ({f.actual})" if f.actual != "restarting" else ""),
    Code.STOPPED: lambda f: f"it {is_or_has(str(f.actual))}{_why(str(f.actual))}",
    Code.REMOVED: lambda f: f"{f.expected} is gone{_by_run(f.detail)}",
    Code.RENAMED: lambda f: f"it was renamed by hand, from {f.expected} to {f.actual}",
    Code.DISCONNECTED: lambda f: f"it is not on its network {f.expected}" + (f" (on {f.actual})" if f.actual else ""),
    Code.NOT_PUBLISHED: lambda f: f"it does not publish {f.expected}" + (f", but {f.actual}" if f.actual else ""),
    Code.UNFINISHED: lambda f: f"run {f.detail or 'unknown'} did not finish: {f.container} {is_or_has(str(f.actual))}",
    Code.LEFTOVER: lambda f: f"run {f.detail or 'unknown'} left {f.container} behind; it {is_or_has(str(f.actual))}",
    Code.RETAINED_RUNS: lambda f: f"the retained container {f.container} is {f.actual}, and should be stopped",
    Code.DUPLICATE: lambda f: f"{f.container} also has its labels, under a name that cortexctl does not use",
    Code.ROLLED_BACK: lambda f: f"generation {f.actual} serves instead of {f.expected}{_by_run(f.detail)}",
    Code.UNREADABLE_SPEC: lambda f: f"the recorded spec of {f.container} cannot be read: {f.detail}",
    Code.UPDATED: _changed,
    Code.CHANGED: _changed,
    Code.RETAGGED: lambda f: (
        f"the tag {f.detail} now names another image: {_id(f.actual)}, while {_id(f.expected)} runs"
    ),
    Code.NEW: lambda _: "it is in the stack but not applied yet",
    Code.TO_ADOPT: lambda f: f"the stack adopts {f.container} for it, which is not applied yet",
    Code.EDITED: _changed,
    Code.MOVED: lambda f: f"it was called {f.detail}, and its container still has that name",
    Code.NOT_IN_STACK: lambda f: f"{f.container} {is_or_has(str(f.actual))}{_protected(f)}",
    Code.DISABLED: lambda f: f"{f.container} {is_or_has(str(f.actual))}{_protected(f)}; it is disabled in the stack",
    Code.OTHER_HOST: lambda f: f'it was created for the host "{f.actual}"',
    Code.FOREIGN: lambda f: f"it {is_or_has(str(f.actual))}" + (f', of the stack "{f.detail}"' if f.detail else ""),
    Code.LEFT_ALONE: lambda f: f.detail,
    Code.NAME_TAKEN: lambda f: f"it has the name that {f.expected} needs",
    Code.PORT_TAKEN: lambda f: f"it publishes {f.actual}, which {f.expected} needs",
}
"""A test checks that every code has a text."""
