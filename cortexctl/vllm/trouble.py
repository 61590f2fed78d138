"""What a parser refuses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trouble:
    """What the parser refuses. `word` is the one as it was written, `option` its name where it is known."""

    word: str
    text: str
    option: str = ""
