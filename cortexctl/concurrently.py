"""Many blocking calls at the same time: requests to many hosts or servers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from cortexctl.waiting import Watch

PARALLEL = 32
"""Calls at the same time, by default. Each is a connection that waits."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def at_once(call: Callable[[Item], Result], items: Sequence[Item], *, most: int = PARALLEL) -> list[Result]:
    """The results in the order of `items`. An exception of a call is raised here. One item needs no thread."""
    if len(items) < 2:
        return [call(item) for item in items]
    with ThreadPoolExecutor(max_workers=min(most, len(items))) as pool:
        return list(pool.map(call, items))


def at_once_watched(
    call: Callable[[Item], Result],
    items: Sequence[Item],
    watch: Watch,
    *,
    name: Callable[[Item], str] = str,
    what: str = "hosts",
) -> list[Result]:
    """The same, and each answer is reported. `name`: of an item, for people; `what`: the kind of all, in the plural."""

    def reported(item: Item) -> Result:
        try:
            return call(item)
        finally:
            watch.answered(name(item))

    watch.begins([name(item) for item in items], what)
    return at_once(reported, items)
