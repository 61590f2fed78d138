"""Decides which of a host's containers belong to the stack, and which role each has in its instance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from enum import StrEnum
from typing import TypeAlias

from cortexctl.dataclass import dataclass
from cortexctl.engines.registry import of_known_engine
from cortexctl.instance import labels
from cortexctl.instance.codec import spec_from_label, spec_to_label
from cortexctl.instance.spec import Spec
from cortexctl.observed.host import ObservedContainer, ObservedHost
from cortexctl.observed.inspected import Inspected
from cortexctl.observed.observation import Observed

NOT_MOVED: Mapping[str, str] = {}
Wanted: TypeAlias = Mapping[tuple[str, int], Spec]
"""The specs that a stack wants on a host, by model and ordinal. A label with the text of the wanted spec is not parsed.
"""
NONE_WANTED: Wanted = {}
LONGEST_PROBLEM = 200
"""Maximum length of the problem of an unreadable spec: it may quote the label."""


@dataclass(frozen=True, slots=True)
class Owned:
    """A container with our stack's labels. `problem` is the reason if its recorded spec cannot be read."""

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
    """The settings of a container without labels that is adopted by name. Its `spec` then has only the known part."""

    @property
    def has_serving_name(self) -> bool:
        """Whether it has the serving name of its model's current name, or of the name that it was created with."""
        was = self.container.labels.get(labels.MODEL, self.model)
        return self.container.name in {labels.serving_name(m, self.ordinal) for m in (self.model, was)}


@dataclass(frozen=True, slots=True)
class OwnedInstance:
    """All containers of one instance: the one with the serving name, and the others by generation."""

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


class LeftAloneReason(StrEnum):
    """Why a container with our stack's labels is not treated as ours."""

    COPY = "copy"
    """Its labels come from its image: a commit of one of our containers."""
    UNPROVEN = "unproven"
    """Its name is not one of ours, and the origin of its labels could not be read."""
    UNREADABLE = "unreadable"
    """Its labels do not identify an instance."""


@dataclass(frozen=True, slots=True)
class LeftAlone:
    """A container with our stack's labels that is not touched. `problem`: what is wrong with its labels."""

    container: ObservedContainer
    reason: LeftAloneReason
    problem: str = ""


def owned_instances(
    host: ObservedHost, owner: str, moved: Mapping[str, str] = NOT_MOVED, wanted: Wanted = NONE_WANTED
) -> dict[str, OwnedInstance]:
    """By address, sorted. Omits containers of other stacks, of other host names and without an owner, and those in
    `left_alone`.

    `moved` maps a model's old name, which stays in the labels forever, to its current name.
    """
    return {i.address: i for i in owned_groups(host, owner, moved, wanted)}


def owned_groups(
    host: ObservedHost, owner: str, moved: Mapping[str, str] = NOT_MOVED, wanted: Wanted = NONE_WANTED
) -> tuple[OwnedInstance, ...]:
    """All instances, sorted, even if two of them have the same address by their labels."""
    groups: dict[tuple[str, int], list[Owned]] = {}
    for container in _split(host, owner, moved)[0]:
        if container.labels.get(labels.HOST, host.name) == host.name:
            owned = read_owned(container, moved, wanted)
            groups.setdefault((owned.model, owned.ordinal), []).append(owned)
    return tuple(_group(host.name, model, n, members) for (model, n), members in sorted(groups.items()))


def misplaced_containers(
    host: ObservedHost, owner: str, moved: Mapping[str, str] = NOT_MOVED
) -> tuple[ObservedContainer, ...]:
    """Containers of the stack that were created for a host of another name: the host was renamed, or two hosts of the
    stack are one daemon. To treat them as this host's would remove containers that serve elsewhere.
    """
    ours, _ = _split(host, owner, moved)
    return tuple(c for c in ours if c.labels.get(labels.HOST, host.name) != host.name)


def left_alone(host: ObservedHost, owner: str, moved: Mapping[str, str] = NOT_MOVED) -> tuple[LeftAlone, ...]:
    """Containers with our stack's labels that are not ours, each with the reason."""
    return _split(host, owner, moved)[1]


