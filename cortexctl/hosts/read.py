"""Reading hosts: one function per fact, with GET requests only. Nothing here can write.

Every function raises DaemonError if a fact cannot be read: that is never the same as "there is none".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from cortexctl.concurrently import at_once
from cortexctl.dataclass import dataclass
from cortexctl.errors import DaemonError
from cortexctl.hosts import lock, record_store
from cortexctl.hosts.http import TIMEOUT, daemon_time, get, get_json, get_json_or_none
from cortexctl.hosts.transport import Connection
from cortexctl.instance.image import local_name
from cortexctl.instance.spec import InPlace, Spec
from cortexctl.observed.container_list import (
    parse_containers,
    parse_endpoint,
    parse_images,
    parse_in_place,
    parse_labels,
)
from cortexctl.observed.daemon_json import CONTAINER, IMAGE, INFO, LIMITS, TOUCHED, VOLUME
from cortexctl.observed.host import ImageFacts, ObservedContainer, ObservedHost
from cortexctl.observed.inspected import (
    ImageDefaults,
    Inspected,
    InspectedHost,
    parse_image_defaults,
    parse_inspected,
)
from cortexctl.observed.lock_holder import HeldLock, LockInfo
from cortexctl.observed.record import HostRecord

LIST = "/containers/json?all=1"

Ours = Mapping[str, tuple[ObservedContainer, Spec]]
"""Containers to inspect with the specs that they were created with, by id."""


def observe_host(at: Connection) -> ObservedHost:
    """One list request: it returns labels and states of all containers, ours and others'. A host that cannot be read
    has its problem in the result.
    """
    try:
        answer = get(at.transport, LIST, parse_containers)
    except DaemonError as cause:
        return ObservedHost(at.name, problem=cause.message, next_step=cause.next_step)
    return ObservedHost(at.name, answer.content, daemon=answer.daemon, api=answer.api)


def image_labels(at: Connection, image: str) -> Mapping[str, str] | None:
    """The labels that an image, by its id, gives its containers. None if it is gone."""
    answer = get_json_or_none(at, f"/images/{image}/json", IMAGE)
    return parse_labels(answer) if answer is not None else None


def local_images(at: Connection) -> dict[str, ImageFacts]:
    """All images on the host, by every reference that they have."""
    answer: dict[str, ImageFacts] = get_json(at, "/images/json", parse_images)
    return answer


def in_place(at: Connection, container: str, *, timeout: float = TIMEOUT) -> InPlace | None:
    """Restart policy and limits of a container. None if it is gone."""
    answer = get_json_or_none(at, f"/containers/{container}/json", LIMITS, timeout=timeout)
    return parse_in_place(answer) if answer is not None else None


def identity(at: Connection) -> str | None:
    """The id and the name of the daemon, which cloned machines and daemons on one machine partly share. None if it has
    none.
    """
    answer = get_json_or_none(at, "/info", INFO)
    return f"{answer['ID']} {answer['Name']}" if answer is not None and answer["ID"] else None


def endpoint(at: Connection, container: str) -> str | None:
    """The URL at which clients reach the server of a container; empty if there is none. None if the container is
    gone.
    """
    answer = get_json_or_none(at, f"/containers/{container}/json", TOUCHED)
    return parse_endpoint(answer, at.host.address) if answer is not None else None


def record(at: Connection, owner: str, *, unfinished: bool = True, timeout: float = TIMEOUT) -> HostRecord:
    """The record of earlier applies; empty if there is none. `unfinished`: whether to read also what a killed run may
    have been about to write.
    """
    names = record_store.volume_names(owner) if unfinished else (record_store.volume_name(owner),)
    for name in names:
        labels = _volume(at, name, timeout)
        if labels is not None:
            return record_store.from_labels(at.name, labels)
    return HostRecord(at.name)


def held_lock(at: Connection, owner: str) -> HeldLock | None:
    """The holder of the stack's lock there, and the daemon's time then. None if it is free."""
    holder = lock_holder(at, owner)
    return HeldLock(holder, daemon_time(at.transport)) if holder is not None else None


def lock_holder(at: Connection, owner: str, *, timeout: float = TIMEOUT) -> LockInfo | None:
    """The holder of the stack's lock there. None if it is free."""
    labels = _volume(at, lock.volume_name(owner), timeout)
    return lock.from_labels(labels) if labels is not None else None


def inspect(at: Connection, container: ObservedContainer, spec: Spec, owner: str) -> Inspected | None:
    """The settings of a container beyond its image's own. `spec`: the spec to compare it with. None if it is gone."""
    return _inspect(at, container, spec, owner, {})


def deep(at: Connection, ours: Ours, owner: str) -> InspectedHost:
    """Omits containers that were removed meanwhile: the next reading will show it."""
    images = {local_name(name): facts.id for name, facts in local_images(at).items()}
    defaults: dict[str, ImageDefaults] = {}
    read = ((id_, _inspect(at, container, spec, owner, defaults)) for id_, (container, spec) in ours.items())
    return InspectedHost({id_: inspected for id_, inspected in read if inspected is not None}, images)


@dataclass(frozen=True, slots=True)
class Inspection:
    """A container and its image as their daemon shows them, including the environment. `image` is None if it is
    gone.
    """

    container: Mapping[str, Any] = field(repr=False)
    image: Mapping[str, Any] | None = field(repr=False)


def inspect_all(at: Connection, containers: Sequence[ObservedContainer]) -> dict[str, Inspection]:
    """By id. Omits containers that were removed meanwhile."""
    inspections = zip(containers, at_once(lambda c: _inspection(at, c), containers), strict=True)
    return {c.id: inspection for c, inspection in inspections if inspection is not None}


def left_by_killed_runs(hosts: Sequence[Connection], owner: str) -> list[str]:
    """The hosts where a run that is provably gone left its lock, or the second volume of a record that no run writes.
    Omits hosts that do not answer.
    """

    def is_left(at: Connection) -> bool:
        try:
            current = held_lock(at, owner)
            if current is not None:
                return lock.is_dead(current.holder, int(current.now))
            return _volume(at, record_store.volume_name_meanwhile(owner)) is not None
        except DaemonError:
            return False

    return [h.name for h, left in zip(hosts, at_once(is_left, hosts), strict=True) if left]


def _inspect(
    at: Connection, container: ObservedContainer, spec: Spec, owner: str, defaults: dict[str, ImageDefaults]
) -> Inspected | None:
    """`defaults`: of images that were read before, by id."""
    answer = get_json_or_none(at, f"/containers/{container.id}/json", CONTAINER)
    if answer is None:
        return None
    if container.image_id not in defaults:
        image = get_json_or_none(at, f"/images/{container.image_id}/json", IMAGE)
        defaults[container.image_id] = parse_image_defaults(image) if image else ImageDefaults(known=False)
    return parse_inspected(answer, spec, defaults[container.image_id], owner)


def _inspection(at: Connection, container: ObservedContainer) -> Inspection | None:
    answer = get_json_or_none(at, f"/containers/{container.id}/json", CONTAINER)
    return (
        Inspection(answer, get_json_or_none(at, f"/images/{answer.get('Image')}/json", IMAGE))
        if answer is not None
        else None
    )


def _volume(at: Connection, name: str, timeout: float = TIMEOUT) -> Mapping[str, str] | None:
    """A volume's labels; None if there is no such volume."""
    answer = get_json_or_none(at, f"/volumes/{name}", VOLUME, timeout=timeout)
    return None if answer is None else answer["Labels"] or {}
