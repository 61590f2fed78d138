"""The stack of a command: its path, environment and variables; and the same as options of the next command."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from dataclasses import dataclass, replace

from cortexctl.instance.secret import hidden

DEFAULT_STACK = "stack.toml"


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

    def as_flags(self) -> str:
        """The options that choose the same, each with a blank before it, for the next command. The value of a secret
        variable is not shown: the shell takes it from where cortexctl does, and refuses where it is not set.
        """
        env = f" --env {shlex.quote(self.env)}" if self.env else ""
        files = "".join(f" --var-file {shlex.quote(file)}" for file in self.files)
        return env + files + "".join(f" --var {self._variable(assignment)}" for assignment in self.variables)

    def _variable(self, assignment: str) -> str:
        name, _, value = assignment.partition("=")
        if self.secret is not None and name not in self.secret and hidden(value) == value:
            return shlex.quote(assignment)
        return f'{shlex.quote(name)}="${{CORTEXCTL_VAR_{name}:?}}"'


def as_argument(stack: str) -> str:
    """The stack for the next command, with a blank before it; empty for the default."""
    return "" if stack == DEFAULT_STACK else f" {shlex.quote(stack)}"


def as_option(stack: str) -> str:
    """The same for commands that take it as an option."""
    return "" if stack == DEFAULT_STACK else f" --stack {shlex.quote(stack)}"
