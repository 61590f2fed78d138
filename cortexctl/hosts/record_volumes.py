"""Changes the two volumes of a host's record. At every moment one of them has the old record or the new one."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from cortexctl.hosts import record_store
from cortexctl.hosts.daemon_api import DaemonApi, Missing, Refusal
from cortexctl.hosts.podman import is_taken
from cortexctl.observed.container_list import parse_volume_labels
from cortexctl.observed.record import HostRecord, RecordEncoder


def write(api: DaemonApi, owner: str, new: HostRecord, encoder: RecordEncoder) -> None:
    """Replaces the old record; an empty record is removed. Raises Refusal."""
    name, meanwhile = record_store.volume_names(owner)
    labels = record_store.to_labels(owner, encoder.label(new))
    if new.applied:
        _create(api, meanwhile, labels)
    else:
        _remove(api, meanwhile)  # left by a killed run
    _remove(api, name)
    if new.applied:
        _create(api, name, labels)
        _remove(api, meanwhile)


def settle(api: DaemonApi, owner: str) -> None:
    """Keep only the first if a killed run left both, or only the second. Raises Refusal."""
    name, meanwhile = record_store.volume_names(owner)
    left = _labels(api, meanwhile)
    if left is None:
        return
    if _labels(api, name) is None:
        api.create_volume(name, left)
    _remove(api, meanwhile)


def _create(api: DaemonApi, name: str, labels: Mapping[str, str]) -> None:
    """Also if a killed run left a volume of this name. Docker answers with that one, and Podman refuses."""
    try:
        if parse_volume_labels(api.create_volume(name, labels)) == labels:
            return
    except Refusal as cause:
        if not is_taken(cause):
            raise
    _remove(api, name)
    api.create_volume(name, labels)


def _labels(api: DaemonApi, name: str) -> Mapping[str, str] | None:
    """None if there is no such volume."""
    try:
        return parse_volume_labels(api.inspect_volume(name))
    except Missing:
        return None


def _remove(api: DaemonApi, name: str) -> None:
    with suppress(Missing):
        api.remove_volume(name)
