"""Which of a host's containers are the stack's, and which part each plays for its instance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from cortexctl.engines.registry import of_known_engine
from cortexctl.instance import labels
from cortexctl.instance.codec import spec_from_label
from cortexctl.instance.spec import Spec
from cortexctl.observed.host import ObservedContainer, ObservedHost
from cortexctl.observed.inspected import Inspected
from cortexctl.observed.observation import Observed

NOT_MOVED: Mapping[str, str] = {}
LONGEST_PROBLEM = 200
"""Characters of what is said of a spec that cannot be read: it may quote the label."""


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
    spec: Spec | None
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


class Why(StrEnum):
    """Why a container with our stack's labels is not taken for one of ours."""

    COPY = "copy"
    """Its labels are its image's: somebody made it from a commit of one of ours."""
    UNPROVEN = "unproven"
    """Its name is none of ours, and whose its labels are could not be read."""
    UNREADABLE = "unreadable"
    """Its labels do not say which instance it is."""


@dataclass(frozen=True, slots=True)
class LeftAlone:
    """A container that carries our stack's labels and is not touched. `problem`: what is wrong with its labels."""

    container: ObservedContainer
    why: Why
    problem: str = ""


def owned_instances(host: ObservedHost, owner: str, moved: Mapping[str, str] = NOT_MOVED) -> dict[str, OwnedInstance]:
    """By address, sorted. Containers of other stacks, of other hosts' names and of nobody are not in it, nor what is
    `left_alone`.

    `moved` leads from a model's old name, which stays in its labels for ever, to its name now.
    """
    return {i.address: i for i in owned_groups(host, owner, moved)}


def owned_groups(host: ObservedHost, owner: str, moved: Mapping[str, str] = NOT_MOVED) -> tuple[OwnedInstance, ...]:
    """All instances, sorted, also where two of them have one address by their labels."""
    groups: dict[tuple[str, int], list[Owned]] = {}
    for container in _told_apart(host, owner, moved)[0]:
        if container.labels.get(labels.HOST, host.name) == host.name:
            owned = read_owned(container, moved)
            groups.setdefault((owned.model, owned.ordinal), []).append(owned)
    return tuple(_group(host.name, model, n, members) for (model, n), members in sorted(groups.items()))


def strangers(host: ObservedHost, owner: str, moved: Mapping[str, str] = NOT_MOVED) -> tuple[ObservedContainer, ...]:
    """Containers of the stack that were made for a host of another name: the host was renamed, or two hosts of
    the stack are one daemon. Taking them for this host's would remove what serves elsewhere.
    """
    ours, _ = _told_apart(host, owner, moved)
    return tuple(c for c in ours if c.labels.get(labels.HOST, host.name) != host.name)


def left_alone(host: ObservedHost, owner: str, moved: Mapping[str, str] = NOT_MOVED) -> tuple[LeftAlone, ...]:
    """Containers with our stack's labels that are none of ours, and why."""
    return _told_apart(host, owner, moved)[1]


def why_left_alone(other: LeftAlone) -> str:
    """For people, in a sentence without its end."""
    name = other.container.name
    match other.why:
        case Why.COPY:
            return f"the container {name} has this stack's labels from its image, a commit of one of ours"
        case Why.UNPROVEN:
            return f"the container {name} has this stack's labels and no name of ours, and its image cannot be read"
        case _:
            return f"the container {name} has labels of this stack that cannot be read: {other.problem}"


def image_labels_needed(
    observed: Observed, owner: str, moved: Mapping[str, str] = NOT_MOVED
) -> tuple[tuple[str, str], ...]:
    """The (host, image id) pairs to look up before anything is decided: where a container has our labels and a name
    that is none of ours, or the very labels of another one, so that they may be its image's.
    """
    needed = {
        (host.name, container.image_id)
        for host in observed.hosts
        for container in _doubtful(host, owner, moved)
        if container.own_labels is None and container.image_id
    }
    return tuple(sorted(needed))


