"""A drift report in Markdown, for an issue or a chat: bounded in size, with all foreign text escaped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from cortexctl import __version__
from cortexctl.plan.drift.finding import DriftReport, Finding, Kind
from cortexctl.render.drift.phrases import (
    MEANINGS,
    busy_text,
    finding_text,
    is_change,
    kinds_counted,
    next_steps,
    values,
)
from cortexctl.render.drift.terminal import blocks, is_shown, left_out, quiet_line
from cortexctl.render.markdown_text import code, text
from cortexctl.render.plan.folding import listed
from cortexctl.render.plan.outcome import counted
from cortexctl.render.style import Ink

ROWS = 100
"""Of each kind; the number of the others is given."""
FIELDS = 20
NAMED = 8
TEXT_LENGTH = 300
DOTS = {
    Kind.UNREACHABLE: "🔴",
    Kind.UNHEALTHY: "🔴",
    Kind.DRIFT: "🟠",
    Kind.PENDING: "🔵",
    Kind.ORPHAN: "🟡",
    Kind.UNMANAGED: "⚪",
}
_PLAIN = Ink(enabled=False)


def drift_markdown(report: DriftReport) -> str:
    """A headline, a table per kind with the next steps, and the parts that were not checked. At most about 300 kB."""
    parts = [_headline(report)]
    shown = [f for f in report.findings if is_shown(f, report)]
    if not shown and not report.busy:
        parts.append(text(quiet_line(report, _PLAIN), TEXT_LENGTH))
    for kind, findings in groupby(shown, key=lambda f: f.kind):
        parts.append("\n".join(_section(kind, list(findings), report)))
    parts.append("\n".join(_remarks(report)))
    parts.append(f"<sub>cortexctl {__version__} · counted: {_counts(report)}</sub>")
    return "\n\n".join(part for part in parts if part) + "\n"


def _headline(report: DriftReport) -> str:
    name = text(report.stack, 60) + (f" / {text(report.env, 60)}" if report.env else "")
    numbers = [
        f"{number} {kind.value}" for kind, number in kinds_counted(report) if number and kind is not Kind.UNMANAGED
    ]
    partial = f" (partial: {text(' '.join(report.selection), 200)})" if report.selection else ""
    return f"### cortexctl drift: {name} — {', '.join(numbers) or 'nothing found'}{partial}"


def _section(kind: Kind, findings: Sequence[Finding], report: DriftReport) -> Iterator[str]:
    yield f"**{DOTS[kind]} {kind.value}**: {MEANINGS[kind]}"
    yield ""
    yield "| where | what | next |"
    yield "| --- | --- | --- |"
    rows = blocks(findings)
    for subjects, same in rows[:ROWS]:
        what = [text(finding_text(f), TEXT_LENGTH) for f in same if not is_change(f)]
        changes = [f for f in same if is_change(f)]
        what += [_change(f) for f in changes[:FIELDS]]
        what += [f"and {len(changes) - FIELDS} more fields"] if len(changes) > FIELDS else []
        steps = next_steps(same, report)
        shown = [code(s, TEXT_LENGTH) if s.startswith("cortexctl") else text(s, TEXT_LENGTH) for s in steps]
        yield f"| {text(listed(subjects, NAMED), TEXT_LENGTH)} | {'<br>'.join(what)} | {'<br>'.join(shown)} |"
    if len(rows) > ROWS:
        yield ""
        yield f"and {len(rows) - ROWS} more rows: `cortexctl drift --format json` has them all"


def _change(f: Finding) -> str:
    was, now = values(f)
    return f"{code(f.path)} {text(was, 120)} → {text(now, 120)}"


def _remarks(report: DriftReport) -> Iterator[str]:
    for host in report.busy[:ROWS]:
        if host.busy:
            yield f"- {text(host.name, 80)} was not checked: {text(busy_text(host.busy), TEXT_LENGTH)}"
    for note in report.notes[:ROWS]:
        yield f"- {text(note.subject, 120)}: {text(note.text, TEXT_LENGTH)}"
    rest = list(left_out(report))
    if rest:
        yield f"- {text(listed(rest, 9), TEXT_LENGTH)}"


def _counts(report: DriftReport) -> str:
    return f"{counted(report.instances, 'instance')} on {counted(len(report.hosts), 'host')}"
