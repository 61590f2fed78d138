"""The environment and variables of a command, and the invocation that continues it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from cortexctl.dataclass import dataclass
from cortexctl.text.invocation import Invocation


@dataclass(frozen=True, slots=True)
class StackChoice:
    """The environment of the stack, and values for its variables. Not stored between runs."""

    env: str = ""
    variables: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    secret: frozenset[str] | None = None
    """The variables that the stack declares secret; None: not known yet, so every value is treated as secret."""

    def knowing(self, secret: Collection[str]) -> StackChoice:
        """With the names of the stack's secret variables."""
        return replace(self, secret=frozenset(secret))

    def invocation(self, stack: str) -> Invocation:
        """The commands that continue a run with this stack. Values of secret variables are not in it."""
        return Invocation(stack, self.env, self.files, tuple(map(self._variable, self.variables)))

    def _variable(self, assignment: str) -> str:
        from cortexctl.instance.secret import hidden

        name, _, value = assignment.partition("=")
        is_open = self.secret is not None and name not in self.secret and hidden(value) == value
        return assignment if is_open else name
