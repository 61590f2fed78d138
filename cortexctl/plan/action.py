"""The possible actions on an instance, and their reasons. Both are closed sets."""

from __future__ import annotations

from enum import StrEnum

from cortexctl.dataclass import dataclass


class Action(StrEnum):
    CREATE = "create"
    START = "start"
    RESTART = "restart"
    REPLACE = "replace"
    UPDATE = "update"
    ADOPT = "adopt"
    MOVE = "move"
    REMOVE = "remove"
    FORGET = "forget"
    NO_OP = "no-op"

    @property
    def does_something(self) -> bool:
        """A forgotten container stays unchanged; it is only shown."""
        return self not in {Action.NO_OP, Action.FORGET}

    @property
    def verbs(self) -> list[str]:
        """For the plan as JSON: a replacement is two verbs, so a search for "remove" finds it too."""
        return ["remove", "create"] if self is Action.REPLACE else [self.value]


NEW = frozenset({Action.CREATE, Action.START})
"""Actions that start a container while no other one of the instance serves."""


class ReasonCode(StrEnum):
    NEW = "new"
    GONE = "gone"
    CHANGED = "changed"
    STOPPED = "stopped"
    UNFINISHED = "unfinished"
    NOT_IN_STACK = "not_in_stack"
    DESTROY = "destroy"
    LEFTOVER = "leftover"
    REQUESTED = "requested"
    DISABLED = "disabled"
    HOST_RETIRED = "host_retired"
    MOVED = "moved"
    RENAMED = "renamed"
    ADOPTED = "adopted"
    FORGET = "forget"
    ROLLBACK = "rollback"
    BEYOND_RETENTION = "beyond_retention"


@dataclass(frozen=True, slots=True)
class Reason:
    """For people to read; it decides nothing. `detail` is a field path, a state, or a run."""

    code: ReasonCode
    detail: str = ""
