"""Many blocking calls at a time, for whoever asks many hosts or servers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

PARALLEL = 32
"""Calls at a time, by default: each is a connection that waits."""

Given = TypeVar("Given")
Result = TypeVar("Result")


def at_once(call: Callable[[Given], Result], items: Sequence[Given], *, most: int = PARALLEL) -> list[Result]:
    """The results in the order of `items`. What a call raises, is raised here; one item needs no thread."""
    if len(items) < 2:
        return [call(item) for item in items]
    with ThreadPoolExecutor(max_workers=min(most, len(items))) as pool:
        return list(pool.map(call, items))
