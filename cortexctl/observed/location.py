"""Where a container's server is, from `GET /containers/ID/json`: its process, its addresses and its port."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cortexctl.observed.container_list import listens_on


@dataclass(frozen=True, slots=True)
class Location:
    """`pid`: of its first process, as its daemon's machine counts; 0 when it does not run. `addresses`: (its own, the
    network's gateway) on each IPv4 network; the gateway is the daemon's machine's own on a bridge.
    """

    id: str
    running: bool
    pid: int
    port: int
    addresses: tuple[tuple[str, str], ...] = ()
    shares_network: bool = False
    """It has no network of its own, but the host's or another container's: others may listen at its port there."""


def parse_location(inspected: Mapping[str, Any]) -> Location:
    """A container that is paused does not run: nobody answers in it."""
    state, config = inspected["State"], inspected.get("Config") or {}
    mode = str((inspected.get("HostConfig") or {}).get("NetworkMode") or "")
    return Location(
        id=str(inspected["Id"]),
        running=bool(state.get("Running")) and not state.get("Paused"),
        pid=int(state.get("Pid") or 0),
        port=listens_on([*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())]),
        addresses=tuple(_addresses(inspected)),
        shares_network=mode == "host" or mode.startswith("container:"),
    )


def _addresses(inspected: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    networks = (inspected.get("NetworkSettings") or {}).get("Networks") or {}
    for _, joined in sorted(networks.items()):
        if joined and joined.get("IPAddress") and joined.get("Gateway"):
            yield str(joined["IPAddress"]), str(joined["Gateway"])
