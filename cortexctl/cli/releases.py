"""Which vLLM an image holds where neither the stack nor the tag tells: the image itself says, or a server that runs it.

Costs a request for each such image and host, and none where every image is pinned.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from cortexctl.desired.stack import Desired, Host
from cortexctl.diagnostics import Diagnostic, error
from cortexctl.errors import CortexctlError
from cortexctl.hosts.fleet import DockerDaemons
from cortexctl.observed.host import ImageFacts


def told_by_hosts(desired: Desired, daemons: DockerDaemons) -> tuple[dict[str, str], list[Diagnostic]]:
    """Image reference -> release, for those that are found out; and what cannot be right for all hosts."""
    found: dict[str, dict[str, str]] = {}
    for host, reference in sorted(
        {(i.host, i.spec.container.image) for i in desired.instances if i.spec.server.version is None}
    ):
        release = _release_on(desired.host(host), reference, daemons)
        if release:
            found.setdefault(reference, {})[host] = release
    problems = [_differs(desired, image, told) for image, told in found.items() if len(set(told.values())) > 1]
    return {image: next(iter(told.values())) for image, told in found.items()}, problems


def _release_on(host: Host, reference: str, daemons: DockerDaemons) -> str:
    """Empty where nobody tells. A daemon that does not answer is the plan's to name."""
    try:
        facts = daemons.image(host.name, reference)
        return facts.release or (_by_a_server(host, facts, daemons) if facts.found == "local" else "")
    except CortexctlError:
        return ""


def _by_a_server(host: Host, facts: ImageFacts, daemons: DockerDaemons) -> str:
    """As a container of that very image says on /version."""
    from cortexctl.health.prober import HttpProber

    for container in daemons.observe(host.name).containers:
        if container.image_id == facts.id and container.is_running:
            with suppress(CortexctlError):
                return HttpProber().version(daemons.reach(host.name, container.id))
    return ""


def _differs(desired: Desired, image: str, told: Mapping[str, str]) -> Diagnostic:
    instance = next(i for i in desired.instances if i.spec.container.image == image)
    where = " and ".join(f"{release} on {host}" for host, release in sorted(told.items()))
    return error(
        "CX314",
        f'the image "{image}" is vLLM {where}',
        instance.place_of("image"),
        help="pin a release tag; no arguments can be right for all of them",
    )
