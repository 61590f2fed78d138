"""A host's containers and images, as the daemon lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal

from cortexctl.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class BoundPort:
    """A port of the host that a container publishes."""

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class ObservedContainer:
    """One row of the daemon's list. `state` is the daemon's own term; `exit_code` is known if the container has
    exited.
    """

    id: str
    name: str
    image: str
    image_id: str
    state: str
    exit_code: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[BoundPort, ...] = ()
    networks: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    """Its addresses on the daemon's networks while it runs; reachable from the host itself."""
    own_labels: bool | None = None
    """Whether the labels belong to the container itself and not to its image. None: not known, because it was not
    checked or the image could not be read.
    """

    @property
    def is_running(self) -> bool:
        return self.state == "running"


@dataclass(frozen=True, slots=True)
class Listed:
    """Where the server of a container is, as far as the list shows it. `mode`: of its network, which never changes.
    `networks`: as the daemon writes them. `published`: (port inside, address, port of the host).
    """

    command: str
    mode: str
    networks: Mapping[str, Any]
    published: tuple[tuple[int, str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class ObservedHost:
    """All containers of a host, ours and others. If the host could not be read, `problem` gives the reason and
    `containers` is meaningless: "cannot list" is never "no containers".
    """

    name: str
    containers: tuple[ObservedContainer, ...] = ()
    daemon: str = ""
    api: str = ""
    problem: str = ""
    next_step: str = ""
    listed: Mapping[str, Listed] = field(default_factory=dict, compare=False, repr=False)
    """Where the servers of its containers are, by id, if that was requested."""

    @property
    def is_reachable(self) -> bool:
        return not self.problem


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """Where a host can get an image: `local` (its id), from the `registry` (its digest), or nowhere."""

    reference: str
    availability: Literal["local", "registry", "missing"]
    id: str = ""
    digest: str = ""
    problem: str = ""
    release: str = ""
    """The vLLM release that the image itself names; official images name it since 0.21.0."""
