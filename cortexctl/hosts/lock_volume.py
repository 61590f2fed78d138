"""Takes a host's lock: creates its volume, or reads the labels of the one that is there."""

from __future__ import annotations

from cortexctl.hosts import lock
from cortexctl.hosts.daemon_api import DaemonApi, Refusal
from cortexctl.hosts.podman import is_taken
from cortexctl.observed.container_list import parse_volume_labels
from cortexctl.observed.lock_holder import LockInfo

TRIES = 3
"""Requests in which the volume is created by another run each time, and removed again before the next request."""


def take(api: DaemonApi, owner: str, wanted: LockInfo) -> LockInfo:
    """The holder. Docker returns an existing volume; Podman refuses to create one that another request is creating.
    Raises Refusal.
    """
    for left in reversed(range(TRIES)):
        try:
            volume = api.create_volume(lock.volume_name(owner), labels=lock.to_labels(owner, wanted))
        except Refusal as cause:
            if not is_taken(cause) or not left:
                raise
        else:
            return lock.from_labels(parse_volume_labels(volume))
    raise AssertionError("the last request returns or raises")
