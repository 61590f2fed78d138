"""A container of a fake daemon, and how the daemon's list shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cortexctl.instance.spec import Spec


@dataclass
class FakeContainer:
    """The fields that a test may read and set."""

    id: str
    name: str
    image: str
    labels: dict[str, str]
    networks: list[str]
    ports: list[dict[str, Any]]
    environment: dict[str, str]
    command: list[str]
    state: str = "created"
    exit_code: int = 0
    oom_killed: bool = False
    restarts: int = 0
    restart: str = "no"
    memory: int | None = None
    cpus: float | None = None
    log: list[str] = field(default_factory=list)
    log_of_this_run: int = 0
    spec: Spec | None = None
    """Only of a container that a person started: the spec that describes it."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Differences between its inspection and that of a container that cortexctl created from `spec`."""


def row_of(c: FakeContainer) -> dict[str, Any]:
    status = {"exited": f"Exited ({c.exit_code}) 2 minutes ago", "created": "Created"}.get(c.state, "Up 2 minutes")
    return {
        "Id": c.id,
        "Names": [f"/{c.name}"],
        "Image": c.image,
        "ImageID": c.image,
        "Command": " ".join(c.command),
        "State": c.state,
        "Status": status,
        "Labels": dict(c.labels),
        "Ports": list(c.ports) if c.state == "running" else [],
        "NetworkSettings": {"Networks": {n: {} for n in c.networks}},
    }
