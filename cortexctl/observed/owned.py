"""Decides which of a host's containers belong to the stack, and which role each has in its instance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING

from cortexctl.dataclass import dataclass
from cortexctl.engines.registry import of_known_engine
from cortexctl.instance import labels
from cortexctl.instance.codec import spec_from_label, spec_to_label
from cortexctl.instance.spec import Spec
from cortexctl.observed.host import ObservedContainer, ObservedHost

if TYPE_CHECKING:
    from cortexctl.observed.inspected import Inspected
    from cortexctl.observed.observation import Observed

NOT_MOVED: Mapping[str, str] = {}
LONGEST_PROBLEM = 200
"""Maximum length of the problem of an unreadable spec: it may quote the label."""
Identity = tuple[str, int, int]
"""Model, ordinal and generation of a container, by its labels."""


class SpecLabels:
    """Specs and their texts in labels, for one comparison of a stack with its hosts. Each spec is converted to text
    once, each text is parsed once, and the text of a wanted spec never.
    """

    def __init__(self, wanted: Iterable[Spec] = ()) -> None:
        self._texts: dict[int, tuple[Spec, str]] = {}
        """By id; with the spec itself, so that no other object gets its id."""
        self._specs: dict[str, tuple[Spec | None, str]] = {}
        for spec in wanted:
            self._specs.setdefault(self.text_of(spec), (spec, ""))

    def text_of(self, spec: Spec) -> str:
        """The text in the label of a container of this spec."""
        if id(spec) not in self._texts:
            self._texts[id(spec)] = spec, spec_to_label(spec)
        return self._texts[id(spec)][1]

    def spec_of(self, container: ObservedContainer) -> tuple[Spec | None, str]:
        """The spec that our container was created with, or the reason why it cannot be read."""
        text = container.labels.get(labels.SPEC, "")
        if text not in self._specs:
            self._specs[text] = _parsed(text)
        return self._specs[text]


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
        name, was = self.container.name, self.container.labels.get(labels.MODEL, self.model)
        return name == labels.serving_name(self.model, self.ordinal) or name == labels.serving_name(was, self.ordinal)


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


@dataclass(frozen=True, slots=True)
class Ownership:
    """The containers of a host with our stack's labels, each read once."""

    instances: tuple[OwnedInstance, ...] = ()
    """Sorted; all of them, even if two have the same address by their labels."""
    misplaced: tuple[ObservedContainer, ...] = ()
    """Created for a host of another name: the host was renamed, or two hosts of the stack are one daemon. To treat them
    as this host's would remove containers that serve elsewhere.
    """
    left_alone: tuple[LeftAlone, ...] = ()
    """Not ours, each with the reason."""
    doubtful: tuple[ObservedContainer, ...] = ()
    """With a name that is not ours, or with the same labels as another container: the labels may come from the image.
    """

    @property
    def ours(self) -> int:
        """The number of containers that are ours, misplaced ones included."""
        return sum(len(i.all) for i in self.instances) + len(self.misplaced)

    def by_address(self) -> dict[str, OwnedInstance]:
        """The instances, sorted."""
        return {i.address: i for i in self.instances}


def ownership_of(
    host: ObservedHost, owner: str, moved: Mapping[str, str] = NOT_MOVED, spec_labels: SpecLabels | None = None
) -> Ownership:
    """Whose the containers of a host are. Omits containers of other stacks and without an owner.

    `moved` maps a model's old name, which stays in the labels forever, to its current name.
    """
    spec_labels = spec_labels or SpecLabels()
    split = _split(host, owner, moved)
    groups: dict[tuple[str, int], list[Owned]] = {}
    misplaced = []
    for container, identity in split.ours:
        if container.labels.get(labels.HOST, host.name) != host.name:
            misplaced.append(container)
            continue
        owned = _read(container, identity, moved, spec_labels)
        groups.setdefault((owned.model, owned.ordinal), []).append(owned)
    return Ownership(
        tuple(_group(host.name, model, n, members) for (model, n), members in sorted(groups.items())),
        tuple(misplaced),
        tuple(split.left_alone),
        tuple(split.doubtful),
    )


def owned_instances(
    host: ObservedHost, owner: str, moved: Mapping[str, str] = NOT_MOVED, spec_labels: SpecLabels | None = None
) -> dict[str, OwnedInstance]:
    """By address, sorted. Omits containers of other stacks, of other host names and without an owner, and those in
    `left_alone`.
    """
    return ownership_of(host, owner, moved, spec_labels).by_address()


