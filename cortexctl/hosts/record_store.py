"""A host's record of what was applied: a volume of ours, for its label. It holds no data and needs no image.

A volume's labels never change, so it is made anew. Meanwhile a second one has what is being written: a run that is
killed in between leaves one of the two, and whoever finds no first one reads the second.
"""

from __future__ import annotations

from collections.abc import Mapping

from cortexctl.instance.labels import PREFIX, owner_labels
from cortexctl.observed.record import HostRecord, record_from_label, record_to_label

_RECORD = PREFIX + "record"


def volume_name(whose: str) -> str:
    return f"cortexctl-record-{whose.replace('@', '--')}"


def volume_name_meanwhile(whose: str) -> str:
    """Of the second one, which lives while the first is made anew."""
    return f"cortexctl-recording-{whose.replace('@', '--')}"


def volume_names(whose: str) -> tuple[str, str]:
    """Where to look, in this order."""
    return volume_name(whose), volume_name_meanwhile(whose)


def to_labels(whose: str, record: HostRecord) -> dict[str, str]:
    return {**owner_labels(whose), _RECORD: record_to_label(record)}


def from_labels(host: str, found: Mapping[str, str]) -> HostRecord:
    """Empty when the volume is not one of ours or cannot be read."""
    return record_from_label(host, found.get(_RECORD, ""))
