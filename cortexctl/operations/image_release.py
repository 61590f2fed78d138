"""The vLLM release of an image if neither the stack nor the tag names it: from its labels, or a server that runs it.

Costs one request for each such image and host, and none if every image is pinned.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from cortexctl.concurrently import at_once_watched
from cortexctl.desired.stack import Desired, Host, Instance
from cortexctl.diagnostics import Diagnostic, error
from cortexctl.errors import CortexctlError
from cortexctl.observed.host import ImageFacts
from cortexctl.operations.connections import Connections, OpenHosts, open_hosts
from cortexctl.operations.read_stack import SecretMode, StackReader, StackReading
from cortexctl.plan.selection import Selection
from cortexctl.waiting import UNWATCHED, Watch

EVERYTHING = Selection()


def read_with_releases(
    reader: StackReader, connections: Connections | None = None, only: Selection = EVERYTHING
) -> StackReading:
    """The stack. If the release of an image is not known, it is read from the hosts that `only` selects, and the stack
    is read again with it. `connections`: of the run.
    """
    reader, reading = _read(reader, only)
    desired = reading.desired
    if desired is None or all(i.spec.server.version is not None for i in desired.instances):
        return reading
    from cortexctl.stack.load import Releases

    names = [h.name for h in desired.hosts]
    with open_hosts(desired, connections) as hosts:
        known, problems = releases_on(desired.on_hosts(only.hosts_to_read(names)), hosts, hosts.watch)
    again = reader.read(releases=Releases(reported=known))
    return StackReading(reader.path, None if problems else again.desired, (*problems, *again.diagnostics))


def _read(reader: StackReader, only: Selection) -> tuple[StackReader, StackReading]:
    """The stack, and the reader for it: only instances that `only` selects need the values of their secrets."""
    reading = reader.read()
    if reading.desired is not None or reader.secrets is not SecretMode.RESOLVE:
        return reader, reading
    lenient = replace(reader, secrets=SecretMode.LENIENT)
    without = lenient.read()
    if without.desired is None or any(_lacks_a_value(i) for i in _selected(without.desired, only)):
        return reader, reading
    return lenient, without


def _selected(desired: Desired, only: Selection) -> list[Instance]:
    """The instances of the stack that `only` selects."""
    return [i for i in desired.instances if only.wants(i.host, i.model, i.address)]


def _lacks_a_value(instance: Instance) -> bool:
    return any(not secret.fingerprint for secret in instance.spec.container.secrets)


def releases_on(
    desired: Desired, hosts: OpenHosts, watch: Watch = UNWATCHED
) -> tuple[dict[str, str], list[Diagnostic]]:
    """Image reference -> release, as far as the hosts know them; and diagnostics for images that differ by host."""
    known: dict[str, dict[str, str]] = {}
    unknown: dict[str, set[str]] = {}
    for i in desired.instances:
        if i.spec.server.version is None:
            unknown.setdefault(i.host, set()).add(i.spec.container.image)

    def releases(host: str) -> dict[str, str]:
        return {image: _release_on(desired.host(host), image, hosts) for image in sorted(unknown[host])}

    names = sorted(unknown)
    for host, by_image in zip(names, at_once_watched(releases, names, watch), strict=True):
        for image, release in by_image.items():
            if release:
                known.setdefault(image, {})[host] = release
    problems = [_differs(desired, image, by_host) for image, by_host in known.items() if len(set(by_host.values())) > 1]
    return {image: next(iter(by_host.values())) for image, by_host in known.items()}, problems


def _release_on(host: Host, reference: str, hosts: OpenHosts) -> str:
    """Empty if it is not known. A daemon that does not answer is reported by the plan."""
    try:
        facts = hosts.image(host.name, reference)
        return facts.release or (_of_a_server(host, facts, hosts) if facts.availability == "local" else "")
    except CortexctlError:
        return ""


def _of_a_server(host: Host, facts: ImageFacts, hosts: OpenHosts) -> str:
    """From /version of a running container of exactly this image."""
    from cortexctl.engines.registry import DEFAULT, engine_named
    from cortexctl.health.prober import HttpProber

    for container in hosts.observe(host.name).containers:
        if container.image_id == facts.id and container.is_running:
            with suppress(CortexctlError):
                return HttpProber(engine_named(DEFAULT).contract).version(hosts.reach(host.name, container.id))
    return ""


def _differs(desired: Desired, image: str, by_host: Mapping[str, str]) -> Diagnostic:
    instance = next(i for i in desired.instances if i.spec.container.image == image)
    where = " and ".join(f"{release} on {host}" for host, release in sorted(by_host.items()))
    return error(
        "CX314",
        f'the image "{image}" contains vLLM {where}',
        instance.place_of("image"),
        help="pin a release tag: no arguments are valid for all of them",
    )