def left_alone(host: ObservedHost, owner: str, moved: Mapping[str, str] = NOT_MOVED) -> tuple[LeftAlone, ...]:
    """Containers with our stack's labels that are not ours, each with the reason. Reads no spec."""
    return tuple(_split(host, owner, moved).left_alone)


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
        for container in _split(host, owner, moved).doubtful
        if container.own_labels is None and container.image_id
    }
    return tuple(sorted(needed))


def spec_of(container: ObservedContainer) -> tuple[Spec | None, str]:
    """The spec that our container was created with, or the reason why it cannot be read."""
    return _parsed(container.labels.get(labels.SPEC, ""))


def _parsed(text: str) -> tuple[Spec | None, str]:
    try:
        return of_known_engine(spec_from_label(text)), ""
    except (ValueError, TypeError, RecursionError) as cause:
        return None, (str(cause) or type(cause).__name__)[:LONGEST_PROBLEM]


def read_owned(container: ObservedContainer) -> Owned:
    """Reads our container from its labels; an unreadable spec is a `problem`, never an exception. Raises ValueError if
    the labels do not identify an instance: such a container is in `left_alone`.
    """
    return _read(container, _identity(container.labels), NOT_MOVED, SpecLabels())


def _read(container: ObservedContainer, identity: Identity, moved: Mapping[str, str], spec_labels: SpecLabels) -> Owned:
    container_labels = container.labels
    name, ordinal, generation = identity
    spec, problem = spec_labels.spec_of(container)
    return Owned(
        container=container,
        model=moved.get(name, name),
        ordinal=ordinal,
        generation=generation,
        protect=container_labels.get(labels.PROTECT) == "true",
        forget=container_labels.get(labels.ON_REMOVE) == "forget",
        run=container_labels.get(labels.RUN, ""),
        spec=spec,
        problem=problem,
    )


@dataclass(frozen=True, slots=True)
class _Split:
    """The containers with our stack's labels: ours, the others, and those of both whose labels may not be their own."""

    ours: list[tuple[ObservedContainer, Identity]]
    left_alone: list[LeftAlone]
    doubtful: list[ObservedContainer]


def _split(host: ObservedHost, owner: str, moved: Mapping[str, str]) -> _Split:
    ours: list[tuple[ObservedContainer, Identity]] = []
    others: list[LeftAlone] = []
    alike: dict[tuple[Identity, str], list[tuple[ObservedContainer, bool]]] = {}
    for container in host.containers:
        if labels.owner_of(container.labels) != owner:
            continue
        try:
            identity = _identity(container.labels)
        except ValueError as cause:
            others.append(LeftAlone(container, LeftAloneReason.UNREADABLE, str(cause)))
            continue
        has_our_name = _has_our_name(container, identity, moved)
        same = identity, container.labels.get(labels.RUN, "")
        alike.setdefault(same, []).append((container, has_our_name))
        if container.own_labels is False:
            others.append(LeftAlone(container, LeftAloneReason.COPY))
        elif container.own_labels is None and not has_our_name:
            others.append(LeftAlone(container, LeftAloneReason.UNPROVEN))
        else:
            ours.append((container, identity))
    doubtful = [c for several in alike.values() for c, has_our_name in several if len(several) > 1 or not has_our_name]
    return _Split(ours, others, doubtful)


def _identity(container_labels: Mapping[str, str]) -> Identity:
    """Raises ValueError with the problem."""
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


def _has_our_name(container: ObservedContainer, identity: Identity, moved: Mapping[str, str]) -> bool:
    """Whether we gave the container its name, by its model's current name or an earlier one."""
    model, ordinal, generation = identity
    now = moved.get(model, model)
    name = container.name
    return name == labels.serving_name(model, ordinal) or any(
        name
        in {
            labels.serving_name(m, ordinal),
            labels.generation_name(m, ordinal, generation),
            labels.undone_name(m, ordinal, generation),
        }
        for m in (model, now, *(old for old, new in moved.items() if new == now))
        if name.startswith(labels.serving_name(m, ordinal))
    )


def _group(host: str, model: str, ordinal: int, members: Iterable[Owned]) -> OwnedInstance:
    members = sorted(members, key=lambda o: o.generation)
    serving = next((o for o in reversed(members) if o.has_serving_name), None)
    return OwnedInstance(host, model, ordinal, serving, tuple(o for o in members if o is not serving))
