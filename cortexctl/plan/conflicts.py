"""Whether two containers can run on a host at the same time: a port has one holder; GPUs can be shared if both shares
allow it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Literal

from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Instance
from cortexctl.engines.registry import engine_of
from cortexctl.instance.spec import Spec

ANY_ADDRESS = {"", "0.0.0.0", "::"}  # noqa: S104


@dataclass(frozen=True, slots=True)
class BothNeed:
    """A resource that only one of two containers can have: a port, or GPUs."""

    what: Literal["port", "GPU"]
    first: int
    others: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.what} {', '.join(map(str, (self.first, *self.others)))}"


def what_both_need(one: Spec, other: Spec) -> BothNeed | None:
    """The resource that only one of them can have; None if both can run."""
    a, b = one.container.publish, other.container.publish
    if a and b and a.port and a.port == b.port and overlap(a.address, b.address):
        return BothNeed("port", a.port)
    shared = sorted(set(one.container.gpus) & set(other.container.gpus))
    if shared and utilization(one) + utilization(other) > 1:
        return BothNeed("GPU", shared[0], tuple(shared[1:]))
    return None


def utilization(spec: Spec) -> float:
    """The share of its GPUs' memory that a container takes."""
    return engine_of(spec.server).gpu_use(spec.server).share


def oversubscribed_gpus(instances: Iterable[Instance]) -> dict[tuple[str, int], list[Instance]]:
    """(host, GPU) -> its sharers, for each GPU of which they take more than the whole. In order."""
    users: dict[tuple[str, int], list[Instance]] = defaultdict(list)
    for instance in instances:
        for index in instance.spec.container.gpus:
            users[instance.host, index].append(instance)
    return {
        gpu: sharers
        for gpu, sharers in sorted(users.items())
        if len(sharers) > 1 and sum(utilization(s.spec) for s in sharers) > 1
    }


def is_pinned(spec: Spec) -> bool:
    """Whether the size of its cache is set in bytes; then its share does not limit its memory."""
    return engine_of(spec.server).gpu_use(spec.server).cache_bytes is not None


def overlap(one: str, other: str) -> bool:
    """Whether a port on one address conflicts with the same port on the other."""
    return one == other or one in ANY_ADDRESS or other in ANY_ADDRESS
