"""An edit: a text before, a text after, and what that is to change on the hosts.

What an edit is to change is written beside the edit, by hosts and ordinals, without asking the code that resolves a
stack.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hypothesis import strategies as st

from cortexctl.plan.action import Action
from tests.edits.text import (
    Text,
)

Touched = dict[str, tuple[Action, tuple[str, ...]]]
"""Address -> what is to be done there, and the fields that differ."""
Edit = tuple[Text, Text, Touched]
"""The text before, the text after, and what that is to change."""
EditOf = Callable[[st.DrawFn, Text, str, Any], Edit]
"""Of a text and one of its models. The last argument is one of the kinds that an edit lists."""

EDITS: dict[str, tuple[EditOf, Any]] = {}
EDITED: set[str] = set()
"""The schema's keys that an edit below is about."""


def edit_of(*keys: str, kinds: Sequence[Any] = ()) -> Callable[[EditOf], EditOf]:
    def register(edit: EditOf) -> EditOf:
        name = edit.__name__.strip("_")
        EDITED.update(keys)
        EDITS.update(
            {f"{name}-{n}": (edit, kind) for n, kind in enumerate(kinds, 1)} if kinds else {name: (edit, None)}
        )
        return edit

    return register


def each(addresses: Iterable[str], action: Action, *fields: str) -> Touched:
    return {a: (action, tuple(sorted(fields))) for a in addresses}


def replaced(addresses: Iterable[str], *fields: str) -> Touched:
    return each(addresses, Action.REPLACE, *fields) if fields else {}


def removal_action(text: Text, model: str) -> Action:
    return Action.FORGET if text.at("models", model, "on_remove") == "forget" else Action.REMOVE
