"""How fast a server answered one streamed request."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Speed:
    """`first_token`: seconds from asking to the first token. `tokens_per_second`: of the whole answer, from asking to
    the last token: tokens that are held back and come in one piece make no rate look better than it is.
    """

    first_token: float
    tokens_per_second: float
