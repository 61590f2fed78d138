"""Secret values by reference: an environment variable, a file, or a variable of the stack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cortexctl.errors import SecretUnresolved
from cortexctl.spec.container import SecretRef


@dataclass(frozen=True, slots=True)
class SecretReader:
    """Implements `apply.protocols.Secrets`. `folder` is where relative files are meant from."""

    environ: Mapping[str, str]
    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    """Values of the stack's variables that the caller gave."""

    def value(self, reference: SecretRef) -> str:
        return self.read(reference.source, reference.key)

    def read(self, source: str, key: str) -> str:
        """Raises SecretUnresolved, whose text names the reference and never a value."""
        if source == "env":
            value = self.environ.get(key)
            if not value:
                raise SecretUnresolved(f"the environment variable {key} is {'empty' if value == '' else 'not set'}")
            return value
        if source == "var":
            if not self.variables.get(key):
                raise SecretUnresolved(f"the variable {key} has no value; give it with CORTEXCTL_VAR_{key}")
            return self.variables[key]
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
