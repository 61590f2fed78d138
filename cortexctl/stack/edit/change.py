"""What to change in a stack's text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cortexctl.dataclass import dataclass
from cortexctl.stack.places import Loc


class CannotEdit(ValueError):
    """No edit of the text has this result; the message says what to do by hand."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Replaces the key and value at `loc`, the place where they are written, by `pairs` in the same table: by key, or
    by dotted key. Without pairs they are removed.
    """

    loc: Loc
    pairs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Addition:
    """New keys at the end of the table at `loc`, which is created if it does not exist."""

    loc: Loc
    pairs: Mapping[str, Any]
