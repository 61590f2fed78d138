"""Which of a host's containers are the stack's, and which part each plays for its instance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cortexctl.observed.state import ObservedContainer, ObservedHost
from cortexctl.spec import labels
from cortexctl.spec.codec import spec_from_label
from cortexctl.spec.container import ContainerSpec


@dataclass(frozen=True, slots=True)
class Owned:
    """A container that carries our stack's labels. `problem` says why its recorded spec cannot be read."""

    container: ObservedContainer
    model: str
    ordinal: int
    generation: int
    protect: bool
    run: str
    spec: ContainerSpec | None
    problem: str = ""


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


def owned_instances(host: ObservedHost, stack: str) -> dict[str, OwnedInstance]:
    """By address, sorted. Containers of other stacks, of other hosts' names and of nobody are not in it."""
    groups: dict[tuple[str, int], list[Owned]] = {}
    for container in host.containers:
        if _is_of_stack(container, stack) and container.labels.get(labels.HOST, host.name) == host.name:
            owned = read_owned(container)
            groups.setdefault((owned.model, owned.ordinal), []).append(owned)
    instances = (_group(host.name, model, n, members) for (model, n), members in sorted(groups.items()))
    return {i.address: i for i in instances}


def strangers(host: ObservedHost, stack: str) -> tuple[ObservedContainer, ...]:
    """Containers of the stack that were made for a host of another name: the host was renamed, or two hosts of
    the stack are one engine. Taking them for this host's would remove what serves elsewhere.
    """
    ours = (c for c in host.containers if _is_of_stack(c, stack))
    return tuple(c for c in ours if c.labels.get(labels.HOST, host.name) != host.name)


def read_owned(container: ObservedContainer) -> Owned:
    """A container of ours by its labels; an unreadable spec is a `problem`, never an exception."""
    found = container.labels
    spec: ContainerSpec | None = None
    problem = ""
    try:
        spec = spec_from_label(found.get(labels.SPEC, ""))
    except (ValueError, TypeError) as cause:
        problem = str(cause) or type(cause).__name__
    return Owned(
        container=container,
        model=found[labels.MODEL],
        ordinal=_number(found.get(labels.ORDINAL), 1),
        generation=_number(found.get(labels.GENERATION), 1),
        protect=found.get(labels.PROTECT) == "true",
        run=found.get(labels.RUN, ""),
        spec=spec,
        problem=problem,
    )


def _is_of_stack(container: ObservedContainer, stack: str) -> bool:
    return container.labels.get(labels.STACK) == stack and labels.MODEL in container.labels


def _group(host: str, model: str, ordinal: int, members: Iterable[Owned]) -> OwnedInstance:
    name = labels.serving_name(model, ordinal)
    members = sorted(members, key=lambda o: o.generation)
    serving = next((o for o in members if o.container.name == name), None)
    return OwnedInstance(host, model, ordinal, serving, tuple(o for o in members if o is not serving))


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isdigit() else default