def spec_of(container: ObservedContainer) -> tuple[Spec | None, str]:
    """The spec that a container of ours was made with, or why it cannot be read."""
    try:
        return of_known_engine(spec_from_label(container.labels.get(labels.SPEC, ""))), ""
    except (ValueError, TypeError, RecursionError) as cause:
        return None, (str(cause) or type(cause).__name__)[:LONGEST_PROBLEM]


def read_owned(container: ObservedContainer, moved: Mapping[str, str] = NOT_MOVED) -> Owned:
    """A container of ours by its labels; an unreadable spec is a `problem`, never an exception. Raises ValueError where
    they do not say which instance it is: such a one is `left_alone`.
    """
    found = container.labels
    model, ordinal, generation = _identity(found)
    spec, problem = spec_of(container)
    return Owned(
        container=container,
        model=moved.get(model, model),
        ordinal=ordinal,
        generation=generation,
        protect=found.get(labels.PROTECT) == "true",
        forget=found.get(labels.ON_REMOVE) == "forget",
        run=found.get(labels.RUN, ""),
        spec=spec,
        problem=problem,
    )


def _told_apart(
    host: ObservedHost, owner: str, moved: Mapping[str, str]
) -> tuple[list[ObservedContainer], tuple[LeftAlone, ...]]:
    """Of the containers with our stack's labels: those that are ours, and the others."""
    ours: list[ObservedContainer] = []
    others: list[LeftAlone] = []
    for container in host.containers:
        if labels.owner_of(container.labels) != owner:
            continue
        try:
            _identity(container.labels)
        except ValueError as cause:
            others.append(LeftAlone(container, Why.UNREADABLE, str(cause)))
            continue
        if container.own_labels is False:
            others.append(LeftAlone(container, Why.COPY))
        elif container.own_labels is None and not _has_our_name(container, moved):
            others.append(LeftAlone(container, Why.UNPROVEN))
        else:
            ours.append(container)
    return ours, tuple(others)


def _doubtful(host: ObservedHost, owner: str, moved: Mapping[str, str]) -> Iterator[ObservedContainer]:
    groups: dict[tuple[str, int, int, str], list[ObservedContainer]] = {}
    for container in host.containers:
        if labels.owner_of(container.labels) == owner:
            with suppress(ValueError):
                same = (*_identity(container.labels), container.labels.get(labels.RUN, ""))
                groups.setdefault(same, []).append(container)
    for alike in groups.values():
        yield from (c for c in alike if len(alike) > 1 or not _has_our_name(c, moved))


def _identity(found: Mapping[str, str]) -> tuple[str, int, int]:
    """(model, ordinal, generation). Raises ValueError with what cannot be read."""
    model = found.get(labels.MODEL)
    if model is None:
        raise ValueError(f"it has no {labels.MODEL}")
    if not labels.is_model_name(model):
        raise ValueError(f"its {labels.MODEL} is no name of a model")
    return (
        model,
        _number(found, labels.ORDINAL, 1, labels.MOST_ORDINALS),
        _number(found, labels.GENERATION, 0, labels.MOST_GENERATIONS),
    )


def _number(found: Mapping[str, str], label: str, least: int, most: int) -> int:
    text = found.get(label, "1")
    number = int(text) if len(text) <= len(str(most)) and text.isascii() and text.isdigit() else -1
    if not least <= number <= most:
        raise ValueError(f"its {label} is no number from {least} to {most:,}")
    return number


def _has_our_name(container: ObservedContainer, moved: Mapping[str, str]) -> bool:
    """Whether its name is one that we gave to just this container, under its model's name now or an earlier one."""
    model, ordinal, generation = _identity(container.labels)
    now = moved.get(model, model)
    return any(
        container.name.startswith(labels.serving_name(m, ordinal))
        and container.name
        in {
            labels.serving_name(m, ordinal),
            labels.generation_name(m, ordinal, generation),
            labels.undone_name(m, ordinal, generation),
        }
        for m in (model, now, *(old for old, new in moved.items() if new == now))
    )


def _group(host: str, model: str, ordinal: int, members: Iterable[Owned]) -> OwnedInstance:
    members = sorted(members, key=lambda o: o.generation)
    serving = next((o for o in reversed(members) if o.has_serving_name), None)
    return OwnedInstance(host, model, ordinal, serving, tuple(o for o in members if o is not serving))
