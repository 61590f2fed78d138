# ruff: noqa: INP001 - scripts beside each other, not a package
"""refusal.py SENTENCE: what a command said (standard input) as Markdown that shows it and does nothing else."""

from __future__ import annotations

import re
import sys

FIRST, LAST, LINE = 60, 30, 200
"""Lines that are shown, and characters of one: whoever needs more reads the job's log."""
LEAST_FENCE = 3
FENCES = re.compile(r"`+")
COMMAND = re.compile(r"^(\s*)/", re.MULTILINE)
GAP = "\N{ZERO WIDTH SPACE}"


def refusal(sentence: str, said: str) -> str:
    body = visible("\n".join(clipped(said.expandtabs(4).strip("\n").split("\n"))))
    fence = "`" * max(LEAST_FENCE, 1 + max(map(len, FENCES.findall(body)), default=0))
    return f"{sentence}\n\n{fence}text\n{body}\n{fence}\n"


def clipped(lines: list[str]) -> list[str]:
    """The beginning, where the first error is, and the end, where the sum is."""
    short = [line if len(line) <= LINE else f"{line[:LINE]}…" for line in lines]
    left = len(short) - FIRST - LAST
    if left <= 0:
        return short
    return [*short[:FIRST], f"… {left} lines are left out; the job's log has them …", *short[-LAST:]]


def visible(said: str) -> str:
    """No character with an effect instead of a form. GitLab obeys lines such as `/merge`, in some places even here."""
    plain = "".join(c if c == "\n" or c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in said)
    return COMMAND.sub(rf"\1{GAP}/", plain)


if __name__ == "__main__":
    text = sys.stdin.buffer.read().decode("utf-8", "replace")
    sys.stdout.buffer.write(refusal(sys.argv[1], text).encode())
