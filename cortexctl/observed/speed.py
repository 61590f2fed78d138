"""How fast a server answered one streamed request."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Speed:
    """`first_token`: seconds from asking to the first token. `tokens_per_second`: of those after it; None where only
    one came.
    """

    first_token: float
    tokens_per_second: float | None
