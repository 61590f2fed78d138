"""What a parser refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["unrecognized", "choice", "value", "explicit", "ambiguous", "required"]
"""Argparse's own faults: a word that is no option's, none of the choices, a value that cannot be read or is missing,
one where none is taken (`--x=y`), a beginning of several options, something that must be there.
"""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What the parser refuses. `word` is the one as it was written, `option` its name where it is known."""

    word: str
    text: str
    option: str = ""
    kind: Kind = "value"
