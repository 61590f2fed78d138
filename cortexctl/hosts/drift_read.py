"""Looking at hosts for drift: two GETs a host (the list, the record), more only where something is to be found out.

As `observe`, it has nothing that could write.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from cortexctl.decoding.readers import Reader
from cortexctl.desired.stack import Host
from cortexctl.errors import DaemonError, DaemonRefused
from cortexctl.hosts import lock, record_store
from cortexctl.hosts.read import NOT_FOUND, ask, daemon_time, observe_host
from cortexctl.instance.image import local_name
from cortexctl.instance.spec import InPlace, Spec
from cortexctl.observed.container_list import parse_images, parse_in_place, parse_labels
from cortexctl.observed.daemon_json import CONTAINER, IMAGE, LIMITS, VOLUME
from cortexctl.observed.host import ObservedContainer, ObservedHost
from cortexctl.observed.inspected import (
    ImageDefaults,
    Inspected,
    parse_image_defaults,
    parse_inspected,
)
from cortexctl.observed.lock_holder import LockInfo
from cortexctl.observed.observation import Observed
from cortexctl.observed.record import HostRecord

PARALLEL = 32

Given = TypeVar("Given")
Got = TypeVar("Got")


@dataclass(frozen=True, slots=True)
class Look:
    """One host, read once. `holder` has its lock; it is known only where it was asked for."""

    seen: ObservedHost
    record: HostRecord
    holder: LockInfo | None = None
    now: float = 0
    """By the daemon's clock, where there is a holder: by it his time is over or not."""


@dataclass(frozen=True, slots=True)
class DeepLook:
    """Inspections by container id, and what image tags mean on the host now. `problem`: it stopped answering."""

    inspected: Mapping[str, Inspected] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    problem: DaemonError | None = None


Ours = Mapping[str, tuple[ObservedContainer, Spec]]
"""Containers to inspect with the specs that they were made with, by id."""


def look_at(hosts: Sequence[Host], owner: str) -> list[Look]:
    """All hosts at once; one that cannot be read is in the result with its problem, and is asked no more."""
    return _at_once(lambda host: _look(host, owner), hosts)


def look_again(hosts: Sequence[Host], owner: str) -> list[Look]:
    """The lock first and everything else after it: what is found then was not found in the middle of an apply, unless
    the look says that there is one.
    """
    return _at_once(lambda host: _locked_look(host, owner), hosts)


def left_by_killed_runs(hosts: Sequence[Host], owner: str) -> list[str]:
    """The hosts where a run that is provably gone left its lock, or the second volume of a record that nobody writes.
    A host that does not answer is not among them.
    """

    def is_left(host: Host) -> bool:
        try:
            held = _volume(host, lock.volume_name(owner))
            if held is not None:
                return lock.is_dead(lock.from_labels(held), int(daemon_time(host.docker)))
            return _volume(host, record_store.volume_name_meanwhile(owner)) is not None
        except DaemonError:
            return False

    return [h.name for h, left in zip(hosts, _at_once(is_left, hosts), strict=True) if left]


def inspect_in_place(hosts: Sequence[Host], wanted: Mapping[str, Sequence[str]]) -> dict[tuple[str, str], InPlace]:
    """Restart policy and limits of containers, by host and id. What cannot be read, is not in it."""
    pairs = [(host, container) for host in hosts for container in wanted.get(host.name, ())]
    found = _at_once(lambda pair: _inspect(pair[0], pair[1]), pairs)
    return {(h.name, c): parse_in_place(json_) for (h, c), json_ in zip(pairs, found, strict=True) if json_}


def with_image_labels(hosts: Sequence[Host], observed: Observed, wanted: Sequence[tuple[str, str]]) -> Observed:
    """With the labels of images, by host and image id. One that is gone says nothing. A host that does not answer
    counts as unread: whose its containers are decides what is done with them.
    """
    by_name = {h.name: h for h in hosts}
    known = {}
    unread = {}
    for (host, id_), image in zip(
        wanted, _at_once(lambda pair: _image(by_name[pair[0]], pair[1]), wanted), strict=True
    ):
        if isinstance(image, DaemonError):
            unread[host] = _unread(by_name[host], image)
        elif image is not None:
            known[host, id_] = parse_labels(image)
    read = observed.with_image_labels(known)
    return replace(read, hosts=tuple(unread.get(h.name, h) for h in read.hosts))


def look_deep(hosts: Sequence[Host], ours: Mapping[str, Ours], owner: str) -> dict[str, DeepLook]:
    """Inspections of our containers and the local images, by host."""
    return dict(zip((h.name for h in hosts), _at_once(lambda h: _deep(h, ours[h.name], owner), hosts), strict=True))


