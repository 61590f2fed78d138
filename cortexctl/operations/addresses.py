"""Resolves an address on the command line: HOST/MODEL, or MODEL alone if only one host is possible."""

from __future__ import annotations

from cortexctl.desired.stack import Desired, Instance
from cortexctl.errors import UsageError
from cortexctl.instance.labels import address
from cortexctl.plan.placement import placed


def full_address(desired: Desired, name: str) -> str:
    """The full address of an address or model name. Does not check whether the host has such an instance. Raises
    UsageError with the known hosts, or the possible addresses.
    """
    host, slash, _ = name.partition("/")
    names = [h.name for h in desired.hosts]
    if slash and host in names:
        return name
    if slash:
        raise UsageError(f'there is no host "{host}" in {desired.path}; known: {", ".join(names)}')
    matching = sorted(i.address for i in desired.instances if i.address == address(i.host, name))
    if len(matching) == 1:
        return matching[0]
    if len(names) == 1:
        return address(names[0], name)  # no longer in the stack, but it may still have a container
    choices = f"it could be {' or '.join(matching)}" if matching else f"known hosts: {', '.join(names)}"
    raise UsageError(f'"{name}" does not name a host; write HOST/MODEL: {choices}')


def declared_instance(desired: Desired, name: str) -> Instance:
    """The placed instance of the stack with this name or address. Raises UsageError with the known ones."""
    desired, _ = placed(desired)
    full = full_address(desired, name)
    instance = next((i for i in desired.instances if i.address == full), None)
    if instance is None:
        known = ", ".join(i.address for i in desired.instances)
        raise UsageError(f"{full} is not in {desired.path}; known: {known}")
    return instance
