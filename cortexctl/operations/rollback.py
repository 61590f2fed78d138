"""Plan a rollback to a retained generation."""

from __future__ import annotations

from cortexctl.desired.stack import Desired
from cortexctl.observe.gather import observe_for_rollback
from cortexctl.operations.connections import OpenHosts
from cortexctl.plan.model import Plan
from cortexctl.plan.rollback import RollbackTarget, plan_rollback


def plan_rollback_live(desired: Desired, address: str, generation: int | None, hosts: OpenHosts) -> Plan:
    """`address`: with its host. `generation` None: the newest retained one that is older. Raises UsageError."""
    host = address.partition("/")[0]
    observed = observe_for_rollback(desired.on_hosts([host]), hosts, hosts.watch)
    return plan_rollback(desired, observed, RollbackTarget(address, generation))
