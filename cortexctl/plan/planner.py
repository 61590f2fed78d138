"""plan(desired, observed) -> Plan: the whole decision, as a pure function of two values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from cortexctl.desired.stack import Desired, Host, Instance
from cortexctl.diagnostics import Diagnostic, in_reading_order
from cortexctl.instance.labels import is_generation_name, owner_of
from cortexctl.instance.spec import ContainerSpec
from cortexctl.model_files.files import ModelSource, source_of
from cortexctl.observed.host import ObservedContainer, ObservedHost
from cortexctl.observed.observation import Observed
from cortexctl.observed.owned import OwnedInstance, left_alone, owned_instances
from cortexctl.plan.action import Action, ReasonCode
from cortexctl.plan.adopt.adopt import adoption_problems, is_adopted, to_adopt, with_adopted
from cortexctl.plan.applied import as_applied
from cortexctl.plan.conflicts import is_pinned
from cortexctl.plan.decide import Force, decide, needs_image, needs_inspection, needs_record, remove
from cortexctl.plan.guards import check_desired, check_hosts
from cortexctl.plan.guards_observed import (
    Wanted,
    left_behind,
    not_touched,
    not_yet_protected,
    past_the_last_generation,
    protected,
    strange,
    two_in_one,
    two_meanings,
    unreachable,
    unreadable,
)
from cortexctl.plan.hook_points import hooks_needed
from cortexctl.plan.model import Change, Plan, PlannedHost
from cortexctl.plan.order import Order, ranks_of, with_waits
from cortexctl.plan.placement import placed
from cortexctl.plan.recipes import steps_for_host
from cortexctl.plan.request import Request
from cortexctl.plan.rollout import canaries_of, in_batches, is_held, rollouts
from cortexctl.plan.steps import Step

if TYPE_CHECKING:
    from cortexctl.plan.capacity.capacity import Room

NOTHING_SPECIAL = Request()
Adoptable = tuple[ObservedContainer, ContainerSpec]
"""A container, and the spec that it is to have."""
Changes = list[Change]


def plan(desired: Desired, observed: Observed, request: Request = NOTHING_SPECIAL, *, basis: str = "") -> Plan:
    """What must be done on the hosts, in which order, and what stands against it.

    `basis` says what `observed` is, if it is not a look at the live hosts.
    """
    changes: list[Change] = []
    steps: list[Step] = []
    everything: list[Change] = []
    observed = observed.by_names_now(desired.moved)
    desired, unplaced = placed(*((as_applied(desired, observed), observed) if request.only else (desired, observed)))
    diagnostics: list[Diagnostic] = [] if request.destroy else [*unplaced, *check_desired(desired)]
    serving: dict[str, int] = {}
    gpus: dict[str, tuple[int, int]] = {}
    taken: dict[str, int] = {}
    wanted_on, seen_on = desired.by_host(), observed.by_name()
    ranks, canaries = ranks_of(desired), canaries_of(desired)
    held: list[Change] = []
    to_read = request.hosts_to_read([h.name for h in desired.hosts])
    looked_at = [h for h in desired.hosts if h.name in to_read]
    for host in sorted(looked_at, key=lambda h: h.name):
        seen, wanted = seen_on[host.name], wanted_on[host.name]
        if not seen.is_reachable:
            diagnostics += unreachable(wanted, seen, request)
            continue
        found = with_adopted(owned_instances(seen, desired.owner, desired.moved), wanted, seen, observed)
        all_here = _changes_on({} if request.destroy else wanted, desired, found, observed, request)
        here = [c for c in all_here if request.wants(c.host, c.model, c.address)]
        if request.canary_hold:
            held += [c for c in here if is_held(c, desired, canaries)]
            here = [c for c in here if c not in held]
        asked = {a: i for a, i in wanted.items() if request.wants(i.host, i.model, a)}
        diagnostics += unreadable({a: i for a, i in found.items() if request.wants(i.host, i.model, a)})
        diagnostics += past_the_last_generation(here)
        diagnostics += two_in_one(found)
        diagnostics += two_meanings({} if request.destroy else wanted, seen, desired.owner, desired.moved)
        diagnostics += [] if request.destroy else adoption_problems(asked, found, seen)
        diagnostics += strange(seen, desired)
        diagnostics += not_touched(seen, desired)
        diagnostics += left_behind(here, asked, seen, host, destroy=request.destroy)
        diagnostics += protected(here, found, wanted, request.unprotect)
        diagnostics += not_yet_protected(here, found, wanted)
        gpus[host.name] = _gpus(all_here)
        taken[host.name] = sum(is_adopted(i.serving) for i in found.values() if i.serving)
        for instance in found.values():
            serving[instance.model] = serving.get(instance.model, 0) + _serves(instance)
        everything += all_here
        changes += here
        drop = {i.spec.network for i in wanted.values()} if request.destroy and not request.words else set()
        steps += steps_for_host(seen, here, Order(ranks, canaries), desired.owner, drop)
    diagnostics += request.unmatched(everything, [h.name for h in desired.hosts])
    if not request.destroy:
        diagnostics += check_hosts(desired, observed, changes)
    room = _room(desired, observed, request, changes, everything, diagnostics)
    diagnostics += room.diagnostics if room else []
    return Plan(
        stack=desired.stack,
        stack_path=desired.path,
        stack_digest=desired.digest,
        env=desired.env,
        destroy=request.destroy,
        basis=basis,
        selection=request.words,
        hosts=tuple(
            planned_host(h, seen_on[h.name], desired, taken.get(h.name, 0), gpus.get(h.name, (0, 0))) for h in looked_at
        ),
        changes=tuple(sorted(changes, key=lambda c: c.address)),
        steps=tuple(in_batches(with_waits(steps, changes, desired), changes, desired)),
        rollouts=rollouts(desired, changes, steps, serving, held),
        max_failures=desired.max_failures,
        diagnostics=tuple(in_reading_order(diagnostics)),
        hooks=hooks_needed(desired.hooks, changes),
        audit_log=desired.audit_log,
        forecasts=room.forecasts if room else (),
        ledger=room.ledger if room else (),
    )


def _room(
    desired: Desired, observed: Observed, request: Request, changes: Changes, all_: Changes, told: list[Diagnostic]
) -> Room | None:
    """Where a container with GPUs is made. Loaded only then: what knows of memory is large."""
    if not any(c.action in {Action.CREATE, Action.REPLACE} and c.detail.after and c.detail.after.gpus for c in changes):
        return None
    from cortexctl.plan.capacity.capacity import room_for

    anyway = [c.address for c in changes if request.forces(request.launch_anyway, c.address, c.model)]
    return room_for(desired, observed, changes, all_, told, anyway)


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
        (instance.host, instance.spec.image)
        for instance, found in _pairs(desired, observed, request)
        if needs_image(instance, found, _force(request, instance))
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
        if instance.host in known and needs_image(instance, found, _force(request, instance))
        for spec in (instance.spec, found.serving.spec if found and found.serving else None)
        if spec and (instance.spec.gpus or instance.gpu_count)
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
        if needs_record(instance, found, _force(request, instance))
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


def _force(request: Request, instance: Instance) -> Force:
    return Force(
        replace=request.forces(request.replace, instance.address, instance.model),
        restart=request.forces(request.restart, instance.address, instance.model),
    )


def _changes_on(
    wanted: Wanted, desired: Desired, found: dict[str, OwnedInstance], observed: Observed, request: Request
) -> list[Change]:
    changes: list[Change] = []
    for address in sorted(wanted.keys() | found.keys()):
        if address in wanted:
            decided = decide(wanted[address], found.get(address), observed, _force(request, wanted[address]))
            changes += [c for c in decided if not (request.only and (_only_moved(c) or _only_tidies(c)))]
        else:
            changes += _leaves(found[address], desired, request)
    return changes


def _leaves(found: OwnedInstance, desired: Desired, request: Request) -> list[Change]:
    """Of an instance that is not wanted. One that the stack no longer has is no drift."""
    if request.destroy:
        if found.serving and found.serving.imported and not is_adopted(found.serving):
            found = replace(found, serving=None)  # it was never applied, and is still whose it was
        return [remove(found, ReasonCode.DESTROY)] if found.all else []
    if request.only:
        return []
    return [remove(found, ReasonCode.DISABLED if found.model in desired.disabled else ReasonCode.NOT_IN_STACK)]


def _only_moved(change: Change) -> bool:
    """The stack's new name for a model is no drift."""
    return change.action is Action.MOVE and any(r.code is ReasonCode.MOVED for r in change.reasons)


