"""The vLLM release of an image if neither the stack nor the tag names it: from its labels, or a server that runs it.

Costs one request for each such image and host, and none if every image is pinned.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from cortexctl.desired.stack import Desired, Host
from cortexctl.diagnostics import Diagnostic, error
from cortexctl.errors import CortexctlError
from cortexctl.observed.host import ImageFacts
from cortexctl.operations.adapters import OpenHosts, open_hosts
from cortexctl.operations.read_stack import StackReader, StackReading


def read_with_releases(reader: StackReader) -> StackReading:
    """The stack. If the release of an image is not known, it is read from the hosts first, and the stack is read again
    with it.
    """
    reading = reader.read()
    desired = reading.desired
    if desired is None or all(i.spec.server.version is not None for i in desired.instances):
        return reading
    from cortexctl.stack.load import Releases

    with open_hosts(desired) as hosts:
        known, problems = releases_on(desired, hosts)
    again = reader.read(releases=Releases(reported=known))
    return StackReading(reader.path, None if problems else again.desired, (*problems, *again.diagnostics))


def releases_on(desired: Desired, hosts: OpenHosts) -> tuple[dict[str, str], list[Diagnostic]]:
    """Image reference -> release, as far as the hosts know them; and diagnostics for images that differ by host."""
    known: dict[str, dict[str, str]] = {}
    for host, reference in sorted(
        {(i.host, i.spec.container.image) for i in desired.instances if i.spec.server.version is None}
    ):
        release = _release_on(desired.host(host), reference, hosts)
        if release:
            known.setdefault(reference, {})[host] = release
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
