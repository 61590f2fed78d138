"""A host's record of what was applied: a volume of ours, for its label. It holds no data and needs no image."""

from __future__ import annotations

from collections.abc import Mapping

from cortexctl.observed.record import HostRecord, record_from_label, record_to_label
from cortexctl.spec.labels import PREFIX, owner_labels

_RECORD = PREFIX + "record"


def volume_name(whose: str) -> str:
    return f"cortexctl-record-{whose.replace('@', '--')}"


def to_labels(whose: str, record: HostRecord) -> dict[str, str]:
    return {**owner_labels(whose), _RECORD: record_to_label(record)}


def from_labels(host: str, found: Mapping[str, str]) -> HostRecord:
    """Empty when the volume is not one of ours or cannot be read."""
    return record_from_label(host, found.get(_RECORD, ""))
