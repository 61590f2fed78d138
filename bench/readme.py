"""The main lines of bench/results.md in the project's README: `python -m bench.readme` writes them again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from bench.checkouts import REPO

MAIN = (
    "`--version`",
    "no-op plan",
    "five changed",
    "plan of 1,000 hosts, CPU",
    "`status` of 10 hosts, CPU",
    "one dead",
    "create",
)
"""How the lines begin."""
SECTION = re.compile(r"(?m)^## How fast\n(?:(?!## ).*\n)*")


def section(results: str) -> str:
    """The section of the README, from the text of results.md. Raises ValueError without a table."""
    date = re.search(r"# Results of (\S+)", results)
    machine = re.search(r"(\d+ cores)", results)
    table = list(_main_lines(results))
    if date is None or machine is None or len(table) < 3:
        raise ValueError("the results have no table of a full run")
    head = f"`make bench` on {machine.group()}, {date.group(1)}: medians of ratios, CPU of the client unless named"
    return "\n".join(["## How fast", "", f"{head} ([method, all rows](bench/README.md)).", "", *table, "", ""])


def _main_lines(results: str) -> Iterator[str]:
    """The head of the first table, and its main lines, without the padding."""
    first = results.partition("## All rows")[0]
    lines = [line for line in first.splitlines() if line.startswith("|")]
    for line in [*lines[:2], *(line for line in lines[2:] if line[2:].startswith(MAIN))]:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        yield "| " + " | ".join("---" if set(cell) == {"-"} else cell for cell in cells) + " |"


def main() -> None:
    readme = REPO / "README.md"
    results = Path(__file__).with_name("results.md").read_text(encoding="utf-8")
    written = section(results)
    readme.write_text(SECTION.sub(lambda _: written, readme.read_text(encoding="utf-8"), count=1), encoding="utf-8")


if __name__ == "__main__":
    main()
