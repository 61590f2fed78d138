"""A container that nobody labelled and the stack takes by its name: `adopt = "NAME"`.

Its labels can never say whose it is, so it is looked for by name in every plan until it is replaced, and what it is
made like is read from the daemon, and compared as `drift --deep` compares.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from cortexctl.desired.stack import Instance
from cortexctl.diagnostics import Diagnostic, error
from cortexctl.engines.registry import command_of, engine_of
from cortexctl.instance import labels
from cortexctl.instance.image import local_name
from cortexctl.instance.spec import Publish, Server, Spec
from cortexctl.observed.host import ObservedContainer, ObservedHost
from cortexctl.observed.inspected import Inspected
from cortexctl.observed.observation import Observed
from cortexctl.observed.owned import Owned, OwnedInstance
from cortexctl.plan.adopt.normalise import read_back
from cortexctl.plan.diff import FieldChange
from cortexctl.plan.inspected_diff import Difference, differences

PODMAN = ("podman", "libpod")
"""Daemons that keep no device requests."""
MOST_NAMES = 8
"""Names of containers that are listed when the right one is not among them."""


def to_adopt(wanted: Instance, found: OwnedInstance | None, seen: ObservedHost) -> ObservedContainer | None:
    """The container to take, under the name that the stack says or one that an adoption has given it since. Once the
    instance has a serving container of its own there is none.
    """
    if not wanted.adopt or (found is not None and found.serving is not None):
        return None
    names = [wanted.adopt, labels.serving_name(wanted.model, wanted.ordinal)]
    if found is None:  # with a candidate beside it, one by this name was replaced already
        names.append(labels.generation_name(wanted.model, wanted.ordinal, 0))
    by_name = {c.name: c for c in seen.containers if not labels.owner_of(c.labels)}
    return next((by_name[n] for n in names if n in by_name), None)


def with_adopted(
    found: Mapping[str, OwnedInstance], wanted: Mapping[str, Instance], seen: ObservedHost, observed: Observed
) -> dict[str, OwnedInstance]:
    """What is the stack's on the host, those among it that it takes by name. They count as generation 0."""
    owned = dict(found)
    for address, instance in wanted.items():
        container = to_adopt(instance, found.get(address), seen)
        inspected = observed.adoptable.get((seen.name, container.id)) if container else None
        if container is None or inspected is None:
            continue
        inspected = read_back(instance.spec, inspected)
        if any(word in seen.daemon.lower() for word in PODMAN):
            inspected = replace(inspected, gpus=tuple(sorted(str(g) for g in instance.spec.container.gpus)))
        spec = _as_it_serves(instance.spec, inspected)
        taken = Owned(container, instance.model, instance.ordinal, 0, False, False, "", spec, imported=inspected)
        others = found[address].others if address in found else ()
        owned[address] = OwnedInstance(seen.name, instance.model, instance.ordinal, taken, others)
    return owned


def is_adopted(owned: Owned) -> bool:
    """Whether it was taken already, so that it has a name of ours."""
    return owned.imported is not None and (
        owned.has_serving_name or owned.container.name == labels.generation_name(owned.model, owned.ordinal, 0)
    )


def imported_fields(wanted: Instance, inspected: Inspected) -> list[FieldChange]:
    """What the container is made otherwise than the stack says. A command line has its seconds in words."""
    return [_as_change(d) for d in imported_differences(wanted.spec, inspected)]


def _as_change(d: Difference) -> FieldChange:
    was, now = (_seconds(d.found), _seconds(d.expected)) if d.path == "drain" else (d.found, d.expected)
    return FieldChange(d.path, was, now, sensitive=d.path.startswith("secrets."))


def imported_differences(spec: Spec, inspected: Inspected, *, gpus_are_kept: bool = True) -> tuple[Difference, ...]:
    """What is made otherwise than by `spec`, whoever spelled it how; and another image, for no label has its name."""
    inspected, expected = read_back(spec, inspected), command_of(spec).program
    program, found = inspected.entrypoint, []
    if program != expected and _server_of(spec, inspected):  # its options mean the same all the same
        found.append(Difference("entrypoint", " ".join(expected), " ".join(program)))
        inspected = replace(inspected, entrypoint=expected)
    if inspected.images and local_name(spec.container.image) not in map(local_name, inspected.images):
        found.append(Difference("image", spec.container.image, inspected.images[0]))
    found += differences(spec, inspected, gpus_are_kept=gpus_are_kept)
    return tuple(sorted(found, key=lambda d: d.path))


def _seconds(text: str | None) -> str | int | None:
    return int(text) if text and text.isascii() and text.isdigit() else text


