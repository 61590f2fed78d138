"""Messages of a use case beside its result. The command line prints them; a use case never does."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from cortexctl.dataclass import dataclass


class Level(StrEnum):
    PROGRESS = "progress"
    NOTE = "note"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Note:
    """One line of text. It may contain foreign text (from a daemon or an image), which the printer escapes."""

    text: str
    level: Level = Level.PROGRESS


Report = Callable[[Note], None]
"""Receives notes while a use case works. It raises nothing."""


def warning(text: str) -> Note:
    return Note(text, Level.WARNING)
