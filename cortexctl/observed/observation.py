"""What a look at the hosts gave, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TypeVar

from cortexctl.instance.labels import are_own
from cortexctl.instance.spec import InPlace
from cortexctl.model_files.files import ModelFiles
from cortexctl.observed.host import ImageFacts, ObservedContainer, ObservedHost
from cortexctl.observed.inspected import Inspected
from cortexctl.observed.record import HostRecord

Key = tuple[str, str]
"""A host's name, and what is asked about there."""

T = TypeVar("T")


class Fact(StrEnum):
    """A kind of fact that is read beside the lists of containers, as people call it."""

    IMAGE_LABELS = "image labels"
    ADOPTION = "container configurations"
    RECORD = "record"
    LOCK = "lock"
    IMAGE = "images"
    LIMITS = "container limits"
    MODEL = "model files"


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

    unknown: frozenset[tuple[Fact, Key]] = frozenset()
    """What was asked about and has no answer: it is gone since the list, or a snapshot does not have it."""

    def host(self, name: str) -> ObservedHost:
        return next(h for h in self.hosts if h.name == name)

    def by_name(self) -> dict[str, ObservedHost]:
        return {h.name: h for h in self.hosts}

    def with_hosts(self, newer: Mapping[str, ObservedHost]) -> Observed:
        """With these in the place of the hosts of their names."""
        return replace(self, hosts=tuple(newer.get(h.name, h) for h in self.hosts)) if newer else self

    def renewed(self, newer: Observed) -> Observed:
        """With all that a later reading of some of these hosts gave, and nothing earlier of them."""
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
            frozenset((fact, key) for fact, key in self.unknown if key[0] not in hosts) | newer.unknown,
        )

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
