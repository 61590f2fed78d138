"""Text without hidden characters. The content of a stack or a saved plan is shown, and never acts on the terminal.

A control character could move a terminal's cursor or end a line of a list, a mark for writing direction could
reorder the visible text, and a lone surrogate has no UTF-8 form. Each becomes one visible character, so columns stay.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cortexctl.render.style import STYLE
from cortexctl.text.json_text import HIDDEN

if TYPE_CHECKING:
    from cortexctl.plan.model import Plan

_UNKNOWN = "\N{REPLACEMENT CHARACTER}"
_JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
"""Some languages, and emoji, need them."""
_WITHOUT_TEXT = frozenset({int, float, bool, type(None)})
_TAME = re.compile(r"[\n\t\x20-\x7e]*")


def visible(text: str) -> str:
    """The text with its length unchanged, on one line, and with visible characters only."""
    if text.isprintable():
        return text
    return "".join(map(_shown, text))


def tame(text: str, *, styles: bool) -> str:
    """A text of several lines. Only line ends, tabs and, with `styles`, our own colours act on a terminal."""
    if text.isascii() and _TAME.fullmatch(text):
        return text
    if styles and "\x1b" in text:
        parts = STYLE.split(text)  # every second one is a style
        return "".join(part if at % 2 else tame(part, styles=False) for at, part in enumerate(parts))
    return "".join(c if c in "\n\t" else _shown(c) for c in text)


def visible_plan(plan: Plan) -> Plan:
    """The plan with all its texts `visible`. Of unchanged instances only the address is treated: no view shows more."""
    from cortexctl.plan.action import Action
    from cortexctl.plan.model import Plan

    whole = {f.name: getattr(plan, f.name) for f in dataclasses.fields(plan) if f.name != "changes"}
    changes = tuple(
        all_visible(c) if c.action is not Action.NO_OP else replace(c, address=visible(c.address)) for c in plan.changes
    )
    return Plan(changes=changes, **{name: all_visible(value) for name, value in whole.items()})


@functools.cache
def _shown(character: str) -> str:
    if character.isprintable() or character in _JOINERS:
        return character
    number = ord(character)
    if number < 0x20:
        return chr(0x2400 + number)
    if number == 0x7F:
        return "\N{SYMBOL FOR DELETE}"
    return _UNKNOWN if unicodedata.category(character) in HIDDEN else character


def all_visible(value: Any) -> Any:
    """A value of strings, numbers, sequences, mappings and dataclasses with all its texts `visible`.

    Parts that need no change are returned unchanged, which is nearly always the whole value.
    """
    kind = type(value)
    if kind is str:  # an enum's member is a str, too, and stays a member
        return visible(value)
    if kind in _WITHOUT_TEXT:
        return value
    if isinstance(value, tuple | list):
        parts = [all_visible(v) for v in value]
        return value if all(map(operator.is_, parts, value)) else kind(parts)
    if isinstance(value, Mapping):
        items = {all_visible(k): all_visible(v) for k, v in value.items()}
        return value if items == value else items
    changed = {}
    for name in getattr(kind, "__dataclass_fields__", ()):
        before = getattr(value, name)
        after = all_visible(before)
        if after is not before:
            changed[name] = after
    return replace(value, **changed) if changed else value
