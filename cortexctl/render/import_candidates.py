"""Containers that run vLLM and that no stack created, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from cortexctl.operations.results import ImportCandidate
from cortexctl.render.sanitise import visible
from cortexctl.render.style import Ink
from cortexctl.text.invocation import Invocation

HEADINGS = ("CONTAINER", "IMAGE", "MODEL", "STATE", "IMPORT")


def imports_text(host: str, rows: Sequence[ImportCandidate], run: Invocation, ink: Ink) -> str:
    """`run`: the run, for the next command."""
    if not rows:
        return f"{host}: no container runs vLLM outside a stack.\n"
    table = [HEADINGS, *(_cells(r) for r in rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(HEADINGS))]
    padded = [[c.ljust(w) for c, w in zip(cells, widths, strict=True)] for cells in table]
    lines = [ink("  ".join(padded[0]).rstrip(), "dim")]
    for row, cells in zip(rows, padded[1:], strict=True):
        cells[-1] = ink(cells[-1].rstrip(), "red" if row.reasons else "green")
        lines.append("  ".join(cells))
    lines += [f"\n{visible(r.container)} cannot be adopted as it is:\n{_list(r.reasons)}" for r in rows if r.reasons]
    first = next((r for r in rows if not r.reasons), None)
    if first is not None:
        lines.append(f"\nNext   {run.command('import', host, first.container)}")
    return "\n".join(lines) + "\n"


def _list(reasons: Sequence[str]) -> str:
    return "\n".join(f"  - {visible(reason)}" for reason in reasons)


def _cells(row: ImportCandidate) -> tuple[str, ...]:
    adoptable = "no" if row.reasons else f"as {row.name}"
    return tuple(visible(c) for c in (row.container, row.image or "-", row.model or "-", row.state, adoptable))
