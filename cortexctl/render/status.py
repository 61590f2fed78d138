"""The fleet as a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cortexctl.render.ink import Ink

HEADINGS = ("INSTANCE", "STATE", "GEN", "VLLM", "SERVES", "ENDPOINT")


@dataclass(frozen=True, slots=True)
class Row:
    """One instance, or a host that cannot be read."""

    address: str
    state: str
    generation: int = 0
    vllm: str = ""
    serves_names: tuple[str, ...] = ()
    endpoint: str = ""
    detail: str = ""

    @property
    def serves(self) -> bool:
        return self.state == "healthy"

    def as_dict(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "serves_names": list(self.serves_names)}


def status_text(stack: str, rows: Sequence[Row], busy: Sequence[str], ink: Ink) -> str:
    """One line an instance, columns as wide as they must be; then how many of them serve, and who is at work."""
    table = [HEADINGS, *(_cells(r) for r in rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(HEADINGS))]
    lines = [ink("  ".join(h.ljust(w) for h, w in zip(HEADINGS, widths, strict=True)).rstrip(), "dim")]
    for row, cells in zip(rows, table[1:], strict=True):
        padded = [c.ljust(w) for c, w in zip(cells, widths, strict=True)]
        padded[1] = ink(padded[1], "green" if row.serves else "red")
        note = ink(f"  {row.detail}", "yellow") if row.detail else ""
        lines.append(("  ".join(padded) + note).rstrip())
    serving = sum(r.serves for r in rows)
    lines.append("")
    lines.append(f"{serving} of {len(rows)} instances of stack {stack} serve.")
    lines += [ink(line, "yellow") for line in busy]
    return "\n".join(lines) + "\n"


def _cells(row: Row) -> tuple[str, ...]:
    generation = str(row.generation) if row.generation else "-"
    first, *more = row.serves_names or ("-",)
    names = f"{first} +{len(more)}" if more else first
    return (row.address, row.state, generation, row.vllm or "-", names, row.endpoint or "-")
