"""Writes docs/images/plan.svg, the README's picture: a real plan, in the terminal's colours (`make reference`).

The plan is that of tests/cases/plan/readme. The file is plain SVG text, so it is small and its text can be selected.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from pathlib import Path

from cortexctl.render.plan.terminal import plan_text
from cortexctl.render.style import STYLE, Ink
from tests.record_case import CASES, plan_of_case

REPO = Path(__file__).parent.parent
PICTURE = REPO / "docs" / "images" / "plan.svg"
CASE = CASES / "readme"

CHARACTER = 8.0
"""Width of one character in pixels. `textLength` holds every line to it, whatever font the reader has."""
LINE = 19
MARGIN = 22
TITLE_BAR = 38

CODES = {"1": "bold", "2": "dim", "31": "red", "32": "green", "33": "yellow", "34": "blue", "36": "cyan"}
CSS = """
  text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #d7dce2; }
  .bold { font-weight: bold; } .dim { fill: #8b949e; } .red { fill: #ff8e86; } .green { fill: #7ee787; }
  .yellow { fill: #f2cc60; } .blue { fill: #79c0ff; } .cyan { fill: #76e3ea; }
"""


def picture() -> str:
    """The plan of the case as the terminal shows it, as SVG."""
    lines = ["\x1b[1m$ cortexctl plan\x1b[0m", *plan_text(plan_of_case(CASE), Ink(enabled=True)).splitlines()]
    width = round(2 * MARGIN + CHARACTER * max(len(STYLE.sub("", line)) for line in lines))
    height = TITLE_BAR + LINE * len(lines) + MARGIN
    rows = "\n".join(row(line, TITLE_BAR + LINE * number) for number, line in enumerate(lines, 1) if line)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' role="img" aria-label="A plan, as cortexctl plan prints it">\n<style>{CSS}</style>\n'
        f'<rect width="{width}" height="{height}" rx="8" fill="#161b22"/>\n'
        + "".join(
            f'<circle cx="{MARGIN + 18 * n}" cy="20" r="5.5" fill="{fill}"/>\n'
            for n, fill in enumerate(("#ff5f57", "#febc2e", "#28c840"))
        )
        + f"{rows}\n</svg>\n"
    )


def row(line: str, y: int) -> str:
    """One line of the terminal: each run of one style is a `text` at its own column."""
    texts = []
    for column, text, classes in runs(line):
        inner = text.lstrip(" ")
        start = column + len(text) - len(inner)
        inner = inner.rstrip(" ")
        if inner:
            named = f' class="{classes}"' if classes else ""
            texts.append(
                f'<text x="{MARGIN + CHARACTER * start:g}" y="{y}" textLength="{CHARACTER * len(inner):g}"{named}'
                f' xml:space="preserve">{escape(inner, quote=False)}</text>'
            )
    return "".join(texts)


def runs(line: str) -> Iterator[tuple[int, str, str]]:
    """(column, text, classes) of each part of a line that has one style."""
    column, classes = 0, ""
    for part in STYLE.split(line):
        if STYLE.fullmatch(part):
            classes = " ".join(CODES[code] for code in re.findall(r"\d+", part) if code != "0")
        elif part:
            yield column, part, classes
            column += len(part)


if __name__ == "__main__":
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(picture())
