"""What a use case has to say beside its result. The command line prints it; a use case never does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    PROGRESS = "progress"
    NOTE = "note"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Note:
    """One line of text. It may hold text of others (a daemon's, an image's): who prints it escapes that."""

    text: str
    level: Level = Level.PROGRESS


Report = Callable[[Note], None]
"""Where a use case reports while it works. It raises nothing."""


def warning(text: str) -> Note:
    return Note(text, Level.WARNING)
