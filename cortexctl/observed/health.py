"""What a server said when it was asked for its health, and where it was asked."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from cortexctl.observed.state import ObservedContainer
from cortexctl.spec.container import CONTAINER_PORT
from cortexctl.spec.desired import Host

ANY_ADDRESS = {"", "0.0.0.0", "::"}  # noqa: S104


class Heard(StrEnum):
    """The answers that there are. `REFUSED`: nobody listens. `RESET`: somebody took the question and hung up, as
    docker-proxy does for a server that does not listen. `SILENT`: somebody took it and says nothing. `UNREACHED`: the
    way there may be the cause.
    """

    HEALTHY = "healthy"
    STATUS = "status"
    REFUSED = "refused"
    RESET = "reset"
    SILENT = "silent"
    UNREACHED = "unreached"


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` is HTTP's, where there was one."""

    heard: Heard
    status: int = 0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a container's server can be asked. `why_not`: why it cannot be asked from here.

    `says_nothing`: the answers that are no answer there, for the address is the engine's machine's own, and whether
    this is that machine is not sure.
    """

    address: str = ""
    port: int = 0
    says_nothing: frozenset[Heard] = frozenset()
    why_not: str = ""

    @property
    def url(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"http://{host}:{self.port}"


def endpoint_of(container: ObservedContainer, host: Host) -> Endpoint:
    """The published port, else the container's own address where its engine may be on this machine.

    A socket may be a forwarded one. A host whose `address` is not the loopback is taken to be elsewhere until its
    server answers.
    """
    may_be_here = host.docker.startswith("unix://")
    elsewhere = not is_loopback(host.address)
    doubtful = frozenset({Heard.UNREACHED, Heard.REFUSED}) if elsewhere else frozenset({Heard.UNREACHED})
    why_not = ""
    for bound in container.ports:
        address = host.address if bound.address in ANY_ADDRESS else bound.address
        if not is_loopback(address):
            return Endpoint(address, bound.port)
        if may_be_here:
            return Endpoint(address, bound.port, doubtful if elsewhere else frozenset())
        why_not = (
            f"hosts.{host.name}.address does not say where its ports are reached"
            if bound.address in ANY_ADDRESS
            else f"it is published on {host.name}'s own loopback only"
        )
    if why_not:
        return Endpoint(why_not=why_not)
    if not may_be_here:
        return Endpoint(why_not=f"it is not published, and {host.name} is not this machine")
    if not container.addresses:
        return Endpoint(why_not="it has no address on the engine's networks")
    return Endpoint(container.addresses[0], CONTAINER_PORT, doubtful)


def is_loopback(address: str) -> bool:
    return address.startswith("127.") or address in {"::1", "localhost"}
