"""Documents of the wrong shape: parts of a valid one are replaced, removed or duplicated at random, by a seed."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

DEEP: Any = 1
for _ in range(60):
    DEEP = [DEEP]
HOSTILE: list[Any] = [
    None, True, False, 0, -1, 1, 10**9, 10**18, -(10**18), 2**63, 10**30, 10**99, 0.5, -1e9, 1e300, "", "x", "0", "\x1b[31m",
    "\N{RIGHT-TO-LEFT OVERRIDE}", "x" * 5000, [], [[]], [None], [1], ["x"], [{}], {}, {"x": 1}, {"name": None},
    {"": ""}, DEEP,
]  # fmt: skip


def mutated(document: Any, chance: random.Random) -> Any:
    """A copy with one part changed, sometimes with two or three."""
    copied = copy.deepcopy(document)
    for _ in range(chance.choice([1, 1, 1, 1, 2, 3])):
        places = list(_places(copied))
        if not places:
            return copied
        inside, key = chance.choice(places)
        match chance.randrange(6):
            case 0:
                del inside[key]
            case 1 if isinstance(inside, list):
                inside.append(copy.deepcopy(inside[key]))
            case 2:
                other, at = chance.choice(places)
                inside[key] = copy.deepcopy(other[at])
            case _:
                inside[key] = copy.deepcopy(chance.choice(HOSTILE))
    return copied


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key or index) of every part that can be replaced."""
    pairs = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    for key, inner in pairs:
        yield value, key
        yield from _places(inner)
