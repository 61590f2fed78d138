"""The tables as Markdown. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.memory import terms
from bench.memory.errors import Error
from bench.memory.terms import Figures, Term
from bench.table import markdown

REASON = 110
"""Characters of a reason."""


def by_term(errors: Sequence[Error], of: Sequence[Term], before: Sequence[Error] = ()) -> str:
    now, then = terms.by_term(errors, of), terms.by_term(before, of)
    heads = ["", "n", *(["before: median", "p90", "max"] if before else []), "median", "p90", "max", "goal", ""]
    rows = []
    for term in of:
        if term.name not in now:
            continue
        earlier = _cells(then.get(term.name), term) if before else []
        rows.append(
            [_name(term), str(now[term.name].n), *earlier, *_cells(now[term.name], term), *_goal(now[term.name], term)]
        )
    return markdown(heads, rows)


def by_family(errors: Sequence[Error], of: Sequence[Term], before: Sequence[Error] = ()) -> str:
    now, then = terms.by_family([e for e in errors if e.family], of), terms.by_family(before, of)
    used = [term for term in of if any(term.name in figures for figures in now.values())]
    rows = []
    for family, figures in now.items():
        cells = []
        for term in used:
            short = _short(figures.get(term.name), term)
            earlier = _short(then.get(family, {}).get(term.name), term)
            cells.append(f"{earlier} -> {short}" if before and earlier != short else short)
        rows.append([family, str(max(f.n for f in figures.values())), *cells])
    return markdown(["family", "n", *map(_name, used)], rows)


def worst(errors: Sequence[Error], of: Sequence[Term]) -> str:
    rows = [
        [_name(term) if not place else "", error.case, _signed(error.value, term), _clipped(error.reason)]
        for term in of
        for place, error in enumerate(terms.worst(errors, term))
    ]
    return markdown(["", "case", "error", "numbers"], rows)


def cases(errors: Sequence[Error], of: Sequence[Term], text: str) -> str:
    """Every term of the starts whose name or family has this text, signed."""
    chosen = [e for e in errors if e.family and (text in e.case or text in e.family)]
    names = list(dict.fromkeys(e.case for e in chosen))
    used = [term for term in of if any(e.term == term.name for e in chosen)]
    at_case = {(e.case, e.term): e for e in chosen}
    rows = []
    for name in names:
        at = (at_case.get((name, term.name)) for term in used)
        rows.append([name, *(_signed(e.value, term) if e else "" for e, term in zip(at, used, strict=True))])
    return markdown(["case", *map(_name, used)], rows)


def _name(term: Term) -> str:
    return f"{term.name}, {term.unit}" if term.unit else term.name


def _cells(figures: Figures | None, term: Term) -> list[str]:
    """Median, p90 and largest, or how many are right."""
    if figures is None:
        return ["", "", ""]
    if term.unit:
        return [_number(value, term) for value in (figures.median, figures.p90, figures.max)]
    return [_short(figures, term), f"{figures.right:.1%}", ""]


def _short(figures: Figures | None, term: Term) -> str:
    if figures is None:
        return ""
    if term.unit:
        return f"{_number(figures.median, term)} / {_number(figures.max, term)}"
    return f"{round(figures.right * figures.n)} of {figures.n}"


def _goal(figures: Figures, term: Term) -> list[str]:
    parts = list(_goals(term))
    return [", ".join(parts), ("met" if figures.goals_met(term) else "missed") if parts else ""]


def _goals(term: Term) -> Iterator[str]:
    for name, most in term.goals.items():
        yield f"{name} {most:g}"
    if term.right is not None:
        yield f"{term.right:.0%}"


def _number(value: float, term: Term) -> str:
    return f"{value:.2f}" if term.unit != "GiB" else f"{value:.3f}"


def _signed(value: float, term: Term) -> str:
    if not term.unit:
        return "wrong" if value else "right"
    return f"{value:+.2f} %" if term.unit == "%" else f"{value:+.3f} {term.unit}"


def _clipped(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= REASON else f"{line[: REASON - 1]}…"
