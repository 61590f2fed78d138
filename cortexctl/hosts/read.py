"""Reading hosts: one function per fact, with GET requests only. Nothing here can write.

Every function raises DaemonError if a fact cannot be read: that is never the same as "there is none".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cortexctl.concurrently import at_once
from cortexctl.decoding.readers import NotAsExpected
from cortexctl.desired.stack import Host
from cortexctl.errors import DaemonError
from cortexctl.hosts import lock, record_store
from cortexctl.hosts.http import TIMEOUT, daemon_time, get, get_json, get_json_or_none
from cortexctl.instance.image import local_name
from cortexctl.instance.spec import InPlace, Spec
from cortexctl.observed.container_list import (
    parse_containers,
    parse_endpoint,
    parse_images,
    parse_in_place,
    parse_labels,
)
from cortexctl.observed.daemon_json import CONTAINER, IMAGE, LIMITS, TOUCHED, VOLUME, read_answer
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


def observe_host(host: Host) -> ObservedHost:
    """One list request: it returns labels and states of all containers, ours and others'. A host that cannot be read
    has its problem in the result.
    """
    try:
        answer = get(host.docker, LIST)
        containers = parse_containers(read_answer(answer.body))
    except DaemonError as cause:
        return ObservedHost(host.name, problem=cause.message, next_step=cause.next_step)
    except NotAsExpected as cause:
        return ObservedHost(
            host.name, problem=f"the server at {host.docker} is not a Docker daemon: its list of containers: {cause}"
        )
    return ObservedHost(host.name, containers, daemon=answer.daemon, api=answer.api)


def image_labels(host: Host, image: str) -> Mapping[str, str] | None:
    """The labels that an image, by its id, gives its containers. None if it is gone."""
    answer = get_json_or_none(host, f"/images/{image}/json", IMAGE)
    return parse_labels(answer) if answer is not None else None


def local_images(host: Host) -> dict[str, ImageFacts]:
    """All images on the host, by every reference that they have."""
    answer: dict[str, ImageFacts] = get_json(host, "/images/json", parse_images)
    return answer


def in_place(host: Host, container: str, *, timeout: float = TIMEOUT) -> InPlace | None:
    """Restart policy and limits of a container. None if it is gone."""
    answer = get_json_or_none(host, f"/containers/{container}/json", LIMITS, timeout=timeout)
    return parse_in_place(answer) if answer is not None else None


def endpoint(host: Host, container: str) -> str | None:
    """The URL at which clients reach the server of a container; empty if there is none. None if the container is
    gone.
    """
    answer = get_json_or_none(host, f"/containers/{container}/json", TOUCHED)
    return parse_endpoint(answer, host.address) if answer is not None else None


def record(host: Host, owner: str, *, unfinished: bool = True, timeout: float = TIMEOUT) -> HostRecord:
    """The record of earlier applies; empty if there is none. `unfinished`: whether to read also what a killed run may
    have been about to write.
    """
    names = record_store.volume_names(owner) if unfinished else (record_store.volume_name(owner),)
    for name in names:
        labels = _volume(host, name, timeout)
        if labels is not None:
            return record_store.from_labels(host.name, labels)
    return HostRecord(host.name)


def held_lock(host: Host, owner: str) -> HeldLock | None:
    """The holder of the stack's lock there, and the daemon's time then. None if it is free."""
    holder = lock_holder(host, owner)
    return HeldLock(holder, daemon_time(host.docker)) if holder is not None else None


def lock_holder(host: Host, owner: str, *, timeout: float = TIMEOUT) -> LockInfo | None:
    """The holder of the stack's lock there. None if it is free."""
    labels = _volume(host, lock.volume_name(owner), timeout)
    return lock.from_labels(labels) if labels is not None else None


def inspect(host: Host, container: ObservedContainer, spec: Spec, owner: str) -> Inspected | None:
    """The settings of a container beyond its image's own. `spec`: the spec to compare it with. None if it is gone."""
    return _inspect(host, container, spec, owner, {})


def deep(host: Host, ours: Ours, owner: str) -> InspectedHost:
    """Omits containers that were removed meanwhile: the next reading will show it."""
    images = {local_name(name): facts.id for name, facts in local_images(host).items()}
    defaults: dict[str, ImageDefaults] = {}
    read = ((id_, _inspect(host, container, spec, owner, defaults)) for id_, (container, spec) in ours.items())
    return InspectedHost({id_: inspected for id_, inspected in read if inspected is not None}, images)


@dataclass(frozen=True, slots=True)
class Inspection:
    """A container and its image as their daemon shows them, including the environment. `image` is None if it is
    gone.
    """

    container: Mapping[str, Any] = field(repr=False)
    image: Mapping[str, Any] | None = field(repr=False)


def inspect_all(host: Host, containers: Sequence[ObservedContainer]) -> dict[str, Inspection]:
    """By id. Omits containers that were removed meanwhile."""
    inspections = zip(containers, at_once(lambda c: _inspection(host, c), containers), strict=True)
    return {c.id: inspection for c, inspection in inspections if inspection is not None}


def left_by_killed_runs(hosts: Sequence[Host], owner: str) -> list[str]:
    """The hosts where a run that is provably gone left its lock, or the second volume of a record that no run writes.
    Omits hosts that do not answer.
    """

    def is_left(host: Host) -> bool:
        try:
            current = held_lock(host, owner)
            if current is not None:
                return lock.is_dead(current.holder, int(current.now))
            return _volume(host, record_store.volume_name_meanwhile(owner)) is not None
        except DaemonError:
            return False

    return [h.name for h, left in zip(hosts, at_once(is_left, hosts), strict=True) if left]


def _inspect(
    host: Host, container: ObservedContainer, spec: Spec, owner: str, defaults: dict[str, ImageDefaults]
) -> Inspected | None:
    """`defaults`: of images that were read before, by id."""
    answer = get_json_or_none(host, f"/containers/{container.id}/json", CONTAINER)
    if answer is None:
        return None
    if container.image_id not in defaults:
        image = get_json_or_none(host, f"/images/{container.image_id}/json", IMAGE)
        defaults[container.image_id] = parse_image_defaults(image) if image else ImageDefaults(known=False)
    return parse_inspected(answer, spec, defaults[container.image_id], owner)


def _inspection(host: Host, container: ObservedContainer) -> Inspection | None:
    answer = get_json_or_none(host, f"/containers/{container.id}/json", CONTAINER)
    return (
        Inspection(answer, get_json_or_none(host, f"/images/{answer.get('Image')}/json", IMAGE))
        if answer is not None
        else None
    )


def _volume(host: Host, name: str, timeout: float = TIMEOUT) -> Mapping[str, str] | None:
    """A volume's labels; None if there is no such volume."""
    answer = get_json_or_none(host, f"/volumes/{name}", VOLUME, timeout=timeout)
    return None if answer is None else answer["Labels"] or {}
