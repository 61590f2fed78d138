"""What a look at the hosts gave, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from cortexctl.observed.record import HostRecord
from cortexctl.spec.container import InPlace
from cortexctl.spec.labels import are_own

if TYPE_CHECKING:
    from cortexctl.observed.inspected import Inspected
    from cortexctl.observed.modelfiles import ModelFiles


@dataclass(frozen=True, slots=True)
class BoundPort:
    """A port of the host that a container publishes."""

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class ObservedContainer:
    """One row of the engine's list. `state` is the engine's word; `exit_code` is known when it has exited."""

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
    """Its own addresses on the engine's networks, while it runs; reachable from the host itself."""
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
    engine: str = ""
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


@dataclass(frozen=True, slots=True)
class Observed:
    """One look at all hosts. `images` is keyed by host and reference, for the images that were asked about."""

    hosts: tuple[ObservedHost, ...]
    images: Mapping[tuple[str, str], ImageFacts] = field(default_factory=dict)
    in_place: Mapping[tuple[str, str], InPlace] = field(default_factory=dict)
    """By host and container id: what was inspected, for containers whose label may no longer tell."""
    records: Mapping[str, HostRecord] = field(default_factory=dict)
    """By host: what earlier applies left and how long it took, for the hosts that were asked."""

    adoptable: Mapping[tuple[str, str], Inspected] = field(default_factory=dict)
    """By host and container id: how containers are made that the stack takes by name."""

    model_files: Mapping[tuple[str, str], ModelFiles] = field(default_factory=dict)
    """By host and a source's name: what is known of models' files, for those that were asked about."""

    def host(self, name: str) -> ObservedHost:
        return next(h for h in self.hosts if h.name == name)

    def by_name(self) -> dict[str, ObservedHost]:
        return {h.name: h for h in self.hosts}

    def with_facts(
        self,
        images: Mapping[tuple[str, str], ImageFacts],
        in_place: Mapping[tuple[str, str], InPlace],
        records: Mapping[str, HostRecord],
    ) -> Observed:
        return replace(self, images=images, in_place=in_place, records=records)

    def by_names_now(self, moved: Mapping[str, str]) -> Observed:
        """With the records by the addresses that models have now; `moved` leads from old names to new ones."""
        if not moved or not self.records:
            return self
        return replace(self, records={host: r.by_names_now(moved) for host, r in self.records.items()})

    def with_image_labels(self, known: Mapping[tuple[str, str], Mapping[str, str]]) -> Observed:
        """With what the labels of images, by host and image id, say of whose the labels of their containers are."""
        hosts = (
            replace(h, containers=tuple(_proven(c, known.get((h.name, c.image_id))) for c in h.containers))
            for h in self.hosts
        )
        return replace(self, hosts=tuple(hosts)) if known else self

    def record(self, host: str) -> HostRecord:
        """What is recorded of a host; empty where nothing is, or nobody asked."""
        return self.records.get(host) or HostRecord(host)


def _proven(container: ObservedContainer, of_image: Mapping[str, str] | None) -> ObservedContainer:
    return container if of_image is None else replace(container, own_labels=are_own(container.labels, of_image))


@dataclass(frozen=True, slots=True)
class ContainerState:
    """A container at a moment, from inspect. `endpoint` is where its server can be reached, if anywhere."""

    running: bool
    exit_code: int = 0
    oom_killed: bool = False
    restarts: int = 0
    error: str = ""
    endpoint: str = ""


@dataclass(frozen=True, slots=True)
class LockInfo:
    """Who holds a host's lock. Times are seconds since the epoch, by the engine's clock. A `pid` or a time `started` of
    0 is not known; a lock that does not say when it `expires` never does.
    """

    owner: str
    who: str
    machine: str
    pid: int
    run: str
    started: int
    expires: int | None
    born: str = ""
    """When the process began, in its kernel's ticks: a number that was given to another process since is not it."""

    @property
    def machine_name(self) -> str:
        """For people: the machine without what tells boots and process spaces apart."""
        return self.machine.partition("#")[0]
