"""plan(desired, observed) -> Plan: the whole decision, as a pure function of two values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from cortexctl.desired.stack import Desired, Instance
from cortexctl.diagnostics import Diagnostic, in_reading_order
from cortexctl.instance.spec import Spec
from cortexctl.model_files.files import ModelSource, source_of
from cortexctl.observed.host import ObservedContainer
from cortexctl.observed.observation import Observed
from cortexctl.observed.owned import OwnedInstance, owned_instances
from cortexctl.plan.action import Action
from cortexctl.plan.adopt.adopt import to_adopt, with_adopted
from cortexctl.plan.applied import as_applied
from cortexctl.plan.conflicts import is_pinned
from cortexctl.plan.decide import needs_image, needs_inspection, needs_record
from cortexctl.plan.guards import check_desired, check_hosts
from cortexctl.plan.hook_points import hooks_needed
from cortexctl.plan.host_plan import Fleet, HostPlan, force_of, plan_host
from cortexctl.plan.model import Change, Plan, Rollout
from cortexctl.plan.order import Order, ranks_of, with_waits
from cortexctl.plan.placement import placed
from cortexctl.plan.request import Request
from cortexctl.plan.rollout import canaries_of, in_batches, rollouts
from cortexctl.plan.steps import Step

if TYPE_CHECKING:
    from cortexctl.plan.capacity.capacity import Room

NOTHING_SPECIAL = Request()
Adoptable = tuple[ObservedContainer, Spec]
"""A container, and the spec that it is to have."""


def plan(desired: Desired, observed: Observed, request: Request = NOTHING_SPECIAL, *, basis: str = "") -> Plan:
    """What must be done on the hosts, in which order, and what stands against it.

    `basis` says what `observed` is, where it is not the live hosts.
    """
    observed = observed.by_names_now(desired.moved)
    desired, unplaced = placed(as_applied(desired, observed) if request.only else desired, observed)
    fleet = Fleet(desired, observed, request, Order(ranks_of(desired), canaries_of(desired)))
    hosts = plan_hosts(fleet)
    changes = [change for host in hosts for change in host.changes]
    steps = [step for host in hosts for step in host.steps]
    diagnostics = [*_against(fleet, unplaced, changes, hosts), *(d for host in hosts for d in host.diagnostics)]
    room = _room(fleet, changes, hosts, diagnostics)
    return Plan(
        stack=desired.stack,
        stack_path=desired.path,
        stack_digest=desired.digest,
        env=desired.env,
        destroy=request.destroy,
        basis=basis,
        selection=request.words,
        hosts=tuple(host.host for host in hosts),
        changes=tuple(sorted(changes, key=lambda c: c.address)),
        steps=tuple(in_batches(with_waits(steps, changes, desired), changes, desired)),
        rollouts=_rollouts(desired, changes, steps, hosts),
        max_failures=desired.max_failures,
        diagnostics=tuple(in_reading_order([*diagnostics, *(room.diagnostics if room else ())])),
        hooks=hooks_needed(desired.hooks, changes),
        audit_log=desired.audit_log,
        forecasts=room.forecasts if room else (),
        ledger=room.ledger if room else (),
    )


def plan_hosts(fleet: Fleet) -> list[HostPlan]:
    """The plan of each host that the request has in it, by name."""
    desired = fleet.desired
    selected = fleet.request.hosts_to_read([h.name for h in desired.hosts])
    wanted, seen = desired.by_host(), fleet.observed.by_name()
    hosts = sorted((h for h in desired.hosts if h.name in selected), key=lambda h: h.name)
    return [plan_host(host, wanted[host.name], seen[host.name], fleet) for host in hosts]


def _against(
    fleet: Fleet, unplaced: Sequence[Diagnostic], changes: Sequence[Change], hosts: Sequence[HostPlan]
) -> Iterator[Diagnostic]:
    """What stands against the plan as a whole: in the stack, between the stack and its hosts, and in the request."""
    desired, request = fleet.desired, fleet.request
    everything = [change for host in hosts for change in host.everything]
    yield from request.unmatched(everything, [h.name for h in desired.hosts])
    if not request.destroy:
        yield from unplaced
        yield from check_desired(desired)
        yield from check_hosts(desired, fleet.observed, changes)


def _rollouts(
    desired: Desired, changes: Sequence[Change], steps: Sequence[Step], hosts: Sequence[HostPlan]
) -> tuple[Rollout, ...]:
    serving = sum((Counter(host.serving) for host in hosts), Counter[str]())
    return rollouts(desired, changes, steps, serving, [change for host in hosts for change in host.deferred])


def _room(
    fleet: Fleet, changes: Sequence[Change], hosts: Sequence[HostPlan], known: Sequence[Diagnostic]
) -> Room | None:
    """Where a container with GPUs is created. Imported only then: what computes memory is large."""
    launches = (c.detail.after for c in changes if c.action in {Action.CREATE, Action.REPLACE})
    if not any(spec and spec.container.gpus for spec in launches):
        return None
    from cortexctl.plan.capacity.capacity import room_for

    request = fleet.request
    everything = [change for host in hosts for change in host.everything]
    anyway = [c.address for c in changes if request.forces(request.launch_anyway, c.address, c.model)]
    return room_for(fleet.desired, fleet.observed, changes, everything, known, anyway)


def adoptions_needed(desired: Desired, observed: Observed) -> dict[str, dict[str, Adoptable]]:
    """By host and container id: what to inspect before all else, for the stack takes it by its name."""
    needed: dict[str, dict[str, Adoptable]] = {}
    seen_on = observed.by_name()
    for host, wanted in desired.by_host().items():
        asking = {a: i for a, i in wanted.items() if i.adopt}
        if not asking or host not in seen_on or not seen_on[host].is_reachable:
            continue
        found = owned_instances(seen_on[host], desired.owner, desired.moved)
        for address, instance in asking.items():
            container = to_adopt(instance, found.get(address), seen_on[host])
            if container is not None:
                needed.setdefault(host, {})[container.id] = (container, instance.spec)
    return needed


def images_needed(
    desired: Desired, observed: Observed, request: Request = NOTHING_SPECIAL
) -> tuple[tuple[str, str], ...]:
    """The (host, reference) pairs to look up before planning: only of containers that will be made."""
    needed = {
        (instance.host, instance.spec.container.image)
        for instance, found in _pairs(desired, observed, request)
        if needs_image(instance, found, force_of(request, instance))
    }
    return tuple(sorted(needed))


def models_needed(desired: Desired, observed: Observed, request: Request = NOTHING_SPECIAL) -> tuple[ModelSource, ...]:
    """The models whose files to read before planning: of containers with GPUs that will be made, of those whose place
    they take, and of those beside them that take what only their model tells. None of a host whose GPUs are not known.
    """
    known = {h.name for h in desired.hosts if h.gpu_name or h.gpu_memory}
    made = [
        (instance.host, spec)
        for instance, found in _pairs(desired, observed, request)
        if instance.host in known and needs_image(instance, found, force_of(request, instance))
        for spec in (instance.spec, found.serving.spec if found and found.serving else None)
        if spec and (instance.spec.container.gpus or instance.gpu_count)
    ]
    hosts = {host for host, _ in made}
    beside = [(i.host, i.spec) for i in desired.instances if i.host in hosts and is_pinned(i.spec)]
    sources = {source_of(host, spec) for host, spec in (*made, *beside)}
    return tuple(sorted(s for s in sources if isinstance(s, ModelSource)))


def inspections_needed(
    desired: Desired, observed: Observed, request: Request = NOTHING_SPECIAL
) -> tuple[tuple[str, str], ...]:
    """The (host, container id) pairs to inspect before planning: where the label alone does not tell. Of all that
    run, if drift is what is looked for.
    """
    everything = bool(request.only)
    wanted = (
        (i.host, needs_inspection(i, found, observed.by_names_now(desired.moved), everything=everything))
        for i, found in _pairs(desired, observed, request)
    )
    return tuple(sorted((host, container) for host, container in wanted if container))


def records_needed(desired: Desired, observed: Observed, request: Request = NOTHING_SPECIAL) -> tuple[str, ...]:
    """The hosts whose record to read before planning, and before what to inspect is known: where something will start,
    for what past starts tell of it, or something may have been changed in place.
    """
    if request.only:
        return tuple(h.name for h in observed.hosts if h.is_reachable)
    hosts = {
        instance.host
        for instance, found in _pairs(desired, observed, request)
        if needs_record(instance, found, force_of(request, instance))
    }
    return tuple(sorted(hosts))


def _pairs(desired: Desired, observed: Observed, request: Request) -> Iterator[tuple[Instance, OwnedInstance | None]]:
    """Every wanted instance of a reachable host, with what is found of it."""
    if request.destroy:
        return
    observed = observed.by_names_now(desired.moved)
    desired, _ = placed(as_applied(desired, observed) if request.only else desired, observed)
    seen_on = observed.by_name()
    for host, wanted in desired.by_host().items():
        seen = seen_on.get(host)
        if seen is None or not seen.is_reachable:
            continue
        found = with_adopted(owned_instances(seen, desired.owner, desired.moved), wanted, seen, observed)
        for address, instance in wanted.items():
            if request.wants(host, instance.model, address):
                yield instance, found.get(address)
