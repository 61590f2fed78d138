"""A host's record of what was applied: the label of a volume of ours. The volume holds no data and needs no image.

A volume's labels never change, so the volume is created again for each change. Meanwhile a second volume has the new
record: a run that is killed in between leaves one of the two, and a reader that finds no first one reads the second.
"""

from __future__ import annotations

from collections.abc import Mapping

from cortexctl.instance.labels import PREFIX, owner_labels
from cortexctl.observed.record import HostRecord, record_from_label

_RECORD = PREFIX + "record"


def volume_name(whose: str) -> str:
    return f"cortexctl-record-{whose.replace('@', '--')}"


def volume_name_meanwhile(whose: str) -> str:
    """The name of the second volume, which exists while the first is created again."""
    return f"cortexctl-recording-{whose.replace('@', '--')}"


def volume_names(whose: str) -> tuple[str, str]:
    """The volumes to read, in this order."""
    return volume_name(whose), volume_name_meanwhile(whose)


def to_labels(whose: str, record: str) -> dict[str, str]:
    """`record`: as a `RecordEncoder` writes it."""
    return {**owner_labels(whose), _RECORD: record}


def from_labels(host: str, labels: Mapping[str, str]) -> HostRecord:
    """Empty if the volume is not one of ours or cannot be read."""
    return record_from_label(host, labels.get(_RECORD, ""))
