"""What use cases return for `render/` to draw: values alone, without a way to any of the adapters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cortexctl.diagnostics import Diagnostic


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What another release means for a stack. `before` and `after` the edits: what the release reports. `now`: model
    -> its release, empty where unknown. `defaults`: (option, was, will be) of what the stack leaves to vLLM. `unread`:
    the stack's environments that were not read.
    """

    stack: str
    to: str
    now: dict[str, str]
    before: list[Diagnostic]
    old_text: str
    new_text: str
    by_hand: list[str]
    after: list[Diagnostic]
    defaults: list[tuple[str, Any, Any]]
    unread: list[str]

    @property
    def has_edits(self) -> bool:
        return self.new_text != self.old_text

    @property
    def is_left(self) -> bool:
        """Whether something is left that the edits do not fix."""
        return any(d.is_error for d in self.after)