def describe_left_alone(other: LeftAlone) -> str:
    """The reason for people: a sentence without its full stop."""
    name = other.container.name
    match other.reason:
        case LeftAloneReason.COPY:
            return (
                f"the container {name} got this stack's labels from its image, which was committed from one of our "
                "containers"
            )
        case LeftAloneReason.UNPROVEN:
            return (
                f"the container {name} has this stack's labels, but its name is not one of ours and its image "
                "cannot be read"
            )
        case _:
            return f"the container {name} has labels of this stack that cannot be read: {other.problem}"


def image_labels_needed(
    observed: Observed, owner: str, moved: Mapping[str, str] = NOT_MOVED
) -> tuple[tuple[str, str], ...]:
    """The (host, image id) pairs to read before anything is decided: those of containers that have our labels and a
    name that is not ours, or the same labels as another container. Their labels may come from the image.
    """
    needed = {
        (host.name, container.image_id)
        for host in observed.hosts
        for container in _doubtful(host, owner, moved)
        if container.own_labels is None and container.image_id
    }
    return tuple(sorted(needed))


def spec_of(container: ObservedContainer, wanted: Spec | None = None) -> tuple[Spec | None, str]:
    """The spec that our container was created with, or the reason why it cannot be read. A label with the text of the
    `wanted` spec is not parsed.
    """
    text = container.labels.get(labels.SPEC, "")
    if wanted is not None and text == spec_to_label(wanted):
        return wanted, ""
    try:
        return of_known_engine(spec_from_label(text)), ""
    except (ValueError, TypeError, RecursionError) as cause:
        return None, (str(cause) or type(cause).__name__)[:LONGEST_PROBLEM]


def read_owned(
    container: ObservedContainer, moved: Mapping[str, str] = NOT_MOVED, wanted: Wanted = NONE_WANTED
) -> Owned:
    """Reads our container from its labels; an unreadable spec is a `problem`, never an exception. Raises ValueError if
    the labels do not identify an instance: such a container is in `left_alone`.
    """
    container_labels = container.labels
    name, ordinal, generation = _identity(container_labels)
    model = moved.get(name, name)
    spec, problem = spec_of(container, wanted.get((model, ordinal)))
    return Owned(
        container=container,
        model=model,
        ordinal=ordinal,
        generation=generation,
        protect=container_labels.get(labels.PROTECT) == "true",
        forget=container_labels.get(labels.ON_REMOVE) == "forget",
        run=container_labels.get(labels.RUN, ""),
        spec=spec,
        problem=problem,
    )


def _split(
    host: ObservedHost, owner: str, moved: Mapping[str, str]
) -> tuple[list[ObservedContainer], tuple[LeftAlone, ...]]:
    """Splits the containers with our stack's labels: first ours, then the others."""
    ours: list[ObservedContainer] = []
    others: list[LeftAlone] = []
    for container in host.containers:
        if labels.owner_of(container.labels) != owner:
            continue
        try:
            _identity(container.labels)
        except ValueError as cause:
            others.append(LeftAlone(container, LeftAloneReason.UNREADABLE, str(cause)))
            continue
        if container.own_labels is False:
            others.append(LeftAlone(container, LeftAloneReason.COPY))
        elif container.own_labels is None and not _has_our_name(container, moved):
            others.append(LeftAlone(container, LeftAloneReason.UNPROVEN))
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


def _identity(container_labels: Mapping[str, str]) -> tuple[str, int, int]:
    """(model, ordinal, generation). Raises ValueError with the problem."""
    model = container_labels.get(labels.MODEL)
    if model is None:
        raise ValueError(f"it has no {labels.MODEL}")
    if not labels.is_model_name(model):
        raise ValueError(f"its {labels.MODEL} is not the name of a model")
    return (
        model,
        _number(container_labels, labels.ORDINAL, 1, labels.MOST_ORDINALS),
        _number(container_labels, labels.GENERATION, 0, labels.MOST_GENERATIONS),
    )


def _number(container_labels: Mapping[str, str], label: str, least: int, most: int) -> int:
    text = container_labels.get(label, "1")
    number = int(text) if len(text) <= len(str(most)) and text.isascii() and text.isdigit() else -1
    if not least <= number <= most:
        raise ValueError(f"its {label} is not a number from {least} to {most:,}")
    return number


def _has_our_name(container: ObservedContainer, moved: Mapping[str, str]) -> bool:
    """Whether we gave the container its name, by its model's current name or an earlier one."""
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