def as_pattern(path: str) -> str:
    """A path as one of `ignore`, where it is a glob."""
    return re.sub(r"([*?\[])", r"[\1]", path)


def adoption_problems(
    wanted: Mapping[str, Instance], found: Mapping[str, OwnedInstance], seen: ObservedHost
) -> Iterator[Diagnostic]:
    """What stands against taking containers by name on a host. `found` has those that are taken."""
    users: dict[str, str] = {}
    for address, instance in wanted.items():
        serving = found[address].serving if address in found else None
        if not instance.adopt or (serving is not None and serving.imported is None):
            continue
        if serving is None:
            yield from _not_there(instance, is_begun=address in found, seen=seen)
            continue
        container = serving.container
        if container.id in users:
            yield error(
                "CX226",
                f"{address}: the container {container.name} is taken for {users[container.id]} already",
                instance.place_of("adopt"),
                help="one container is one instance of one model: remove one `adopt`",
            )
        users.setdefault(container.id, address)
        yield from _doubtful(instance, serving, seen)


def _not_there(instance: Instance, *, is_begun: bool, seen: ObservedHost) -> Iterator[Diagnostic]:
    """A name that no container has is a mistake: making a new one beside the one that was meant would be two."""
    place = instance.place_of("adopt")
    named = next((c for c in seen.containers if c.name == instance.adopt), None)
    owner = labels.owner_of(named.labels) if named else ""
    if to_adopt(instance, None, seen) is not None and not is_begun:
        yield error(
            "CX412",
            f"{instance.address}: how the container to adopt is made could not be read",
            place,
            help="plan again; against a snapshot: take one with this stack (cortexctl observe --out FILE)",
        )
    elif owner:
        yield error(
            "CX412",
            f'{instance.address}: the container {instance.adopt} is one of the stack "{owner}"',
            place,
            help="only a container that is no stack's can be adopted; move the model's block instead",
        )
    elif not is_begun:
        yield error(
            "CX412",
            f"{instance.address}: there is no container named {instance.adopt} to adopt",
            place,
            help=f"correct the name{_names_there(seen)}; if it is gone for good, remove `adopt`, and a new one is made",
        )


def _names_there(seen: ObservedHost) -> str:
    names = [c.name for c in seen.containers if not labels.owner_of(c.labels)]
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f" (no stack's there: {', '.join(names[:MOST_NAMES])}{more})" if names else ""


def _doubtful(instance: Instance, taken: Owned, seen: ObservedHost) -> Iterator[Diagnostic]:
    name = labels.serving_name(instance.model, instance.ordinal)
    both = {c.name for c in seen.containers if not labels.owner_of(c.labels)} >= {instance.adopt, name}
    if both and instance.adopt != name:
        yield error(
            "CX406",
            f"{instance.address}: there are {instance.adopt} and {name}, and either may be meant by `adopt`",
            instance.place_of("adopt"),
            help=f'if it is the second: adopt = "{name}"; else rename or remove that one, for its name is needed',
        )
    if taken.imported and taken.imported.removes_itself:
        yield error(
            "CX413",
            f"{instance.address}: {taken.container.name} was started with --rm, so nothing can bring it back",
            instance.place_of("adopt"),
            help="the daemon removes it as soon as it stops; start it again without --rm, or let a new one be made",
        )


def _as_it_serves(wanted: Spec, inspected: Inspected) -> Spec:
    """As much of its spec as a rollback must know: which model it serves under which names, and what it holds."""
    now = _server_of(wanted, inspected)
    gpus = tuple(int(g) for g in inspected.gpus) if all(g.isdigit() for g in inspected.gpus) else wanted.container.gpus
    container = replace(wanted.container, gpus=gpus, publish=_published(inspected, wanted))
    server = replace(wanted.server, model=now.model, served_names=now.served_names) if now else wanted.server
    return Spec(container, server).with_in_place(inspected.in_place)


def _server_of(wanted: Spec, inspected: Inspected) -> Server | None:
    """What its command line starts, where it is a server of the engine that is wanted."""
    return engine_of(wanted.server).read_command([*inspected.entrypoint, *inspected.command])


def _published(inspected: Inspected, wanted: Spec) -> Publish | None:
    """The port that it holds; where that cannot be told, the one that is wanted, so that nobody counts on it."""
    if inspected.network_mode == "host" or len(inspected.publish) > 1:
        return wanted.container.publish
    for text in inspected.publish:
        address, _, port = text.partition(" ")[0].rpartition(":")
        return Publish(address, int(port) if port.isascii() and port.isdigit() else None)
    return None
