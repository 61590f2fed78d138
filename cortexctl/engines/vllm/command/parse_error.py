"""The errors of a parser."""

from __future__ import annotations

from typing import Literal

from cortexctl.dataclass import dataclass

Kind = Literal["unrecognized", "choice", "value", "explicit", "ambiguous", "required"]
"""Argparse's own errors: an argument that belongs to no option, a value that is not one of the choices, an unreadable
or missing value, a value where none is allowed (`--x=y`), a beginning of several options, a missing required argument.
"""


@dataclass(frozen=True, slots=True)
class ParseError:
    """One error of the parser. `word`: the argument as written; `option`: its name, if known."""

    word: str
    text: str
    option: str = ""
    kind: Kind = "value"
