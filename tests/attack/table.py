"""What was tried and what came of it, as a table that can be read in a terminal and pasted into a report."""

from __future__ import annotations

from collections.abc import Sequence

from tests.attack.finds import Row


def table(rows: Sequence[Row]) -> str:
    """A row for each attack; faults are set off."""
    lines = ["| what | tried | result |", "| --- | --- | --- |"]
    lines += [f"| {_cell(row.what)} | {_cell(row.tried)} | {_cell(row.result)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")