@dataclass(frozen=True, slots=True)
class Inspection:
    """A container and its image as their daemon shows them, environment and all. `image` is None when it is gone."""

    container: Mapping[str, Any] = field(repr=False)
    image: Mapping[str, Any] | None = field(repr=False)


def inspect_all(host: Host, containers: Sequence[ObservedContainer]) -> dict[str, Inspection]:
    """By id. One that was removed meanwhile is not in it. Raises DaemonError."""
    found = zip(containers, _at_once(lambda c: _inspection(host, c), containers), strict=True)
    return {c.id: inspection for c, inspection in found if inspection is not None}


def _inspection(host: Host, container: ObservedContainer) -> Inspection | None:
    found = _found(host, f"/containers/{container.id}/json", CONTAINER)
    return Inspection(found, _found(host, f"/images/{found.get('Image')}/json", IMAGE)) if found is not None else None


def as_observed(looks: Sequence[Look]) -> Observed:
    return Observed(tuple(at.seen for at in looks), records={at.seen.name: at.record for at in looks})


def _at_once(ask: Callable[[Given], Got], all_of_them: Sequence[Given]) -> list[Got]:
    if len(all_of_them) < 2:
        return [ask(each) for each in all_of_them]
    with ThreadPoolExecutor(max_workers=min(PARALLEL, len(all_of_them))) as pool:
        return list(pool.map(ask, all_of_them))


def _look(host: Host, owner: str, names: Sequence[str] = ()) -> Look:
    """`names`: the volumes in which the record may be, by default the usual one."""
    seen = observe_host(host)
    nothing = HostRecord(host.name)
    if not seen.is_reachable:
        return Look(seen, nothing)
    try:
        places = names or (record_store.volume_name(owner),)
        volume = next((v for name in places if (v := _volume(host, name)) is not None), None)
    except DaemonError as cause:  # without the record nothing can be said of what is gone
        return Look(_unread(host, cause), nothing)
    return Look(seen, record_store.from_labels(host.name, volume) if volume is not None else nothing)


def _locked_look(host: Host, owner: str) -> Look:
    try:
        volume = _volume(host, lock.volume_name(owner))
        now = daemon_time(host.docker) if volume is not None else 0
    except DaemonError as cause:
        return Look(_unread(host, cause), HostRecord(host.name))
    if volume is None:
        return _look(host, owner)
    # Who has the lock, or had it when he was killed, may have been about to write.
    return replace(_look(host, owner, record_store.volume_names(owner)), holder=lock.from_labels(volume), now=now)


def _volume(host: Host, name: str) -> Mapping[str, str] | None:
    """A volume's labels; None when there is no such volume."""
    found = _found(host, f"/volumes/{name}", VOLUME)
    return None if found is None else found["Labels"] or {}


def _inspect(host: Host, container: str) -> Mapping[str, Any] | None:
    try:
        return _found(host, f"/containers/{container}/json", LIMITS)
    except DaemonError:
        return None


def _image(host: Host, image: str) -> Mapping[str, Any] | DaemonError | None:
    try:
        return _found(host, f"/images/{image}/json", IMAGE)
    except DaemonError as cause:
        return cause


def _deep(host: Host, ours: Ours, owner: str) -> DeepLook:
    try:
        images = {local_name(n): facts.id for n, facts in ask(host, "/images/json", parse_images).items()}
        defaults: dict[str, ImageDefaults] = {}
        inspected = {}
        for id_, (container, spec) in ours.items():
            found = _found(host, f"/containers/{id_}/json", CONTAINER)
            if found is None:  # removed while we looked: the next look will tell
                continue
            if container.image_id not in defaults:
                image = _found(host, f"/images/{container.image_id}/json", IMAGE)
                defaults[container.image_id] = parse_image_defaults(image) if image else ImageDefaults(known=False)
            inspected[id_] = parse_inspected(found, spec, defaults[container.image_id], owner)
    except DaemonError as cause:
        return DeepLook(problem=cause)
    return DeepLook(inspected, images)


def _found(host: Host, path: str, shape: Reader) -> Mapping[str, Any] | None:
    """What is there; None when nothing is."""
    try:
        found: Mapping[str, Any] = ask(host, path, shape)
    except DaemonRefused as cause:
        if cause.status == NOT_FOUND:
            return None
        raise
    return found


def _unread(host: Host, cause: DaemonError) -> ObservedHost:
    return ObservedHost(host.name, problem=cause.message, next_step=cause.next_step)
