"""Location of a container's server, from `GET /containers/ID/json`: its process, its addresses and its port."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cortexctl.dataclass import dataclass
from cortexctl.observed.container_list import listens_on


@dataclass(frozen=True, slots=True)
class Location:
    """`pid`: the first process, as numbered on the daemon's machine; 0 if the container does not run. `addresses`: (its
    own, the network's gateway) on each IPv4 network; on a bridge, the gateway is the daemon's machine.
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


def parse_location(inspected: Mapping[str, Any]) -> Location:
    """A paused container counts as not running: no process in it answers."""
    state = inspected["State"]
    mode = str((inspected.get("HostConfig") or {}).get("NetworkMode") or "")
    return Location(
        id=str(inspected["Id"]),
        running=bool(state.get("Running")) and not state.get("Paused"),
        pid=int(state.get("Pid") or 0),
        port=listens_on(inspected),
        addresses=tuple(_addresses(inspected)),
        shares_network=mode == "host" or mode.startswith("container:"),
        started=str(state.get("StartedAt") or ""),
    )


def _addresses(inspected: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    networks = (inspected.get("NetworkSettings") or {}).get("Networks") or {}
    for _, joined in sorted(networks.items()):
        if joined and joined.get("IPAddress") and joined.get("Gateway"):
            yield str(joined["IPAddress"]), str(joined["Gateway"])
