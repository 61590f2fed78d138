"""Secret values by reference: an environment variable, a file, a variable of the stack, or a program's output."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

from cortexctl.dataclass import dataclass
from cortexctl.errors import SecretUnresolved
from cortexctl.instance.spec import SecretRef

PATIENCE = 60.0
"""Seconds that a program may take; it may fetch from a vault over a network."""


@dataclass(frozen=True, slots=True)
class SecretReader:
    """Implements `apply.protocols.Secrets`. Relative file paths start at `folder`."""

    environ: Mapping[str, str]
    folder: Path
    variables: Callable[[], Mapping[str, str]] = dict
    """Values of the stack's variables, given by the caller. Called only for a secret from a variable."""
    remember: Callable[[str], None] = lambda _value: None
    """Receives every value that is read, so that nothing shows it later."""

    def value(self, reference: SecretRef) -> str:
        return self.read(reference.source, reference.key)

    def read(self, source: str, key: str) -> str:
        """Raises SecretUnresolved; its text names the reference, never a value."""
        value = self._read(source, key)
        self.remember(value)
        return value

    def _read(self, source: str, key: str) -> str:
        if source == "env":
            value = self.environ.get(key)
            if not value:
                raise SecretUnresolved(f"the environment variable {key} is {'empty' if value == '' else 'not set'}")
            if not value.isprintable() and any("\ud800" <= c <= "\udfff" for c in value):
                raise SecretUnresolved(f"the environment variable {key} is not UTF-8 text")
            return value
        if source == "var":
            value = self.variables().get(key)
            if not value:
                raise SecretUnresolved(f"the variable {key} has no value; give it with CORTEXCTL_VAR_{key}")
            return value
        if source == "command":
            return self._printed(key)
        path = self.folder / key
        try:
            value = path.read_text(encoding="utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise SecretUnresolved(f"the file {key} is not UTF-8 text") from None
        except OSError as cause:
            raise SecretUnresolved(f"the file {key} cannot be read: {cause.strerror}") from None
        if not value:
            raise SecretUnresolved(f"the file {key} is empty")
        return value

    def _printed(self, key: str) -> str:
        """Neither the program's output nor its error output is shown: both may contain the value."""
        import subprocess

        argv = shlex.split(key)
        try:
            done = subprocess.run(
                argv, cwd=self.folder, capture_output=True, check=False, timeout=PATIENCE, stdin=subprocess.DEVNULL
            )
            value = done.stdout.decode("utf-8").rstrip("\r\n")
        except OSError as cause:
            raise SecretUnresolved(f"the command {argv[0]} cannot be run: {cause.strerror}") from None
        except subprocess.TimeoutExpired:
            raise SecretUnresolved(f"the command {argv[0]} printed nothing within {PATIENCE:g} s") from None
        except UnicodeDecodeError:
            raise SecretUnresolved(f"the command {argv[0]} printed text that is not UTF-8") from None
        if done.returncode:
            raise SecretUnresolved(f"the command {argv[0]} failed with exit code {done.returncode}")
        if not value:
            raise SecretUnresolved(f"the command {argv[0]} printed nothing")
        return value
