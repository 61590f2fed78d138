"""A host's containers and images, as its daemon lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class BoundPort:
    """A port of the host that a container publishes."""

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class ObservedContainer:
    """One row of the daemon's list. `state` is the daemon's word; `exit_code` is known when it has exited."""

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
    """Its own addresses on the daemon's networks, while it runs; reachable from the host itself."""
    own_labels: bool | None = None
    """Whether its labels are its own, and not those of its image; None: not known, for nobody asked or could tell."""

    @property
    def is_running(self) -> bool:
        return self.state == "running"


@dataclass(frozen=True, slots=True)
class ObservedHost:
    """A host's containers, ours and everybody else's. `problem` says why it could not be read, then
    `containers` means nothing: "cannot list" is never "no containers".
    """

    name: str
    containers: tuple[ObservedContainer, ...] = ()
    daemon: str = ""
    api: str = ""
    problem: str = ""
    next_step: str = ""

    @property
    def is_reachable(self) -> bool:
        return not self.problem


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """Where an image is to be had for a host: `local` (its id), in the `registry` (its digest), or not."""

    reference: str
    found: Literal["local", "registry", "missing"]
    id: str = ""
    digest: str = ""
    problem: str = ""
    release: str = ""
    """The vLLM release that the image itself names; official images do since 0.21.0."""
