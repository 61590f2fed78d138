"""The table as Markdown. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from bench.figures import Figure
from bench.measuring import Usage
from bench.recording import Traffic
from bench.rows import Row


def full_table(rows: Sequence[Row]) -> str:
    """Every column. A cell `a / b` shows the work and its reference."""
    with_before = any(row.before for row in rows)
    heads = ["work", "against", *(["before"] if with_before else []), "now", "goal", ""]
    heads += ["CPU ms", "wall ms", "requests", "kB", "peak MiB"]
    return markdown(heads, [_full(row, with_before=with_before) for row in rows])


def short_table(rows: Sequence[Row]) -> str:
    """One line for each headline, without ranges: for the README. Cells have one value for each row of the headline."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row.headline:
            groups.setdefault(row.headline, []).append(row)
    with_before = any(row.before for row in rows)
    heads = ["", *(["before"] if with_before else []), "now", "goal", ""]
    return markdown(heads, [_short(name, of, with_before=with_before) for name, of in groups.items()])


def _full(row: Row, *, with_before: bool) -> list[str]:
    def usages(of: Callable[[Usage], str]) -> str:
        return _pair(of(row.usage) if row.usage else "", of(row.reference) if row.reference else "")

    def traffics(of: Callable[[Traffic], str]) -> str:
        return _pair(of(row.traffic) if row.traffic else "", of(row.reference_traffic) if row.reference_traffic else "")

    return [
        row.work,
        row.against,
        *([_text(row.before)] if with_before else []),
        _text(row.figure),
        _goal(row),
        row.verdict,
        usages(lambda u: f"{u.cpu * 1000:,.0f}"),
        usages(lambda u: f"{u.wall * 1000:,.0f}"),
        traffics(lambda t: f"{t.requests:,}"),
        traffics(lambda t: f"{t.sent / 1000:,.0f}"),
        usages(lambda u: f"{u.peak:,.0f}"),
    ]


def _short(headline: str, rows: Sequence[Row], *, with_before: bool) -> list[str]:
    before = [" / ".join(_median(row.before) for row in rows)] if with_before else []
    goals, verdicts = [_goal(row) for row in rows], {row.verdict for row in rows}
    verdict = verdicts.pop() if len(verdicts) == 1 else "partly met"
    now = " / ".join(_median(row.figure) for row in rows)
    return [headline, *before, now, goals[0] if len(set(goals)) == 1 else " / ".join(goals), verdict]


def _text(figure: Figure | None) -> str:
    return figure.text if figure else "-"


def _median(figure: Figure | None) -> str:
    return f"{figure.shown}{_unit(figure)}" if figure else "-"


def _goal(row: Row) -> str:
    if row.goal is None:
        return ""
    return f"{row.goal:g}{_unit(row.figure)}"


def _unit(figure: Figure | None) -> str:
    return f" {figure.unit}" if figure and figure.unit not in {"", "x"} else ""


def _pair(work: str, reference: str) -> str:
    return f"{work} / {reference}" if work and reference else work


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Aligned, so that it can be read on a terminal."""
    cells = [list(heads), *map(list, rows)]
    widths = [max(3, *(len(line[column]) for line in cells)) for column in range(len(heads))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(lines) + "\n"
