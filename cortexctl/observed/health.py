"""What a server answered: its health, and how fast."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

NO_CONNECTION = "no connection"


class HealthOutcome(StrEnum):
    """The answers that there are. `REFUSED`: nobody listens. `RESET`: somebody took the question and hung up.
    `SILENT`: somebody took it and says nothing. `UNREACHED`: the way there does not work, and nothing is known of
    the server.
    """

    HEALTHY = "healthy"
    STATUS = "status"
    REFUSED = "refused"
    RESET = "reset"
    SILENT = "silent"
    UNREACHED = "unreached"


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` is HTTP's, where there was one. `why`: what is wrong with the way there, if that was not to be had."""

    outcome: HealthOutcome
    status: int = 0
    why: str = ""

    @property
    def text(self) -> str:
        """What is wrong with the server, in short; empty where it is healthy."""
        known = {
            HealthOutcome.HEALTHY: "",
            HealthOutcome.SILENT: "no answer",
            HealthOutcome.STATUS: f"status {self.status}",
        }
        return known.get(self.outcome, NO_CONNECTION)


@dataclass(frozen=True, slots=True)
class Speed:
    """Of one streamed request. `first_token`: seconds until the first token. `tokens_per_second`: of the whole answer,
    from the request to the last token, so that tokens held back and sent in one piece make no rate look better.
    """

    first_token: float
    tokens_per_second: float
