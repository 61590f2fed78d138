"""The difference of two texts, in the format of `patch`."""

from __future__ import annotations

import difflib
import re


def patch_text(path: str, before: str, after: str, *, context: int = 3) -> str:
    """A unified diff; empty when the texts are equal. `context`: lines around a change; 0 if they may be secret."""
    lines = []
    for line in difflib.unified_diff(_lines(before), _lines(after), path, path, n=context):
        text = line.removesuffix("\n")
        lines.append(text)
        if text == line:
            lines.append("\\ No newline at end of file")
    return "".join(f"{line}\n" for line in lines)


def _lines(text: str) -> list[str]:
    """Lines with their ends. str.splitlines splits at more characters than TOML and JSON do."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)
