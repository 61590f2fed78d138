"""The engine's list of containers, from its JSON to values. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from cortexctl.observed.state import BoundPort, ObservedContainer

_EXITED = re.compile(r"Exited \((\d+)\)")


def parse_containers(rows: Sequence[Mapping[str, Any]]) -> tuple[ObservedContainer, ...]:
    """Rows of `GET /containers/json?all=1`, sorted by name so that the engine's order does not matter."""
    return tuple(sorted((_parse_row(row) for row in rows), key=lambda c: (c.name, c.id)))


def _parse_row(row: Mapping[str, Any]) -> ObservedContainer:
    exited = _EXITED.match(row.get("Status") or "")
    networks = (row.get("NetworkSettings") or {}).get("Networks") or {}
    return ObservedContainer(
        id=row["Id"],
        name=_own_name(row.get("Names") or [], row["Id"]),
        image=row.get("Image") or "",
        image_id=row.get("ImageID") or "",
        state=(row.get("State") or "").lower(),
        exit_code=int(exited.group(1)) if exited else None,
        labels=dict(row.get("Labels") or {}),
        ports=_bound_ports(row.get("Ports") or []),
        networks=tuple(sorted(networks)),
    )


def _own_name(names: Sequence[str], container_id: str) -> str:
    """A container's own name has one slash; names with more are links from other containers."""
    own = [n[1:] for n in names if n.count("/") == 1]
    return own[0] if own else container_id[:12]


def _bound_ports(ports: Sequence[Mapping[str, Any]]) -> tuple[BoundPort, ...]:
    bound = {BoundPort(p.get("IP") or "", p["PublicPort"]) for p in ports if p.get("PublicPort")}
    return tuple(sorted(bound, key=lambda b: (b.address, b.port)))
