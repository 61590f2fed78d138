"""Location of a container's server: its process, its addresses and its port. From `GET /containers/ID/json`, or as far
as the list of containers shows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any

from cortexctl.dataclass import dataclass
from cortexctl.observed.container_list import endpoint_of, listens_on, parse_endpoint
from cortexctl.observed.host import Listed

_PORT = re.compile(r"(?:^| )--port[ =](\S*)")
"""In a command as the list shows it. The first one counts."""


@dataclass(frozen=True, slots=True)
class Location:
    """`pid`: the first process, as numbered on the daemon's machine; 0 if the container does not run, and in a list.
    `addresses`: (its own, the network's gateway) on each IPv4 network; on a bridge, the gateway is the daemon's
    machine.
    """

    id: str
    running: bool
    pid: int
    port: int
    addresses: tuple[tuple[str, str], ...] = ()
    shares_network: bool = False
    """It uses the network of the host or of another container: other programs may listen at its port there."""
    started: str = ""
    """Time of its last start, as the daemon writes it. Two equal locations are one run of the container."""
    endpoint: str = field(default="", compare=False)
    """The URL of the server for clients; empty if there is none."""


def parse_location(inspected: Mapping[str, Any], host_address: str = "") -> Location:
    """A paused container counts as not running: no process in it answers. `host_address`: of its host, for clients."""
    state = inspected["State"]
    mode = str((inspected.get("HostConfig") or {}).get("NetworkMode") or "")
    port = listens_on(inspected)
    return Location(
        id=str(inspected["Id"]),
        running=bool(state.get("Running")) and not state.get("Paused"),
        pid=int(state.get("Pid") or 0),
        port=port,
        addresses=tuple(_addresses((inspected.get("NetworkSettings") or {}).get("Networks") or {})),
        shares_network=_is_shared(mode),
        started=str(state.get("StartedAt") or ""),
        endpoint=parse_endpoint(inspected, host_address, port),
    )


def listed_location(container: str, listed: Listed, port: int, host_address: str) -> Location | None:
    """Of a container that runs. `port`: of its server, as its label records it. None if the list does not suffice: it
    does not show the kind of network, or the command names another port.
    """
    named = _PORT.search(listed.command)
    if not listed.mode or (named and named[1] != str(port)):
        return None
    published = [(address, public) for inside, address, public in listed.published if inside == port]
    return Location(
        id=container,
        running=True,
        pid=0,
        port=port,
        addresses=tuple(_addresses(listed.networks)),
        shares_network=_is_shared(listed.mode),
        endpoint=endpoint_of(published, listed.networks, host_address, port),
    )


def _is_shared(mode: str) -> bool:
    return mode == "host" or mode.startswith("container:")


def _addresses(networks: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for _, joined in sorted(networks.items()):
        if joined and joined.get("IPAddress") and joined.get("Gateway"):
            yield str(joined["IPAddress"]), str(joined["Gateway"])
