"""Reading hosts: one function per fact, with GET requests only. Nothing here can write.

Every function raises DaemonError if a fact cannot be read: that is never the same as "there is none".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING, Any

from cortexctl.concurrently import PER_HOST, at_once
from cortexctl.dataclass import dataclass
from cortexctl.errors import DaemonError, DaemonRefused
from cortexctl.hosts.http import NOT_FOUND, TIMEOUT, daemon_time, get, get_json, get_json_or_none
from cortexctl.hosts.transport import Connection
from cortexctl.instance.spec import InPlace, Spec
from cortexctl.observed.container_list import (
    parse_containers,
    parse_images,
    parse_in_place,
    parse_labels,
    parse_listed,
    parse_named_release,
)
from cortexctl.observed.daemon_json import CONTAINER, IMAGE, INFO, LIMITS, LOCAL_IMAGE, VOLUME
from cortexctl.observed.host import ImageFacts, Listed, ObservedContainer, ObservedHost

if TYPE_CHECKING:
    from cortexctl.observed.inspected import ImageDefaults, Inspected, InspectedHost
    from cortexctl.observed.lock_holder import HeldLock, LockInfo
    from cortexctl.observed.record import HostRecord

LIST = "/containers/json?all=1"

Ours = Mapping[str, tuple[ObservedContainer, Spec]]
"""Containers to inspect with the specs that they were created with, by id."""


def observe_host(at: Connection, *, locates: bool = False) -> ObservedHost:
    """One list request: it returns labels and states of all containers, ours and others'. `locates`: also where their
    servers are. A host that cannot be read has its problem in the result.
    """
    try:
        answer = get(at.transport, LIST, _parse_located if locates else _parse_unlocated)
    except DaemonError as cause:
        return ObservedHost(at.name, problem=cause.message, next_step=cause.next_step)
    containers, listed = answer.content
    return ObservedHost(at.name, containers, daemon=answer.daemon, api=answer.api, listed=listed)


def _parse_located(answer: Any) -> tuple[tuple[ObservedContainer, ...], Mapping[str, Listed]]:
    return parse_containers(answer), parse_listed(answer)


def _parse_unlocated(answer: Any) -> tuple[tuple[ObservedContainer, ...], Mapping[str, Listed]]:
    return parse_containers(answer), {}


def image_labels(at: Connection, image: str) -> Mapping[str, str] | None:
    """The labels that an image, by its id, gives its containers. None if it is gone."""
    answer = get_json_or_none(at, f"/images/{image}/json", IMAGE)
    return parse_labels(answer) if answer is not None else None


def local_image(at: Connection, reference: str) -> ImageFacts | None:
    """An image on the host. None if it does not have it."""
    from urllib.parse import quote

    try:
        answer = get(at.transport, f"/images/{quote(reference, safe='/:')}/json", LOCAL_IMAGE).content
    except DaemonRefused as cause:
        if cause.status == NOT_FOUND:
            return None
        raise
    release = parse_named_release(answer.get("Config") or {})
    return ImageFacts(reference, "local", id=answer["Id"], release=release)


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


def record(at: Connection, owner: str, *, unfinished: bool = True, timeout: float = TIMEOUT) -> HostRecord:
    """The record of earlier applies; empty if there is none. `unfinished`: whether to read also what a killed run may
    have been about to write.
    """
    from cortexctl.hosts import record_store
    from cortexctl.observed.record import HostRecord

    names = record_store.volume_names(owner) if unfinished else (record_store.volume_name(owner),)
    for name in names:
        labels = _volume(at, name, timeout)
        if labels is not None:
            return record_store.from_labels(at.name, labels)
    return HostRecord(at.name)


def held_lock(at: Connection, owner: str) -> HeldLock | None:
    """The holder of the stack's lock there, and the daemon's time then. None if it is free."""
    from cortexctl.observed.lock_holder import HeldLock

    holder = lock_holder(at, owner)
    return HeldLock(holder, daemon_time(at.transport)) if holder is not None else None


def lock_holder(at: Connection, owner: str, *, timeout: float = TIMEOUT) -> LockInfo | None:
    """The holder of the stack's lock there. None if it is free."""
    from cortexctl.hosts import lock

    labels = _volume(at, lock.volume_name(owner), timeout)
    return lock.from_labels(labels) if labels is not None else None


def inspect(at: Connection, container: ObservedContainer, spec: Spec, owner: str) -> Inspected | None:
    """The settings of a container beyond its image's own. `spec`: the spec to compare it with. None if it is gone."""
    from cortexctl.observed.inspected import parse_inspected

    answer = _container(at, container.id)
    if answer is None:
        return None
    return parse_inspected(answer, spec, _image_defaults(at, container.image_id), owner)


def deep(at: Connection, ours: Ours, owner: str) -> InspectedHost:
    """Omits containers that were removed meanwhile: the next reading will show it."""
    from cortexctl.instance.image import local_name
    from cortexctl.observed.inspected import InspectedHost, parse_inspected

    images = {local_name(name): facts.id for name, facts in local_images(at).items()}
    answers = zip(ours, at_once(partial(_container, at), list(ours), most=PER_HOST), strict=True)
    known = {id_: answer for id_, answer in answers if answer is not None}
    of = list(dict.fromkeys(ours[id_][0].image_id for id_ in known))
    defaults = dict(zip(of, at_once(partial(_image_defaults, at), of, most=PER_HOST), strict=True))
    inspected = {
        id_: parse_inspected(answer, ours[id_][1], defaults[ours[id_][0].image_id], owner)
        for id_, answer in known.items()
    }
    return InspectedHost(inspected, images)


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
    from cortexctl.hosts import lock, record_store

    def is_left(at: Connection) -> bool:
        try:
            current = held_lock(at, owner)
            if current is not None:
                return lock.is_dead(current.holder, int(current.now))
            return _volume(at, record_store.volume_name_meanwhile(owner)) is not None
        except DaemonError:
            return False

    return [h.name for h, left in zip(hosts, at_once(is_left, hosts), strict=True) if left]


def _image_defaults(at: Connection, image: str) -> ImageDefaults:
    """What an image, by its id, gives its containers."""
    from cortexctl.observed.inspected import ImageDefaults, parse_image_defaults

    answer = get_json_or_none(at, f"/images/{image}/json", IMAGE)
    return parse_image_defaults(answer) if answer else ImageDefaults(known=False)


def _container(at: Connection, id_: str) -> Any:
    """None if it is gone."""
    return get_json_or_none(at, f"/containers/{id_}/json", CONTAINER)


def _inspection(at: Connection, container: ObservedContainer) -> Inspection | None:
    answer = _container(at, container.id)
    return (
        Inspection(answer, get_json_or_none(at, f"/images/{answer.get('Image')}/json", IMAGE))
        if answer is not None
        else None
    )


def _volume(at: Connection, name: str, timeout: float = TIMEOUT) -> Mapping[str, str] | None:
    """A volume's labels; None if there is no such volume."""
    answer = get_json_or_none(at, f"/volumes/{name}", VOLUME, timeout=timeout)
    return None if answer is None else answer["Labels"] or {}
