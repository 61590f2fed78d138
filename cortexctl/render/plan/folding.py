"""Folds the same change on many hosts into one block. A partition: no change is lost."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from dataclasses import replace

from cortexctl.dataclass import dataclass
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
"""Removals first, so that they do not scroll off."""
_MAY_DIFFER = {"address", "host", "cost", "detail"}
"""Fields that belong to one host. Parts of the cost and the detail are compared separately."""
_MAY_DIFFER_INSIDE = {
    "before", "after", "generation", "serving", "candidate", "displaced", "pruned", "others", "leftover",
}  # fmt: skip
"""Such fields of the detail. `fields` shows the relevant part of `before`, and `reasons` that of `candidate`; both must
be equal, and so must every field that is not named here."""
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
    """Blocks in reading order. Unchanged instances are in none."""
    same_change: dict[tuple[str, ...], list[Change]] = {}
    shown = (c for c in changes if c.action is not Action.NO_OP)
    for change in sorted(shown, key=lambda c: (READING_ORDER.index(c.action), _as_counted(c.address))):
        same_change.setdefault(_key(change), []).append(change)
    return tuple(Block(tuple(same)) for same in same_change.values())


def cut(texts: Iterable[str], most: int) -> tuple[list[str], int]:
    """The texts to show, and the number of the others. A single text beyond `most` is shown, not counted."""
    texts = list(texts)
    return (texts, 0) if len(texts) <= most + 1 else (texts[:most], len(texts) - most)


def listed(texts: Iterable[str], most: int) -> str:
    """'a, b', or 'a, b and 10 more'."""
    shown, more = cut(texts, most)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _as_counted(address: str) -> list[str]:
    """Sorts gpu-2 before gpu-10."""
    return [part.zfill(20) if part.isdigit() else part for part in re.split(r"(\d+)", address)]


def _name(change: Change) -> str:
    return change.address.removeprefix(f"{change.host}/")


def _key(change: Change) -> tuple[str, ...]:
    """Compared as text, because 1 == 1.0 == True in Python. GPU indices may differ by host, unless they change."""
    after = change.detail.after
    if after and not any(f.path == "gpus" for f in change.fields):
        alike = replace(after.container, gpus=tuple(range(len(after.container.gpus))))
        after = replace(after, container=alike)
    text = spec_to_label(after) if after else ""
    bounds = repr((change.cost.down, change.cost.at_most))  # past durations may differ by host
    shared = (repr(getattr(change, name)) for name in _COMPARED)
    return (_name(change), text, bounds, *shared, *(repr(getattr(change.detail, name)) for name in _COMPARED_INSIDE))
