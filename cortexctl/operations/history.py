"""The past runs: the records of the audit log, or the labels of the containers instead."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from cortexctl.desired.stack import Desired
from cortexctl.errors import UsageError
from cortexctl.instance import labels
from cortexctl.observe.gather import observe_identity
from cortexctl.observed.observation import Observed
from cortexctl.observed.owned import owned_instances
from cortexctl.operations.connections import Connections, open_hosts
from cortexctl.operations.read_stack import SecretMode, StackReader
from cortexctl.operations.results import LabelHistory
from cortexctl.operations.run_log import NO_LOG
from cortexctl.operations.stack_choice import StackChoice

LISTED = 20
"""Known addresses that an error lists."""


def audit_log_path(stack: str, choice: StackChoice, wanted: str) -> Path | None:
    """None if the stack, or the user, wants no log. The default one if the stack cannot be read."""
    from cortexctl.stack.hooks import default_log

    if wanted:
        return None if wanted == NO_LOG else Path(wanted)
    desired = StackReader(stack, choice, SecretMode.SKIP).read().desired
    name = desired.audit_log if desired is not None else default_log(stack)
    return Path(stack).resolve().parent / name if name else None


def audit_records(path: Path) -> Iterator[dict[str, Any]]:
    """Oldest first. Raises UsageError."""
    from cortexctl.audit.audit_log import read_log

    try:
        yield from read_log(path)
    except OSError as cause:
        raise UsageError(f"the audit log {path} cannot be read: {cause.strerror}") from None


def label_history(desired: Desired, addresses: Sequence[str], connections: Connections | None = None) -> LabelHistory:
    """The history of the containers that the hosts have now. `addresses`: only these. `connections`: of the run. Raises
    UsageError.
    """
    with open_hosts(desired, connections) as hosts:
        observed = observe_identity(desired, hosts, hosts.watch)
    rows = _rows(observed, desired)
    unreachable = tuple(h for h in observed.hosts if not h.is_reachable)
    if addresses:
        if not unreachable:
            need_known(addresses, {row["address"] for row in rows}, desired.owner)
        rows = [row for row in rows if row["address"] in addresses]
    return LabelHistory(tuple(rows), unreachable)


def need_known(wanted: Sequence[str], known: Collection[str], where: str) -> None:
    """Refuses unknown addresses: a typing error must not mean "nothing happened". Raises UsageError."""
    if unknown := [address for address in wanted if address not in known]:
        more = len(known) - LISTED if len(known) > LISTED + 1 else 0
        listed = ", ".join(sorted(known)[: len(known) - more]) + (f" and {more} more" if more else "")
        there = f"known: {listed}" if known else "it names no instance"
        raise UsageError(f"{where} has no {' and no '.join(unknown)}; {there}")


def _rows(observed: Observed, desired: Desired) -> list[dict[str, str]]:
    rows = [
        {
            "address": instance.address,
            "container": owned.container.name,
            "generation": str(owned.generation),
            "state": owned.container.state,
            "run": owned.run,
            "revision": owned.container.labels.get(labels.REVISION, ""),
            "author": owned.container.labels.get(labels.AUTHOR, ""),
        }
        for host in observed.hosts
        for instance in owned_instances(host, desired.owner, desired.moved).values()
        for owned in instance.all
    ]
    return sorted(rows, key=lambda row: (row["address"], -int(row["generation"])))
