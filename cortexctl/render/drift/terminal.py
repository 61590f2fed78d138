"""A drift report for a terminal, or for the mail of a cron job: a single line if nothing is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from cortexctl.plan.drift.finding import Code, DriftReport, Finding, Kind
from cortexctl.render.drift.phrases import (
    COLOURS,
    MEANINGS,
    busy_text,
    finding_text,
    is_change,
    kinds_counted,
    next_steps,
    values,
)
from cortexctl.render.plan.folding import listed
from cortexctl.render.plan.outcome import counted
from cortexctl.render.sanitise import all_visible
from cortexctl.render.style import Ink

MARGIN = "        "
NAMED = 2
"""Subjects of a block that are named; a text that is the same for many is written once."""
LISTED = 20
"""Lines that are not about findings."""


def drift_text(report: DriftReport, ink: Ink) -> str:
    """Findings by kind, each with its next steps; then the counts. Ends with a newline."""
    report = all_visible(report)
    shown = [f for f in report.findings if is_shown(f, report)]
    if not shown and not report.busy:
        return quiet_line(report, ink) + "\n" + _remarks(report, ink)
    parts = [_header(report, ink)]
    for kind, findings in groupby(shown, key=lambda f: f.kind):
        parts.append("\n".join(_section(kind, list(findings), report, ink)))
    remarks = _remarks(report, ink)
    parts += [remarks.rstrip("\n")] if remarks else []
    parts.append(_recap(report, ink))
    return "\n\n".join(parts) + "\n"


def quiet_line(report: DriftReport, ink: Ink) -> str:
    """The line for a run without findings, with the parts that were not checked in brackets."""
    hosts = counted(len(report.hosts) - len(report.unreachable) - len(report.busy), "host")
    head = "No drift." if not report.kinds else f"No {listed(report.kinds, 9)}."
    runs = "runs" if report.instances == 1 else "run"
    body = f"{counted(report.instances, 'instance')} on {hosts} {runs} as applied and as declared."
    if report.kinds:
        body = f"{counted(report.instances, 'instance')} on {hosts} checked."
    shallow = () if report.deep or report.kinds else ("limits and restart policies not compared: --deep",)
    rest = listed([*shallow, *left_out(report)], 9)
    return f"{ink(head, 'green', 'bold')} {body}" + (f" ({rest})" if rest else "")


def left_out(report: DriftReport) -> Iterator[str]:
    """The findings that are not shown, and the parts that were not checked."""
    others = len(report.of(Kind.UNMANAGED))
    if others and Kind.UNMANAGED not in report.kinds:
        yield f"{counted(others, 'unmanaged container')}, not touched"
    if not report.health_checked:
        yield "server health not checked"
    if report.unchecked:
        first, more = report.unchecked[0], len(report.unchecked) - 1
        yield f"health of {first.subject} not checked: {first.why}" + (f", and of {more} more" if more else "")
    if report.ignored:
        yield f"{report.ignored} ignored"
    if report.unknown_secrets:
        yield f"{counted(report.unknown_secrets, 'secret')} without a value here, not compared"


def is_shown(f: Finding, report: DriftReport) -> bool:
    """Containers of others are only counted, unless they are requested or block ours."""
    return f.kind is not Kind.UNMANAGED or Kind.UNMANAGED in report.kinds or f.code is not Code.FOREIGN


def _header(report: DriftReport, ink: Ink) -> str:
    source = f"({report.stack_path})" if report.stack_path else ""
    lost = f", {len(report.unreachable)} unreachable" if report.unreachable else ""
    return "   ".join(
        part
        for part in (
            f"{ink(f'Stack {report.stack}', 'bold')} {source}".rstrip(),
            ink(f"env {report.env}", "bold") if report.env else "",
            ink(f"partial ({' '.join(report.selection)})", "yellow", "bold") if report.selection else "",
            counted(len(report.hosts) - len(report.unreachable), "host") + lost,
            counted(report.instances, "instance"),
            "deep" if report.deep else "",
        )
        if part
    )


def _section(kind: Kind, findings: Sequence[Finding], report: DriftReport, ink: Ink) -> Iterator[str]:
    yield f"{ink(kind.value, COLOURS[kind], 'bold')}   {ink(MEANINGS[kind], 'dim')}"
    for subjects, same in blocks(findings):
        changes = [f for f in same if is_change(f)]
        sentences = [finding_text(f) for f in same if not is_change(f)]
        title = ink(listed(subjects, NAMED), COLOURS[kind], "bold")
        fields = f"{counted(len(changes), 'field')} {'differs' if len(changes) == 1 else 'differ'}"
        yield f"  {title}   " + "; ".join(sentences or [fields])
        width = max((len(f.path) for f in changes), default=0)
        for f in changes:
            was, now = values(f)
            arrow = f"{ink(was, 'red')} {ink('->', 'dim')} {ink(now, 'green')}"
            yield f"      {ink('~', 'yellow')} {f.path:<{width}}   {arrow}"
        likewise = "   (likewise for the others)" if len(subjects) > 1 else ""
        yield from (f"{MARGIN}{ink('next', 'dim')}  {step}{likewise}" for step in next_steps(same, report))


def blocks(findings: Sequence[Finding]) -> list[tuple[list[str], list[Finding]]]:
    """(subjects, the findings of the first): subjects with the same findings are one block."""
    by_subject: dict[str, list[Finding]] = {}
    for f in findings:
        by_subject.setdefault(f.subject, []).append(f)
    same: dict[tuple[str, ...], list[str]] = {}
    for subject, own in by_subject.items():
        same.setdefault(tuple(f"{f.code} {finding_text(f)}" for f in own), []).append(subject)
    return [(subjects, by_subject[subjects[0]]) for subjects in same.values()]


def _remarks(report: DriftReport, ink: Ink) -> str:
    lines = [f"{host.name}   not checked: {busy_text(host.busy)}" for host in report.hosts if host.busy]
    lines += [f"{note.subject}   {note.text}" for note in report.notes]
    if len(lines) > LISTED:
        lines = [*lines[:LISTED], f"and {len(lines) - LISTED} more: --format json has them all"]
    return "".join(ink(line, "dim") + "\n" for line in lines)


def _instances(report: DriftReport, kind: Kind) -> int:
    """What a person counts: an instance with several changed fields is one."""
    return len({f.subject for f in report.of(kind)})


def _recap(report: DriftReport, ink: Ink) -> str:
    listed_apart = Kind.UNMANAGED not in report.kinds
    counted_here = [(k, n) for k, n in kinds_counted(report) if n and not (k is Kind.UNMANAGED and listed_apart)]
    numbers = [ink(f"{_instances(report, kind)} {kind.value}", COLOURS[kind]) for kind, _ in counted_here]
    line = ink("Found", "bold") + "   " + ("   ".join(numbers) or "nothing on the hosts that were checked")
    rest = list(left_out(report))
    return line + (f"   ({listed(rest, 9)})" if rest else "")
