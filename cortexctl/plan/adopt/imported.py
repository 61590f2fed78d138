"""The settings of a container without labels, by its inspection: compared with the stack as in `drift --deep`."""

from __future__ import annotations

from dataclasses import replace

from cortexctl.desired.stack import Instance
from cortexctl.engines.registry import command_of, engine_of
from cortexctl.instance.image import local_name
from cortexctl.instance.spec import Publish, Server, Spec
from cortexctl.observed.daemon_product import is_podman
from cortexctl.observed.host import ObservedContainer, ObservedHost
from cortexctl.observed.inspected import Inspected
from cortexctl.observed.owned import Owned
from cortexctl.plan.adopt.normalise import read_back
from cortexctl.plan.diff import FieldChange
from cortexctl.plan.inspected_diff import Difference, differences


def as_owned(container: ObservedContainer, instance: Instance, inspected: Inspected, seen: ObservedHost) -> Owned:
    """The container that the stack adopts, by its inspection. It counts as generation 0."""
    inspected = read_back(instance.spec, inspected)
    if is_podman(seen.daemon):
        inspected = replace(inspected, gpus=tuple(sorted(str(g) for g in instance.spec.container.gpus)))
    spec = _as_it_serves(instance.spec, inspected)
    return Owned(container, instance.model, instance.ordinal, 0, False, False, "", spec, imported=inspected)


def imported_fields(wanted: Instance, inspected: Inspected) -> list[FieldChange]:
    """The settings of the container that differ from the stack. In a command line, a duration in seconds is text."""
    return [_as_change(d) for d in imported_differences(wanted.spec, inspected)]


def _as_change(d: Difference) -> FieldChange:
    was, now = (_seconds(d.actual), _seconds(d.expected)) if d.path == "drain" else (d.actual, d.expected)
    return FieldChange(d.path, was, now, sensitive=d.path.startswith("secrets."))


def imported_differences(spec: Spec, inspected: Inspected, *, on_podman: bool = False) -> tuple[Difference, ...]:
    """The settings that differ from `spec`, compared by meaning and not by spelling; and the image, because no label
    names it.
    """
    inspected, expected = read_back(spec, inspected), command_of(spec).program
    program, different = inspected.entrypoint, []
    if program != expected and _server_of(spec, inspected):  # its options have the same meaning
        different.append(Difference("entrypoint", " ".join(expected), " ".join(program)))
        inspected = replace(inspected, entrypoint=expected)
    if inspected.images and local_name(spec.container.image) not in map(local_name, inspected.images):
        different.append(Difference("image", spec.container.image, inspected.images[0]))
    different += differences(spec, inspected, on_podman=on_podman)
    return tuple(sorted(different, key=lambda d: d.path))


def _seconds(text: str | None) -> str | int | None:
    return int(text) if text and text.isascii() and text.isdigit() else text


def _as_it_serves(wanted: Spec, inspected: Inspected) -> Spec:
    """The part of its spec that a rollback needs: the model, its served names, and the resources that the container
    holds.
    """
    now = _server_of(wanted, inspected)
    gpus = tuple(int(g) for g in inspected.gpus) if all(g.isdigit() for g in inspected.gpus) else wanted.container.gpus
    container = replace(wanted.container, gpus=gpus, publish=_published(inspected, wanted))
    server = replace(wanted.server, model=now.model, served_names=now.served_names) if now else wanted.server
    return Spec(container, server).with_in_place(inspected.in_place)


def _server_of(wanted: Spec, inspected: Inspected) -> Server | None:
    """What its command line starts, where it is a server of the engine that is wanted."""
    return engine_of(wanted.server).read_command([*inspected.entrypoint, *inspected.command])


def _published(inspected: Inspected, wanted: Spec) -> Publish | None:
    """The port that it publishes; if it cannot be determined, the port in the stack, so that no other instance relies
    on it.
    """
    if inspected.network_mode == "host" or len(inspected.publish) > 1:
        return wanted.container.publish
    for text in inspected.publish:
        address, _, port = text.partition(" ")[0].rpartition(":")
        return Publish(address, int(port) if port.isascii() and port.isdigit() else None)
    return None
