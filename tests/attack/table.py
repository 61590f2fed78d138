"""The tries and their results, as a table that can be read in a terminal and pasted into a report."""

from __future__ import annotations

from collections.abc import Sequence

from tests.attack.finds import Row


def table(rows: Sequence[Row]) -> str:
    """A row for each attack."""
    lines = ["| what | tried | result |", "| --- | --- | --- |"]
    lines += [f"| {_cell(row.what)} | {_cell(row.tried)} | {_cell(row.result)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def report(row: Row) -> str:
    """The message of a failed test: the row, and the first find of each kind."""
    first = {find.kind: find for find in reversed(row.finds)}
    firsts = "\n\n".join(f"{find.name}: {kind}\n{find.detail[:2000]}" for kind, find in first.items())
    return f"{row.what}\n{row.tried}\n{row.result}\n\n{firsts}"
