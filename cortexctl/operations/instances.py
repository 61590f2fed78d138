"""Finds an instance by its address, and one of its containers by its generation."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from cortexctl.apply.protocols import Secrets
from cortexctl.desired.stack import Desired
from cortexctl.errors import DaemonUnreachable, SecretUnresolved, UsageError
from cortexctl.instance.labels import is_undone_name
from cortexctl.observe.gather import observe_identity
from cortexctl.observed.observation import Observed
from cortexctl.observed.owned import Owned, OwnedInstance
from cortexctl.operations.connections import OpenHosts
from cortexctl.plan.adopt.adopt import owned_on


def observe_host_of(desired: Desired, address: str, hosts: OpenHosts) -> Observed:
    """The host of a full address."""
    return observe_identity(desired.on_hosts([address.partition("/")[0]]), hosts, hosts.watch)


def find_instance(desired: Desired, address: str, observed: Observed) -> OwnedInstance:
    """By its full address, in the observation of its host. Raises UsageError with the known addresses, and
    DaemonUnreachable.
    """
    name = address.partition("/")[0]
    seen = observed.host(name)
    if not seen.is_reachable:
        raise DaemonUnreachable(f"{name}: {seen.problem}", next_step=seen.next_step)
    here = desired.on_hosts([name])
    owned = owned_on(seen, here, here.by_host()[name], observed)
    if address not in owned:
        declared = "" if any(i.address == address for i in desired.instances) else f" and is not in {desired.path}"
        raise UsageError(f"{address} has no container{declared}; known: {', '.join(owned) or 'none'}")
    return owned[address]


def choose(instance: OwnedInstance, generation: int | None) -> Owned:
    """The serving container, else the last; or the one of a generation. Raises UsageError with the known ones."""
    if generation is None:
        return instance.serving or instance.others[-1]
    for owned in instance.all:
        if owned.generation == generation:
            return owned
    known = ", ".join(str(g) for g in sorted(o.generation for o in instance.all))
    raise UsageError(f"{instance.address} has no generation {generation}; known: {known}")


def newest(instance: OwnedInstance) -> Owned:
    """The last created of the candidate, serving and retained containers: most likely the one in question. A container
    that was rolled back comes after restored ones.
    """
    return max(instance.all, key=lambda owned: (not is_undone_name(owned.container.name), owned.generation))


def secret_values(owned: Owned, secrets: Secrets) -> Sequence[str]:
    """The secrets of a container that can be read without running a program, for hiding them."""
    values: list[str] = []
    for reference in owned.spec.container.secrets if owned.spec else ():
        if reference.source != "command":
            with contextlib.suppress(SecretUnresolved):
                values.append(secrets.value(reference))
    return values
