# ruff: noqa: INP001 - separate scripts, not a package
"""refusal.py SENTENCE: the output of a command (standard input) as Markdown that has no other effect."""

from __future__ import annotations

import re
import sys

FIRST, LAST, LINE = 60, 30, 200
"""Lines that are shown, and characters per line. The log of the job has the rest."""
LEAST_FENCE = 3
FENCES = re.compile(r"`+")
COMMAND = re.compile(r"^(\s*)/", re.MULTILINE)
GAP = "\N{ZERO WIDTH SPACE}"


def refusal(sentence: str, output: str) -> str:
    body = visible("\n".join(clipped(output.expandtabs(4).strip("\n").split("\n"))))
    fence = "`" * max(LEAST_FENCE, 1 + max(map(len, FENCES.findall(body)), default=0))
    return f"{sentence}\n\n{fence}text\n{body}\n{fence}\n"


def clipped(lines: list[str]) -> list[str]:
    """The beginning, which has the first error, and the end, which has the sum."""
    short = [line if len(line) <= LINE else f"{line[:LINE]}…" for line in lines]
    left = len(short) - FIRST - LAST
    if left <= 0:
        return short
    return [*short[:FIRST], f"… {left} lines are left out; the job's log has them …", *short[-LAST:]]


def visible(output: str) -> str:
    """Only printable characters. GitLab runs lines such as `/merge`, in some places even in a code block."""
    plain = "".join(c if c == "\n" or c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in output)
    return COMMAND.sub(rf"\1{GAP}/", plain)


if __name__ == "__main__":
    text = sys.stdin.buffer.read().decode("utf-8", "replace")
    sys.stdout.buffer.write(refusal(sys.argv[1], text).encode())
