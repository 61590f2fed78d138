"""Shortens long texts: texts from others have any length, and what we show or search must not."""

from __future__ import annotations

import re

LONGEST_TEXT = 2_000
"""The most characters of a foreign text in a message, an event or a note."""
_EDGE = re.compile(r"[\s'\"`,;()\[\]{}=]")
_WINDOW = 4_000
"""Characters in which the edge of a word is searched."""
_MARK_ROOM = 50


def shortened(text: str, most: int = LONGEST_TEXT, *, left_out: int = 0) -> str:
    """At most this many characters (100 or more): both ends, and between them the number of characters cut. `left_out`
    counts characters of the middle that were removed before.

    It cuts between words, because half a secret would not be recognised.
    """
    if len(text) <= most and not left_out:
        return text
    half = (min(most, len(text)) - _MARK_ROOM) // 2
    head, tail = _to_last_edge(text[:half]), _from_first_edge(text[len(text) - half :])
    return f"{head} [... {len(text) - len(head) - len(tail) + left_out:,} characters cut ...] {tail}"


def _to_last_edge(text: str) -> str:
    edge = _EDGE.search(text[: -_WINDOW - 1 : -1])
    return text[: len(text) - edge.start()] if edge else text


def _from_first_edge(text: str) -> str:
    edge = _EDGE.search(text, 0, _WINDOW)
    return text[edge.start() :] if edge else text
