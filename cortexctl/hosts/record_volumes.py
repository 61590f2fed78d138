"""Changes the two volumes of a host's record. At every moment one of them has the old record or the new one."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import docker
import docker.errors

from cortexctl.hosts import record_store
from cortexctl.observed.container_list import parse_volume_labels
from cortexctl.observed.record import HostRecord


def write(api: docker.APIClient, owner: str, new: HostRecord) -> None:
    """Replaces the old record; an empty record is removed. Raises docker-py's APIError."""
    name, meanwhile = record_store.volume_names(owner)
    _remove(api, meanwhile)  # left by a killed run
    if new.applied:
        api.create_volume(meanwhile, labels=record_store.to_labels(owner, new))
    _remove(api, name)
    if new.applied:
        api.create_volume(name, labels=record_store.to_labels(owner, new))
        _remove(api, meanwhile)


def settle(api: docker.APIClient, owner: str) -> None:
    """Keep only the first if a killed run left both, or only the second. Raises docker-py's APIError."""
    name, meanwhile = record_store.volume_names(owner)
    left = _labels(api, meanwhile)
    if left is None:
        return
    if _labels(api, name) is None:
        api.create_volume(name, labels=dict(left))
    _remove(api, meanwhile)


def _labels(api: docker.APIClient, name: str) -> Mapping[str, str] | None:
    """None if there is no such volume."""
    try:
        return parse_volume_labels(api.inspect_volume(name))
    except docker.errors.NotFound:
        return None


def _remove(api: docker.APIClient, name: str) -> None:
    with suppress(docker.errors.NotFound):
        api.remove_volume(name)
