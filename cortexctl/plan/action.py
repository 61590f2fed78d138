"""What may be done to an instance, and why. Both are closed sets."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Action(StrEnum):
    CREATE = "create"
    START = "start"
    REPLACE = "replace"
    REMOVE = "remove"
    NO_OP = "no-op"

    @property
    def verbs(self) -> list[str]:
        """For the machine's plan: a replacement is two verbs, so a search for "remove" finds it too."""
        return ["remove", "create"] if self is Action.REPLACE else [self.value]


class ReasonCode(StrEnum):
    NEW = "new"
    CHANGED = "changed"
    STOPPED = "stopped"
    UNFINISHED = "unfinished"
    NOT_IN_STACK = "not_in_stack"
    DESTROY = "destroy"
    LEFTOVER = "leftover"


@dataclass(frozen=True, slots=True)
class Reason:
    """For people to read; nothing is decided by it. `detail` is a field path, a state, or a run."""

    code: ReasonCode
    detail: str = ""
