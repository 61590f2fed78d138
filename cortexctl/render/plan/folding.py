"""The same change on many hosts is one block to read. A partition: no change is ever lost by it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from cortexctl.instance.codec import spec_to_label
from cortexctl.plan.action import Action
from cortexctl.plan.model import Change, InstanceChange

READING_ORDER = (
    Action.REMOVE,
    Action.REPLACE,
    Action.RESTART,
    Action.START,
    Action.UPDATE,
    Action.CREATE,
    Action.ADOPT,
    Action.MOVE,
    Action.FORGET,
)
"""What takes something away first: it must not scroll off."""
_MAY_DIFFER = {"address", "host", "cost", "detail"}
"""Words of one host; of the cost and the detail a part is compared."""
_MAY_DIFFER_INSIDE = {
    "before", "after", "generation", "serving", "candidate", "displaced", "pruned", "others", "leftover",
}  # fmt: skip
"""The same of the detail. `before` is told by `fields`, and `candidate` by `reasons`, which must be equal. A field not
named here must be, too."""
IN_TITLE = 2
_COMPARED = tuple(f.name for f in dataclasses.fields(Change) if f.name not in _MAY_DIFFER)
_COMPARED_INSIDE = tuple(f.name for f in dataclasses.fields(InstanceChange) if f.name not in _MAY_DIFFER_INSIDE)


@dataclass(frozen=True, slots=True)
class Block:
    """Changes that are the same apart from their host, by address; there is at least one."""

    changes: tuple[Change, ...]

    @property
    def first(self) -> Change:
        return self.changes[0]

    @property
    def action(self) -> Action:
        return self.first.action

    @property
    def name(self) -> str:
        """The address without its host: the same for all of them."""
        return _name(self.first)

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(c.host for c in self.changes)

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(c.address for c in self.changes)

    @property
    def title(self) -> str:
        return listed(self.addresses, IN_TITLE)

    @property
    def title_is_whole(self) -> bool:
        """Whether the title names every address."""
        return not cut(self.addresses, IN_TITLE)[1]


def fold(changes: Iterable[Change]) -> tuple[Block, ...]:
    """Blocks in reading order. Instances that stay as they are, are in none."""
    found: dict[tuple[str, ...], list[Change]] = {}
    shown = (c for c in changes if c.action is not Action.NO_OP)
    for change in sorted(shown, key=lambda c: (READING_ORDER.index(c.action), _as_counted(c.address))):
        found.setdefault(_key(change), []).append(change)
    return tuple(Block(tuple(same)) for same in found.values())


def cut(words: Iterable[str], most: int) -> tuple[list[str], int]:
    """Those to write out, and how many more there are. One more than `most` is written rather than counted."""
    words = list(words)
    return (words, 0) if len(words) <= most + 1 else (words[:most], len(words) - most)


def listed(words: Iterable[str], most: int) -> str:
    """'a, b', or 'a, b and 10 more'."""
    shown, more = cut(words, most)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _as_counted(address: str) -> list[str]:
    """Sorts gpu-2 before gpu-10."""
    return [part.zfill(20) if part.isdigit() else part for part in re.split(r"(\d+)", address)]


def _name(change: Change) -> str:
    return change.address.removeprefix(f"{change.host}/")


def _key(change: Change) -> tuple[str, ...]:
    """Text, for to Python 1, 1.0 and True are one. Which GPUs it has is each host's own, unless that is the change."""
    after = change.detail.after
    if after and not any(f.path == "gpus" for f in change.fields):
        alike = replace(after.container, gpus=tuple(range(len(after.container.gpus))))
        after = replace(after, container=alike)
    text = spec_to_label(after) if after else ""
    bounds = repr((change.cost.down, change.cost.at_most))  # how long it took before is each host's own
    shared = (repr(getattr(change, name)) for name in _COMPARED)
    return (_name(change), text, bounds, *shared, *(repr(getattr(change.detail, name)) for name in _COMPARED_INSIDE))
