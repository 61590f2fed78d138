"""What a server answered: its health and its speed."""

from __future__ import annotations

from enum import StrEnum

from cortexctl.dataclass import dataclass

NO_CONNECTION = "no connection"


class HealthOutcome(StrEnum):
    """All possible outcomes. `REFUSED`: nothing listens at the port. `RESET`: the server accepted the request and
    closed the connection. `SILENT`: the server accepted the request and did not answer. `UNREACHED`: the route to the
    server does not work, so nothing is known about the server.
    """

    HEALTHY = "healthy"
    STATUS = "status"
    REFUSED = "refused"
    RESET = "reset"
    SILENT = "silent"
    UNREACHED = "unreached"


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` is the HTTP status, if there was one. `why`: the problem with the route to the server, if it could not
    be used.
    """

    outcome: HealthOutcome
    status: int = 0
    why: str = ""

    @property
    def text(self) -> str:
        """The server's problem in short; empty if it is healthy."""
        known = {
            HealthOutcome.HEALTHY: "",
            HealthOutcome.SILENT: "no answer",
            HealthOutcome.STATUS: f"status {self.status}",
        }
        return known.get(self.outcome, NO_CONNECTION)


@dataclass(frozen=True, slots=True)
class Speed:
    """The speed of one streamed request. `first_token`: seconds until the first token. `tokens_per_second`: of the
    whole answer, from the request to the last token, so that tokens that are delayed and sent at once do not improve
    the rate.
    """

    first_token: float
    tokens_per_second: float
