"""The network of a host's instances. Two runs of two stacks may create the same network at the same moment."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cortexctl.hosts.daemon_api import DaemonApi, Refusal
from cortexctl.hosts.podman import is_taken
from cortexctl.instance.labels import owner_labels, owner_of
from cortexctl.observed.daemon_json import CREATED, NETWORKS

FORBIDDEN, NOT_FOUND = 403, 404
TRIES = 10
"""Attempts of a start that meets a second network each time. There are never more than a few requests at once."""
RETRY_EVERY = 0.2
"""Seconds between two attempts to remove a network."""


def ensure(api: DaemonApi, name: str, owner: str) -> bool:
    """Whether it is new, and ours. Raises Refusal."""
    created = ""
    if not _named(api, name):
        try:
            answer = api.create_network(name, owner_labels(owner))
            created = CREATED(answer)["Id"]
        except Refusal as cause:
            if not is_taken(cause):
                raise
    id_ = _only_one(api, name)
    return bool(created) and id_ == created


def start_on(api: DaemonApi, name: str, container: str) -> None:
    """Start a container on this network, also if another run's request, in progress when ours was answered, has just
    created a second one. Raises Refusal.
    """
    for left in reversed(range(TRIES)):
        try:
            api.start(container)
            return
        except Refusal as cause:
            if "is ambiguous" not in cause.explanation or not left:
                raise
            _only_one(api, name)


def remove(api: DaemonApi, name: str, owner: str) -> bool:
    """Whether it is gone. Removes it only if we created it for this owner and no container uses it. Raises
    Refusal.
    """
    for network in _named(api, name):
        if owner_of(network.get("Labels") or {}) != owner or _is_in_use(api, network["Id"]):
            return False
        if not _removes(api, network["Id"]):
            return False
    return True


def _removes(api: DaemonApi, id_: str) -> bool:
    """Whether it is removed. A busy daemon counts a removed container as a user of its network for a moment, and
    Docker 20.10 sometimes until its next start: such a network is in use.
    """
    for left in reversed(range(TRIES)):
        try:
            api.remove_network(id_)
        except Refusal as cause:
            if cause.status == NOT_FOUND:
                return True
            if cause.status != FORBIDDEN:
                raise
        else:
            return True
        if left:
            time.sleep(RETRY_EVERY)
    return False


def _named(api: DaemonApi, name: str) -> list[dict[str, Any]]:
    """Those with exactly this name (the daemon's own filter also matches parts of it), the oldest first."""
    networks = [n for n in NETWORKS(api.networks(name)) if n["Name"] == name]
    return sorted(networks, key=lambda n: (n["Created"], n["Id"]))


def _only_one(api: DaemonApi, name: str) -> str:
    """Its id, empty if it was removed meanwhile. Of those that cortexctl created, the oldest stays: daemons up to 24
    create two of one name for two simultaneous requests, and start nothing on either from then on
    (https://github.com/moby/moby/issues/20648).
    """
    networks = _named(api, name)
    for network in networks[1:]:
        if owner_of(network.get("Labels") or {}) and not _is_in_use(api, network["Id"]):
            with _never_mind(FORBIDDEN, NOT_FOUND):  # a container uses it by now, or it is gone already
                api.remove_network(network["Id"])
    return str(networks[0]["Id"]) if networks else ""


def _is_in_use(api: DaemonApi, id_: str) -> bool:
    """Stopped containers count, too: a container remembers its network by id, and never starts again without it."""
    return bool(api.containers_on(id_))


@contextmanager
def _never_mind(*statuses: int) -> Iterator[None]:
    """Ignores refusals with these statuses."""
    try:
        yield
    except Refusal as cause:
        if cause.status not in statuses:
            raise
