"""The command that continues a run: for the same stack, environment and variables, quoted for a shell.

Everything that cortexctl prints to be copied is rendered here, so no command forgets an option of the run.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import replace

from cortexctl.dataclass import dataclass

DEFAULT_STACK = "stack.toml"
STACK_BY_OPTION = frozenset({"args", "diagnose", "doctor", "import", "logs", "rollback"})
"""Commands that take the stack only as --stack, because their arguments name something else."""
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)

Options = tuple[tuple[str, ...], ...]
"""The words of each option, unquoted: (("--target", "chat"), ("--canary-hold",))."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """The stack of a run, and the options of its plan. `variables`: NAME=VALUE, or NAME alone if the value is a secret;
    the shell then takes the value from where cortexctl does, and refuses if it is not set.
    """

    stack: str = DEFAULT_STACK
    env: str = ""
    files: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    options: Options = ()

    def command(self, verb: str, *arguments: str, options: Options = ()) -> str:
        """`cortexctl VERB ARGUMENTS` for the same stack, with these options of the command."""
        argv = ["cortexctl", verb, *map(quoted, arguments), *self._stack(verb), *self._environment()]
        return " ".join([*argv, *(quoted(word) for option in options for word in option)])

    def same(self, verb: str, *, options: Options = ()) -> str:
        """The same with the options of the plan: `plan`, `apply` and `destroy` take them."""
        return self.command(verb, options=(*self.options, *options))

    def without(self, *names: str) -> Invocation:
        """Without the options of these names."""
        return replace(self, options=tuple(option for option in self.options if option[0] not in names))

    def _stack(self, verb: str) -> Iterable[str]:
        if self.stack in {"", DEFAULT_STACK}:
            return []
        path = f"./{self.stack}" if self.stack.startswith("-") else self.stack
        return ["--stack", quoted(path)] if verb in STACK_BY_OPTION else [quoted(path)]

    def _environment(self) -> Iterable[str]:
        if self.env:
            yield from ("--env", quoted(self.env))
        for file in self.files:
            yield from ("--var-file", quoted(file))
        for variable in self.variables:
            yield from ("--var", _variable(variable))


def quoted(word: str) -> str:
    """The word for a shell. A character that a terminal does not show is written as an escape, so that it can be
    copied.
    """
    if word.isprintable():
        return shlex.quote(word)
    return "$'" + "".join(map(_escaped, word.encode("utf-8", "surrogateescape"))) + "'"


def _escaped(byte: int) -> str:
    character = chr(byte)
    is_plain = character.isascii() and character.isprintable() and character not in "\\'"
    return character if is_plain else f"\\x{byte:02x}"


def _variable(assignment: str) -> str:
    name, has_value, _ = assignment.partition("=")
    if has_value or not _VARIABLE_NAME.fullmatch(name):
        return quoted(assignment)
    return f'{name}="${{CORTEXCTL_VAR_{name}:?}}"'
