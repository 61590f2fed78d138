"""What a forge makes of Markdown."""

from __future__ import annotations

import re

from markdown_it import MarkdownIt

COMMONMARK = MarkdownIt("commonmark", {"html": True}).enable("table")


def assert_fences(shown: str) -> None:
    """Opened and closed in turn, and a code block a block of details."""
    fences = re.findall(r"^(`{3,})(diff)?$", shown, re.MULTILINE)
    assert len(fences) % 2 == 0
    opening = [(a, b) for (a, b) in zip(fences[::2], fences[1::2], strict=True) if (a[0], b[1]) != (b[0], "")]
    assert opening == []
    code_blocks = [t for t in COMMONMARK.parse(shown) if t.type == "fence"]
    assert len(code_blocks) == shown.count("<details><summary>") == len(re.findall("^</details>$", shown, re.MULTILINE))
