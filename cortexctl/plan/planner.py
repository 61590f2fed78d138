"""plan(desired, observed) -> Plan: the whole decision, as a pure function of two values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cortexctl.desired.stack import Desired
from cortexctl.diagnostics import Diagnostic, in_reading_order, unacknowledged
from cortexctl.observed.observation import Observed
from cortexctl.plan.action import Action
from cortexctl.plan.comparison import Compared, compare
from cortexctl.plan.guards import check_desired, check_hosts, too_many_removals
from cortexctl.plan.hook_points import hooks_needed
from cortexctl.plan.host_plan import Fleet, HostPlan, plan_host
from cortexctl.plan.model import Change, Plan, Rollout
from cortexctl.plan.one_daemon import one_daemon_twice
from cortexctl.plan.order import Order, ranks_of, with_waits
from cortexctl.plan.request import Request
from cortexctl.plan.rollout import canaries_of, in_batches, rollouts
from cortexctl.plan.steps import Step

if TYPE_CHECKING:
    from cortexctl.plan.capacity.capacity import Room

NOTHING_SPECIAL = Request()


def plan(desired: Desired, observed: Observed, request: Request = NOTHING_SPECIAL, *, basis: str = "") -> Plan:
    """The required changes on the hosts, their order, and the problems that block them.

    `basis` names the source of `observed`, if it is not the live hosts.
    """
    return plan_of(compare(desired, observed, request), basis=basis)


def plan_of(compared: Compared, *, basis: str = "") -> Plan:
    """The same, for a stack and an observation that are compared already."""
    desired, request = compared.desired, compared.request
    with_canaries = frozenset(i.model for i in desired.instances if i.canary)
    fleet = Fleet(compared, Order(ranks_of(desired), canaries_of(desired)), with_canaries)
    hosts = plan_hosts(fleet)
    changes = [change for host in hosts for change in host.changes]
    steps = [step for host in hosts for step in host.steps]
    diagnostics = [*_diagnostics(fleet, changes, hosts), *(d for host in hosts for d in host.diagnostics)]
    room = _room(fleet, changes, hosts)
    diagnostics += room.diagnostics if room else ()
    return Plan(
        stack=desired.stack,
        stack_path=desired.path,
        stack_digest=desired.digest,
        env=desired.env,
        destroy=request.destroy,
        basis=basis,
        selection=request.narrowing_options,
        invocation=replace(desired.invocation, stack=desired.path, env=desired.env, options=request.options),
        hosts=tuple(host.host for host in hosts),
        changes=tuple(sorted(room.changes if room else changes, key=lambda c: c.address)),
        steps=tuple(in_batches(with_waits(steps, changes, desired), changes, desired)),
        rollouts=_rollouts(desired, changes, steps, hosts),
        max_failures=desired.max_failures,
        parallel_starts=desired.parallel_starts,
        diagnostics=tuple(in_reading_order(unacknowledged(diagnostics, desired.acknowledgements))),
        hooks=hooks_needed(desired.hooks, changes),
        audit_log=desired.audit_log,
        forecasts=room.forecasts if room else (),
        ledger=room.ledger if room else (),
    )


def plan_hosts(fleet: Fleet) -> list[HostPlan]:
    """The plan of each host that the request selects, by name."""
    desired, here = fleet.desired, fleet.compared.hosts
    selected = {*fleet.request.hosts_to_read([h.name for h in desired.hosts])}
    hosts = sorted((h for h in desired.hosts if h.name in selected), key=lambda h: h.name)
    return [plan_host(host, here[host.name], fleet) for host in hosts]


def _diagnostics(fleet: Fleet, changes: Sequence[Change], hosts: Sequence[HostPlan]) -> Iterator[Diagnostic]:
    """Diagnostics about the plan as a whole: in the stack, between the stack and its hosts, and in the request."""
    desired, request = fleet.desired, fleet.request
    everything = [change for host in hosts for change in host.everything]
    lost = {host.host.host.name for host in hosts if host.host.problem}
    unread = [i for i in desired.instances if i.host in lost]
    yield from request.unmatched(everything, unread, [h.name for h in desired.hosts])
    yield from too_many_removals(changes, desired, request)
    if not request.destroy:
        yield from fleet.compared.unplaced
        yield from check_desired(desired)
        yield from one_daemon_twice(desired, fleet.observed)
        yield from check_hosts(desired, fleet.observed, changes)


def _rollouts(
    desired: Desired, changes: Sequence[Change], steps: Sequence[Step], hosts: Sequence[HostPlan]
) -> tuple[Rollout, ...]:
    serving = sum((Counter(host.serving) for host in hosts), Counter[str]())
    return rollouts(desired, changes, steps, serving, [change for host in hosts for change in host.deferred])


def _room(fleet: Fleet, changes: Sequence[Change], hosts: Sequence[HostPlan]) -> Room | None:
    """If a container with GPUs is created. Imported only then: the memory computation is large."""
    launches = (c.detail.after for c in changes if c.action in {Action.CREATE, Action.REPLACE})
    if not any(spec and spec.container.gpus for spec in launches):
        return None
    from cortexctl.plan.capacity.capacity import room_for

    request = fleet.request
    everything = [change for host in hosts for change in host.everything]
    anyway = [c.address for c in changes if request.forces(request.launch_anyway, c.address, c.model)]
    return room_for(fleet.desired, fleet.observed, changes, everything, anyway)
