"""What earlier applies recorded on a host, and how long they took: stored by the host's daemon, in a label.

The record gives the expected cost of a replacement, and the last applied spec of an instance whose container is gone. A
run writes the record of an instance before it gives its container the serving name, so the serving container is never
newer than the record.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any

from cortexctl.dataclass import dataclass
from cortexctl.decoding.decode import Decoder, read_json
from cortexctl.decoding.readers import NotAsExpected
from cortexctl.engines.registry import of_known_engine
from cortexctl.instance.codec import spec_from_dict, spec_to_dict
from cortexctl.instance.labels import MOST_GENERATIONS, MOST_ORDINALS, address, is_model_name
from cortexctl.instance.spec import Spec

RECORD_VERSION = 1
LONGEST_LABEL = 16 * 2**20
LONGEST_TIME = 10**8
"""Seconds; no start takes three years."""
FASTEST_DISK = 10**4
"""GiB/s; no memory is that fast."""
REMEMBERED = 5
"""Number of recorded starts and stops of an instance; older ones do not describe today's disks."""


@dataclass(frozen=True, slots=True)
class Start:
    """A start that passed its gate: seconds from the daemon's start to the end of the gate, and the model it loaded."""

    seconds: float
    model: str


@dataclass(frozen=True, slots=True)
class Applied:
    """An instance as an apply left it. `stops`: seconds that its containers took to stop, oldest first. `rates`: GiB/s
    at which its starts read their weights, where a log showed it.

    `over`: the generation that still had the serving name when this one had passed its gate; None once the run is over.
    If a container of that generation still has the name, the run was killed in between, and this record is the newer
    one.
    """

    model: str
    ordinal: int
    generation: int
    run: str
    spec: Spec
    starts: tuple[Start, ...] = ()
    stops: tuple[float, ...] = ()
    rates: tuple[float, ...] = ()
    over: int | None = None

    def is_ahead_of(self, generation: int) -> bool:
        """Whether this generation passed its gate after the container of `generation`, which has the serving name."""
        return self.over == generation != self.generation


@dataclass(frozen=True, slots=True)
class HostRecord:
    """All instances that were applied on a host and not removed since, by address."""

    host: str
    applied: Mapping[str, Applied] = field(default_factory=dict)

    @property
    def rates(self) -> tuple[float, ...]:
        """Of all its starts."""
        return tuple(rate for applied in self.applied.values() for rate in applied.rates)

    def by_current_names(self, moved: Mapping[str, str]) -> HostRecord:
        """By the models' current addresses; `moved` maps old names to new ones."""
        if not any(a.model in moved for a in self.applied.values()):
            return self
        old_names_first = sorted(self.applied.values(), key=lambda a: a.model not in moved)
        renamed = (replace(a, model=moved.get(a.model, a.model)) for a in old_names_first)
        return HostRecord(self.host, {address(self.host, a.model, a.ordinal): a for a in renamed})


class RecordEncoder:
    """Writes the records of one host, one after the other. An entry that stays the same is encoded once."""

    def __init__(self) -> None:
        self._texts: dict[str, tuple[Applied, str]] = {}

    def label(self, record: HostRecord) -> str:
        """Compact and sorted, so that equal records give equal text."""
        texts: dict[str, tuple[Applied, str]] = {}
        for at, applied in sorted(record.applied.items()):
            known = self._texts.get(at)
            texts[at] = known if known is not None and known[0] is applied else (applied, _ENCODE(_to_dict(applied)))
        self._texts = texts
        return f'{{"applied":[{",".join(text for _, text in texts.values())}],"v":{RECORD_VERSION}}}'


def record_to_label(record: HostRecord) -> str:
    """Compact and sorted, so that equal records give equal text."""
    return RecordEncoder().label(record)


def record_from_label(host: str, text: str) -> HostRecord:
    """An unreadable entry counts as not recorded: the record helps, but nothing requires it."""
    try:
        data = read_json(text, most=LONGEST_LABEL)
        if not isinstance(data, dict) or data.get("v") != RECORD_VERSION:
            return HostRecord(host)
        entries = _DECODER.list_of(Applied, data.get("applied"))
    except NotAsExpected:
        return HostRecord(host)
    if not all(_can_be(a) for a in entries):
        return HostRecord(host)
    return HostRecord(host, {address(host, a.model, a.ordinal): a for a in entries})


def _start(value: Any) -> Start:
    return Start(*_DECODER.read(tuple[float, str], value))


def _spec(value: Any) -> Spec:
    return of_known_engine(spec_from_dict(value))


_ENCODE = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
_DECODER = Decoder({Spec: _spec, Start: _start}, may_lack={Applied: {"over", "rates"}})


def _can_be(applied: Applied) -> bool:
    times = (*(s.seconds for s in applied.starts), *applied.stops)
    return (
        is_model_name(applied.model)
        and 1 <= applied.ordinal <= MOST_ORDINALS
        and 0 <= applied.generation <= MOST_GENERATIONS
        and 0 <= (applied.over or 0) <= MOST_GENERATIONS
        and all(0 <= seconds <= LONGEST_TIME for seconds in times)
        and all(0 < rate <= FASTEST_DISK for rate in applied.rates)
    )


def _to_dict(applied: Applied) -> dict[str, Any]:
    return {
        "model": applied.model,
        "ordinal": applied.ordinal,
        "generation": applied.generation,
        "run": applied.run,
        "spec": spec_to_dict(applied.spec),
        "starts": [[s.seconds, s.model] for s in applied.starts],
        "stops": list(applied.stops),
        **({"rates": list(applied.rates)} if applied.rates else {}),
        **({"over": applied.over} if applied.over is not None else {}),
    }