def _only_tidies(change: Change) -> bool:
    """One old generation more than are kept is no drift."""
    return change.only_tidies and bool(change.detail.pruned)


def _serves(found: OwnedInstance) -> int:
    return int(any(o.container.is_running and not is_generation_name(o.container.name) for o in found.all))


def _gpus(changes: list[Change]) -> tuple[int, int]:
    """How many of a host's GPUs the stack has, before and after."""
    stays = [c for c in changes if c.action is not Action.REMOVE]
    down = {Action.START, Action.CREATE}
    before = {g for c in changes if c.detail.before and c.action not in down for g in c.detail.before.gpus}
    after = {g for c in stays for spec in (c.detail.after or c.detail.before,) if spec for g in spec.gpus}
    return len(before), len(after)


def planned_host(
    host: Host, seen: ObservedHost, desired: Desired, taken: int = 0, gpus: tuple[int, int] = (0, 0)
) -> PlannedHost:
    """`taken`: containers that the stack has taken by their names."""
    alone = {other.container.id for other in left_alone(seen, desired.owner, desired.moved)}
    ours = sum(owner_of(c.labels) == desired.owner and c.id not in alone for c in seen.containers) + taken
    return PlannedHost(host, seen.daemon, ours, len(seen.containers) - ours, seen.problem, *gpus)
