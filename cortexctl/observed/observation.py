"""The result of one reading of the hosts, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from cortexctl.dataclass import dataclass
from cortexctl.instance.labels import are_own
from cortexctl.observed.record import HostRecord

if TYPE_CHECKING:
    from cortexctl.instance.spec import InPlace
    from cortexctl.model_files.files import ModelFiles
    from cortexctl.observed.host import ImageFacts, ObservedContainer, ObservedHost
    from cortexctl.observed.inspected import Inspected

Key = tuple[str, str]
"""A host's name, and the key of the fact there."""

T = TypeVar("T")


class Fact(StrEnum):
    """A kind of fact that is read in addition to the container lists, with its name for people."""

    IMAGE_LABELS = "image labels"
    ADOPTION = "container configurations"
    RECORD = "record"
    LOCK = "lock"
    IMAGE = "images"
    LIMITS = "container limits"
    MODEL = "model files"
    IDENTITY = "identity"


@dataclass(frozen=True, slots=True)
class Observed:
    """One reading of all hosts. `images` is keyed by host and reference, and has the images that were requested."""

    hosts: tuple[ObservedHost, ...]
    images: Mapping[tuple[str, str], ImageFacts] = field(default_factory=dict)
    in_place: Mapping[tuple[str, str], InPlace] = field(default_factory=dict)
    """By host and container id: the inspection of containers whose label may no longer be accurate."""
    records: Mapping[str, HostRecord] = field(default_factory=dict)
    """By host, for the hosts that were read: what earlier applies recorded, and how long they took."""

    adoptable: Mapping[tuple[str, str], Inspected] = field(default_factory=dict)
    """By host and container id: the settings of containers that the stack adopts by name."""

    model_files: Mapping[tuple[str, str], ModelFiles] = field(default_factory=dict)
    """By host and the source's name: the known facts about models' files, for the models that were requested."""

    identities: Mapping[str, str] = field(default_factory=dict)
    """By host, for hosts that list the same containers as another one: the id and the name of the daemon."""

    unknown: frozenset[tuple[Fact, Key]] = frozenset()
    """Facts that were requested and have no answer: the container is gone since the list, or the snapshot does not have
    the fact.
    """

    taken_at: str = ""
    """Of a snapshot: when it was taken (RFC 3339, UTC). Empty for a reading of the live hosts."""

    def host(self, name: str) -> ObservedHost:
        return next(h for h in self.hosts if h.name == name)

    def by_name(self) -> dict[str, ObservedHost]:
        return {h.name: h for h in self.hosts}

    def with_hosts(self, newer: Mapping[str, ObservedHost]) -> Observed:
        """The same, with these hosts in place of the hosts of the same names."""
        return replace(self, hosts=tuple(newer.get(h.name, h) for h in self.hosts)) if newer else self

    def renewed(self, newer: Observed) -> Observed:
        """The same, with all facts of a later reading of some hosts; earlier facts of those hosts are dropped."""
        hosts = newer.by_name()

        def merged(old: Mapping[Key, T], new: Mapping[Key, T]) -> dict[Key, T]:
            return {**{key: value for key, value in old.items() if key[0] not in hosts}, **new}

        return Observed(
            tuple(hosts.get(h.name, h) for h in self.hosts),
            merged(self.images, newer.images),
            merged(self.in_place, newer.in_place),
            {**{host: r for host, r in self.records.items() if host not in hosts}, **newer.records},
            merged(self.adoptable, newer.adoptable),
            merged(self.model_files, newer.model_files),
            {**{host: i for host, i in self.identities.items() if host not in hosts}, **newer.identities},
            frozenset((fact, key) for fact, key in self.unknown if key[0] not in hosts) | newer.unknown,
            self.taken_at,
        )

    def by_current_names(self, moved: Mapping[str, str]) -> Observed:
        """The same, with the records keyed by the models' current addresses; `moved` maps old names to new ones."""
        if not moved or not self.records:
            return self
        return replace(self, records={host: r.by_current_names(moved) for host, r in self.records.items()})

    def with_image_labels(self, known: Mapping[tuple[str, str], Mapping[str, str]]) -> Observed:
        """The same, with `own_labels` decided by the labels of the images, by host and image id."""
        hosts = (
            replace(h, containers=tuple(_proven(c, known.get((h.name, c.image_id))) for c in h.containers))
            for h in self.hosts
        )
        return replace(self, hosts=tuple(hosts)) if known else self

    def record(self, host: str) -> HostRecord:
        """The record of a host; empty if nothing is recorded or the record was not read."""
        return self.records.get(host) or HostRecord(host)


def _proven(container: ObservedContainer, of_image: Mapping[str, str] | None) -> ObservedContainer:
    return container if of_image is None else replace(container, own_labels=are_own(container.labels, of_image))
