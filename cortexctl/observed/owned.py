"""Which of a host's containers are the stack's, and which part each plays for its instance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cortexctl.observed.inspected import Inspected
from cortexctl.observed.state import ObservedContainer, ObservedHost
from cortexctl.spec import labels
from cortexctl.spec.codec import spec_from_label
from cortexctl.spec.container import ContainerSpec

NOT_MOVED: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Owned:
    """A container that carries our stack's labels. `problem` says why its recorded spec cannot be read."""

    container: ObservedContainer
    model: str
    ordinal: int
    generation: int
    protect: bool
    forget: bool
    run: str
    spec: ContainerSpec | None
    problem: str = ""
    imported: Inspected | None = None
    """How it is made, of one that carries no labels and is taken by name. Its `spec` is only what is known of it."""

    @property
    def has_serving_name(self) -> bool:
        """Under its model's name now, or under the one that it was made with."""
        was = self.container.labels.get(labels.MODEL, self.model)
        return self.container.name in {labels.serving_name(m, self.ordinal) for m in (self.model, was)}


@dataclass(frozen=True, slots=True)
class OwnedInstance:
    """All containers of one instance: the one under the serving name, and the others by generation."""

    host: str
    model: str
    ordinal: int
    serving: Owned | None
    others: tuple[Owned, ...]

    @property
    def address(self) -> str:
        return labels.address(self.host, self.model, self.ordinal)

    @property
    def all(self) -> tuple[Owned, ...]:
        return (self.serving, *self.others) if self.serving else self.others


def owned_instances(host: ObservedHost, owner: str, moved: Mapping[str, str] = NOT_MOVED) -> dict[str, OwnedInstance]:
    """By address, sorted. Containers of other stacks, of other hosts' names and of nobody are not in it.

    `moved` leads from a model's old name, which stays in its labels for ever, to its name now.
    """
    return {i.address: i for i in owned_groups(host, owner, moved)}


def owned_groups(host: ObservedHost, owner: str, moved: Mapping[str, str] = NOT_MOVED) -> tuple[OwnedInstance, ...]:
    """All instances, sorted, also where two of them have one address by their labels."""
    groups: dict[tuple[str, int], list[Owned]] = {}
    for container in host.containers:
        if _is_owned(container, owner) and container.labels.get(labels.HOST, host.name) == host.name:
            owned = read_owned(container, moved)
            groups.setdefault((owned.model, owned.ordinal), []).append(owned)
    return tuple(_group(host.name, model, n, members) for (model, n), members in sorted(groups.items()))


def strangers(host: ObservedHost, owner: str) -> tuple[ObservedContainer, ...]:
    """Containers of the stack that were made for a host of another name: the host was renamed, or two hosts of
    the stack are one engine. Taking them for this host's would remove what serves elsewhere.
    """
    ours = (c for c in host.containers if _is_owned(c, owner))
    return tuple(c for c in ours if c.labels.get(labels.HOST, host.name) != host.name)


def read_owned(container: ObservedContainer, moved: Mapping[str, str] = NOT_MOVED) -> Owned:
    """A container of ours by its labels; an unreadable spec is a `problem`, never an exception."""
    found = container.labels
    spec: ContainerSpec | None = None
    problem = ""
    try:
        spec = spec_from_label(found.get(labels.SPEC, ""))
    except (ValueError, TypeError, RecursionError) as cause:
        problem = str(cause) or type(cause).__name__
    return Owned(
        container=container,
        model=moved.get(found[labels.MODEL], found[labels.MODEL]),
        ordinal=_number(found.get(labels.ORDINAL), 1),
        generation=_number(found.get(labels.GENERATION), 1),
        protect=found.get(labels.PROTECT) == "true",
        forget=found.get(labels.ON_REMOVE) == "forget",
        run=found.get(labels.RUN, ""),
        spec=spec,
        problem=problem,
    )


def _is_owned(container: ObservedContainer, owner: str) -> bool:
    return labels.owner_of(container.labels) == owner and labels.MODEL in container.labels


def _group(host: str, model: str, ordinal: int, members: Iterable[Owned]) -> OwnedInstance:
    members = sorted(members, key=lambda o: o.generation)
    serving = next((o for o in reversed(members) if o.has_serving_name), None)
    return OwnedInstance(host, model, ordinal, serving, tuple(o for o in members if o is not serving))


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isascii() and text.isdigit() else default
