"""What a result depends on beside its own file: questions about other files of this machine, each asked once.

The result is valid for as long as the questions have the same answers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import field
from pathlib import Path
from typing import Any

from cortexctl.dataclass import dataclass
from cortexctl.files.digest import digest

LARGEST_TEXT = 4 * 2**20
"""Bytes. A larger file has no text."""

Fact = tuple[str, str, str]
"""A question, its path, and the digest of the answer."""


@dataclass(slots=True)
class Consulted:
    """The questions so far, with their answers. Relative paths start in the folder of the file `beside`. `is_complete`:
    whether the result depends on nothing else.
    """

    beside: str
    is_complete: bool = True
    _answers: dict[tuple[str, str], Any] = field(default_factory=dict)

    def names(self, folder: Path) -> tuple[str, ...] | None:
        """The sorted names in a folder; None if it cannot be listed."""
        names: tuple[str, ...] | None = self._answer("names", str(folder))
        return names

    def text(self, file: Path) -> str | None:
        """The text of a file; None if it is too large, not UTF-8, or cannot be read."""
        text: str | None = self._answer("text", str(file))
        return text

    def is_present(self, path: Path) -> bool:
        """Whether a file or a folder exists."""
        return bool(self._answer("present", str(path)))

    def absolute(self, path: str) -> str:
        """A path with its links followed and `~` replaced."""
        return str(self._answer("absolute", path))

    def facts(self) -> list[Fact]:
        """All questions, with the digests of their answers."""
        return [(kind, path, _digest(answer)) for (kind, path), answer in self._answers.items()]

    def confirms(self, facts: Iterable[Fact]) -> bool:
        """Whether all these questions have the same answers now."""
        with suppress(OSError, RuntimeError, ValueError, KeyError):
            return all(_digest(self._answer(kind, path)) == known for kind, path, known in facts)
        return False

    def _answer(self, kind: str, path: str) -> Any:
        question = (kind, path)
        if question not in self._answers:
            self._answers[question] = _QUESTIONS[kind](path, self.beside)
        return self._answers[question]


def _digest(answer: Any) -> str:
    return digest(repr(answer).encode())


def _names(path: str, _beside: str) -> tuple[str, ...] | None:
    try:
        return tuple(sorted(entry.name for entry in os.scandir(path)))
    except OSError:
        return None


def _text(path: str, _beside: str) -> str | None:
    file = Path(path)
    try:
        if not file.is_file() or file.stat().st_size > LARGEST_TEXT:
            return None
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None


def _present(path: str, _beside: str) -> bool:
    return Path(path).exists()


def _absolute(path: str, beside: str) -> str:
    return str((Path(beside).resolve().parent / Path(path).expanduser()).resolve())


_QUESTIONS: dict[str, Callable[[str, str], Any]] = {
    "names": _names,
    "text": _text,
    "present": _present,
    "absolute": _absolute,
}
