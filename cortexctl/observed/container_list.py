"""Parses the daemon's list of containers from JSON to values. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from cortexctl.engines.registry import DEFAULT, engine_named, engine_of
from cortexctl.instance.codec import spec_from_label
from cortexctl.instance.labels import PROBE, SPEC
from cortexctl.instance.spec import CPU_PERIOD, InPlace
from cortexctl.observed.daemon_json import IMAGES, LISTED, ROWS, VOLUME
from cortexctl.observed.host import BoundPort, ImageFacts, Listed, ObservedContainer

_EXITED = re.compile(r"Exited \((\d+)\)")


def parse_containers(answer: Any) -> tuple[ObservedContainer, ...]:
    """Rows of `GET /containers/json?all=1`, sorted by name so that the daemon's order does not matter. A probe
    container is omitted: it is not part of the host's workload, and is gone within a minute. Raises NotAsExpected if
    the answer is not such a list: an unreadable answer is never "no containers".
    """
    rows = ROWS(answer)
    lasting = (row for row in rows if PROBE not in (row.get("Labels") or {}))
    return tuple(sorted((_parse_row(row) for row in lasting), key=lambda c: (c.name, c.id)))


def parse_listed(answer: Any) -> dict[str, Listed]:
    """From the same answer, where the servers of the containers are, by id. Raises NotAsExpected."""
    return {
        row["Id"]: Listed(
            row.get("Command") or "",
            (row.get("HostConfig") or {}).get("NetworkMode") or "",
            (row.get("NetworkSettings") or {}).get("Networks") or {},
            tuple(
                (port["PrivatePort"], port.get("IP") or "", port["PublicPort"])
                for port in row.get("Ports") or []
                if port.get("PublicPort") and port.get("PrivatePort") and port.get("Type") == "tcp"
            ),
        )
        for row in LISTED(answer)
    }


def parse_images(answer: Any) -> dict[str, ImageFacts]:
    """Rows of `GET /images/json`: every tag and digest by which an image can be requested. Raises NotAsExpected."""
    rows = IMAGES(answer)
    return {
        name: ImageFacts(name, "local", id=row["Id"])
        for row in rows
        for name in (*(row.get("RepoTags") or []), *(row.get("RepoDigests") or []))
        if "<none>" not in name
    }


def parse_named_release(config: Mapping[str, Any]) -> str:
    """The release that an image names in its labels or its environment (`Config` of an inspected image); else empty."""
    return engine_named(DEFAULT).release_in(config.get("Labels") or {}, config.get("Env") or [])


def parse_volume_labels(answer: Any) -> dict[str, str]:
    """From `GET /volumes/NAME`, or from the answer to its creation. Raises NotAsExpected."""
    return dict(VOLUME(answer)["Labels"] or {})


def parse_labels(inspected: Mapping[str, Any]) -> dict[str, str]:
    """The labels of a container, or those that an image adds to every container, from `GET /containers/ID/json` or
    `/images/ID/json`.
    """
    return dict((inspected.get("Config") or {}).get("Labels") or {})


def parse_in_place(inspected: Mapping[str, Any]) -> InPlace:
    """Restart policy and limits, from `GET /containers/ID/json`."""
    host = inspected["HostConfig"]
    quota, period = host.get("CpuQuota") or 0, host.get("CpuPeriod") or CPU_PERIOD
    nano = host.get("NanoCpus") or 0
    cpus = nano / 1e9 if nano else quota / period if quota > 0 else None
    return InPlace((host.get("RestartPolicy") or {}).get("Name") or "no", host.get("Memory") or None, cpus)


def parse_endpoint(inspected: Mapping[str, Any], host_address: str, port: int | None = None) -> str:
    """The address of the server: the published port (at the host's address, if it is published on all addresses), else
    its own address on the daemon's network; empty if there is none. `port`: at which it listens, if that is known.
    """
    network = inspected.get("NetworkSettings") or {}
    port = port or listens_on(inspected)
    bound = (network.get("Ports") or {}).get(f"{port}/tcp") or []
    published = [(b.get("HostIp") or "", b.get("HostPort")) for b in bound]
    return endpoint_of(published, network.get("Networks") or {}, host_address, port)


def endpoint_of(
    published: Sequence[tuple[str, int | str | None]], networks: Mapping[str, Any], host_address: str, port: int
) -> str:
    """The same. `published`: (address, port) on the host, of the server's port."""
    for address, public in published:
        return _url(host_address if address in {"", "0.0.0.0", "::"} else address, public)  # noqa: S104
    for name, joined in networks.items():
        if joined and joined.get("IPAddress"):
            return _url(joined["IPAddress"], port)
        if name == "host":
            return _url(host_address, port)
    return ""


def _url(address: str, port: int | str | None) -> str:
    return f"http://{f'[{address}]' if ':' in address else address}:{port}"


def listens_on(inspected: Mapping[str, Any]) -> int:
    """The port at which its server listens: the one that its command line names, else the one that its label records,
    else its engine's usual one.
    """
    config = inspected.get("Config") or {}
    engine, port = engine_named(DEFAULT), engine_named(DEFAULT).contract.port
    with suppress(ValueError):
        spec = spec_from_label((config.get("Labels") or {}).get(SPEC) or "")
        engine, port = engine_of(spec.server), spec.container.port
    return engine.port_in([*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())]) or port


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
        addresses=tuple(n["IPAddress"] for _, n in sorted(networks.items()) if n and n.get("IPAddress")),
    )


def _own_name(names: Sequence[str], container_id: str) -> str:
    """A container's own name has one slash; names with more are links from other containers."""
    own = [n[1:] for n in names if n.count("/") == 1]
    return own[0] if own else container_id[:12]


def _bound_ports(ports: Sequence[Mapping[str, Any]]) -> tuple[BoundPort, ...]:
    bound = {BoundPort(p.get("IP") or "", p["PublicPort"]) for p in ports if p.get("PublicPort")}
    return tuple(sorted(bound, key=lambda b: (b.address, b.port)))
