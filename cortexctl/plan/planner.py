"""plan(desired, observed) -> Plan: the whole decision, as a pure function of two values."""

from __future__ import annotations

from collections.abc import Collection

from cortexctl.diagnostics import Diagnostic, error, in_reading_order
from cortexctl.observed.owned import OwnedInstance, owned_instances, strangers
from cortexctl.observed.state import Observed, ObservedHost
from cortexctl.plan.action import ReasonCode
from cortexctl.plan.decide import decide, needs_image, remove
from cortexctl.plan.guards import check_desired, check_hosts
from cortexctl.plan.model import Change, Plan, PlannedHost
from cortexctl.plan.sequence import steps_for_host
from cortexctl.plan.steps import Step
from cortexctl.spec.desired import Desired, Host
from cortexctl.spec.labels import HOST, STACK


def plan(desired: Desired, observed: Observed, *, destroy: bool = False, unprotect: Collection[str] = ()) -> Plan:
    """What must be done on the hosts, in which order, and what stands against it.

    `destroy` plans the removal of everything that is the stack's. `unprotect` names addresses whose
    protection is lifted for this plan.
    """
    changes: list[Change] = []
    steps: list[Step] = []
    diagnostics: list[Diagnostic] = [] if destroy else check_desired(desired)
    for host in sorted(desired.hosts, key=lambda h: h.name):
        seen = observed.host(host.name)
        if not seen.is_reachable:
            diagnostics.append(_unreachable(desired, seen))
            continue
        found = owned_instances(seen, desired.stack)
        here = _changes_on(host, desired, found, observed, destroy=destroy)
        diagnostics += _unreadable(found)
        diagnostics += _strange(seen, desired.stack)
        diagnostics += _protected(here, found, desired, unprotect)
        changes += here
        steps += steps_for_host(seen, here, desired.stack)
    if not destroy:
        diagnostics += check_hosts(desired, observed, changes)
    return Plan(
        stack=desired.stack,
        stack_path=desired.path,
        stack_digest=desired.digest,
        env=desired.env,
        destroy=destroy,
        hosts=tuple(_planned(h, observed.host(h.name), desired.stack) for h in desired.hosts),
        changes=tuple(sorted(changes, key=lambda c: c.address)),
        steps=tuple(steps),
        diagnostics=tuple(in_reading_order(diagnostics)),
    )


def images_needed(desired: Desired, observed: Observed) -> tuple[tuple[str, str], ...]:
    """The (host, reference) pairs to look up before planning: only of containers that will be made."""
    needed = set()
    for host in desired.hosts:
        seen = observed.host(host.name)
        if not seen.is_reachable:
            continue
        found = owned_instances(seen, desired.stack)
        for instance in desired.instances:
            if instance.host == host.name and needs_image(instance, found.get(instance.address)):
                needed.add((host.name, instance.spec.image))
    return tuple(sorted(needed))


def _changes_on(
    host: Host, desired: Desired, found: dict[str, OwnedInstance], observed: Observed, *, destroy: bool
) -> list[Change]:
    wanted = {} if destroy else {i.address: i for i in desired.instances if i.host == host.name}
    changes: list[Change] = []
    for address in sorted(wanted.keys() | found.keys()):
        if address in wanted:
            changes += decide(wanted[address], found.get(address), observed.images)
        else:
            reason = ReasonCode.DESTROY if destroy else ReasonCode.NOT_IN_STACK
            changes.append(remove(found[address], reason))
    return changes


def _protected(
    changes: list[Change], found: dict[str, OwnedInstance], desired: Desired, unprotect: Collection[str]
) -> list[Diagnostic]:
    """The stack's word counts while it declares the model; afterwards the label's does."""
    declared = {i.address: i.protect for i in desired.instances}
    refused = []
    for change in changes:
        instance = found.get(change.address)
        if instance is None or change.after is not None or change.address in unprotect:
            continue
        if declared.get(change.address, any(o.protect for o in instance.all)):
            refused.append(
                error(
                    "CX403",
                    f"{change.address} is protected and would be removed",
                    help=f"if that is what you want, say so: --unprotect {change.address}",
                )
            )
    return refused


def _unreadable(found: dict[str, OwnedInstance]) -> list[Diagnostic]:
    return [
        error(
            "CX402",
            f"{instance.address}: the recorded spec of {owned.container.name} cannot be read: {owned.problem}",
            help="it was written by a newer cortexctl, or by hand; upgrade cortexctl, or remove the container",
        )
        for instance in found.values()
        for owned in instance.all
        if owned.spec is None
    ]


def _strange(seen: ObservedHost, stack: str) -> list[Diagnostic]:
    return [
        error(
            "CX404",
            f'{seen.name}: the container {container.name} was made for the host "{container.labels[HOST]}"',
            help="if the host was renamed, give it its old name back; if two hosts of the stack are one engine, "
            "keep one of them",
        )
        for container in strangers(seen, stack)
    ]


def _unreachable(desired: Desired, seen: ObservedHost) -> Diagnostic:
    models = sorted({i.model for i in desired.instances if i.host == seen.name})
    left_out = f"; left out of this plan: {', '.join(models)}" if models else ""
    return error("CX401", f"{seen.name}: {seen.problem}{left_out}", help=seen.next_step)


def _planned(host: Host, seen: ObservedHost, stack: str) -> PlannedHost:
    ours = sum(c.labels.get(STACK) == stack for c in seen.containers)
    return PlannedHost(host, seen.engine, ours, len(seen.containers) - ours, seen.problem)
