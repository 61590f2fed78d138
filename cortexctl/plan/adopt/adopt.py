"""Adoption: a container without labels that the stack takes over by its name, `adopt = "NAME"`.

Its labels can never show its owner. So every plan searches for it by name until it is replaced. Its settings are read
from the daemon and compared as in `drift --deep`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from cortexctl.desired.stack import Desired, Instance
from cortexctl.diagnostics import Diagnostic, error
from cortexctl.instance import labels
from cortexctl.observed.host import ObservedContainer, ObservedHost
from cortexctl.observed.observation import Observed
from cortexctl.observed.owned import Owned, OwnedInstance, SpecLabels, owned_instances

MOST_NAMES = 8
"""Maximum number of container names that a message lists if the right one is missing."""


def to_adopt(wanted: Instance, existing: OwnedInstance | None, seen: ObservedHost) -> ObservedContainer | None:
    """The container to adopt, under the name in the stack or the name that an adoption has given it since. None if the
    instance has a serving container of its own.
    """
    if not wanted.adopt or (existing is not None and existing.serving is not None):
        return None
    names = [wanted.adopt, labels.serving_name(wanted.model, wanted.ordinal)]
    if existing is None:  # if a candidate exists, a container of this name was replaced already
        names.append(labels.generation_name(wanted.model, wanted.ordinal, 0))
    by_name = {c.name: c for c in seen.containers if not labels.owner_of(c.labels)}
    return next((by_name[n] for n in names if n in by_name), None)


def owned_on(
    seen: ObservedHost, desired: Desired, wanted: Mapping[str, Instance], observed: Observed
) -> dict[str, OwnedInstance]:
    """The stack's containers on a host, by address: by their labels, or adopted by name. `wanted`: the host's instances
    in the stack, by address.
    """
    spec_labels = SpecLabels(i.spec for i in wanted.values())
    return with_adopted(owned_instances(seen, desired.owner, desired.moved, spec_labels), wanted, seen, observed)


def with_adopted(
    existing: Mapping[str, OwnedInstance], wanted: Mapping[str, Instance], seen: ObservedHost, observed: Observed
) -> dict[str, OwnedInstance]:
    """The stack's containers on the host, including those that it adopts by name. Adopted containers count as
    generation 0.
    """
    owned = dict(existing)
    for address, instance in wanted.items():
        if not instance.adopt:
            continue
        container = to_adopt(instance, existing.get(address), seen)
        inspected = observed.adoptable.get((seen.name, container.id)) if container else None
        if container is None or inspected is None:
            continue
        from cortexctl.plan.adopt.imported import as_owned

        taken = as_owned(container, instance, inspected, seen)
        others = existing[address].others if address in existing else ()
        owned[address] = OwnedInstance(seen.name, instance.model, instance.ordinal, taken, others)
    return owned


def is_adopted(owned: Owned) -> bool:
    """Whether it was adopted already, so that it has one of our names."""
    return owned.imported is not None and (
        owned.has_serving_name or owned.container.name == labels.generation_name(owned.model, owned.ordinal, 0)
    )


def as_pattern(path: str) -> str:
    """A path in the form of an `ignore` entry, which is a glob."""
    return re.sub(r"([*?\[])", r"[\1]", path)


def adoption_problems(
    wanted: Mapping[str, Instance], existing: Mapping[str, OwnedInstance], seen: ObservedHost
) -> Iterator[Diagnostic]:
    """Problems of adopting containers by name on a host. `existing` has the containers that are adopted."""
    users: dict[str, str] = {}
    for address, instance in wanted.items():
        serving = existing[address].serving if address in existing else None
        if not instance.adopt or (serving is not None and serving.imported is None):
            continue
        if serving is None:
            yield from _not_there(instance, is_unfinished=address in existing, seen=seen)
            continue
        container = serving.container
        if container.id in users:
            yield error(
                "CX226",
                f"{address}: the container {container.name} is already adopted as {users[container.id]}",
                instance.place_of("adopt"),
                help="a container can be only one instance of one model: remove one `adopt`",
            )
        users.setdefault(container.id, address)
        yield from _doubtful(instance, serving, seen)


def _not_there(instance: Instance, *, is_unfinished: bool, seen: ObservedHost) -> Iterator[Diagnostic]:
    """A name that no container has is a mistake: if a new container were created, there would be two."""
    place = instance.place_of("adopt")
    named = next((c for c in seen.containers if c.name == instance.adopt), None)
    owner = labels.owner_of(named.labels) if named else ""
    if to_adopt(instance, None, seen) is not None and not is_unfinished:
        yield error(
            "CX412",
            f"{instance.address}: could not inspect the container to adopt",
            place,
            help="plan again; against a snapshot: take one with this stack (`observe`)",
        )
    elif owner:
        yield error(
            "CX412",
            f'{instance.address}: the container {instance.adopt} belongs to the stack "{owner}"',
            place,
            help="only a container without an owner can be adopted; move the model's block instead",
        )
    elif not is_unfinished:
        yield error(
            "CX412",
            f"{instance.address}: there is no container named {instance.adopt} to adopt",
            place,
            help=(
                f"correct the name{_names_there(seen)}; if the container no longer exists, remove `adopt`, and a "
                "new one is created"
            ),
        )


def _names_there(seen: ObservedHost) -> str:
    names = [c.name for c in seen.containers if not labels.owner_of(c.labels)]
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f" (containers without an owner: {', '.join(names[:MOST_NAMES])}{more})" if names else ""


def _doubtful(instance: Instance, taken: Owned, seen: ObservedHost) -> Iterator[Diagnostic]:
    name = labels.serving_name(instance.model, instance.ordinal)
    both = {c.name for c in seen.containers if not labels.owner_of(c.labels)} >= {instance.adopt, name}
    if both and instance.adopt != name:
        yield error(
            "CX406",
            f"{instance.address}: both {instance.adopt} and {name} exist, and `adopt` may mean either",
            instance.place_of("adopt"),
            help=f'if it is the second: adopt = "{name}"; else rename or remove that one, because its name is needed',
        )
    if taken.imported and taken.imported.removes_itself:
        yield error(
            "CX413",
            f"{instance.address}: {taken.container.name} was started with --rm, so it cannot be restored",
            instance.place_of("adopt"),
            help=(
                "the daemon removes it as soon as it stops; start it again without --rm, or let cortexctl create "
                "a new one"
            ),
        )
