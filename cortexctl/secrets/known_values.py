"""The secret values that this run has read, so that no output contains one of them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any


class KnownSecrets:
    """Any thread adds values as it reads them. No method returns them."""

    def __init__(self) -> None:
        self._values: frozenset[str] = frozenset()
        self._guard = threading.Lock()

    def add(self, value: str) -> None:
        if value not in self._values:
            with self._guard:
                self._values |= {value}

    def forget(self) -> None:
        with self._guard:
            self._values = frozenset()

    def hide(self, text: str) -> str:
        if not self._values or not text:
            return text
        from cortexctl.instance.secret import masked  # most commands read no secret

        return masked(text, self._values)

    def hide_in(self, value: Any) -> Any:
        """A JSON value with all its texts hidden, except the keys."""
        if not self._values:
            return value
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, Mapping):
            return {key: self.hide_in(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.hide_in(inner) for inner in value]
        return value
