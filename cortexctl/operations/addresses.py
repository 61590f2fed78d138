"""Which instance a word on the command line means: HOST/MODEL, or MODEL alone where only one host can be meant."""

from __future__ import annotations

from cortexctl.desired.stack import Desired, Instance
from cortexctl.errors import UsageError
from cortexctl.instance.labels import address
from cortexctl.plan.placement import placed


def full_address(desired: Desired, word: str) -> str:
    """The word with its host. Whether the host has such an instance is not asked. Raises UsageError with the hosts or
    the addresses that there are.
    """
    host, slash, _ = word.partition("/")
    names = [h.name for h in desired.hosts]
    if slash and host in names:
        return word
    if slash:
        raise UsageError(f'there is no host "{host}" in {desired.path}; known: {", ".join(names)}')
    meant = sorted(i.address for i in desired.instances if i.address == address(i.host, word))
    if len(meant) == 1:
        return meant[0]
    if len(names) == 1:
        return address(names[0], word)  # it may have left the stack, and still have a container
    there = f"it could be {' or '.join(meant)}" if meant else f"known hosts: {', '.join(names)}"
    raise UsageError(f'"{word}" does not say which host is meant; write HOST/MODEL: {there}')


def declared_instance(desired: Desired, word: str) -> Instance:
    """The placed instance of the stack that the word means. Raises UsageError with those that there are."""
    desired, _ = placed(desired)
    wanted = full_address(desired, word)
    instance = next((i for i in desired.instances if i.address == wanted), None)
    if instance is None:
        known = ", ".join(i.address for i in desired.instances)
        raise UsageError(f"{wanted} is not in {desired.path}; there are: {known}")
    return instance
