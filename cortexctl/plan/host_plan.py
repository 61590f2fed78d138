"""plan_host: the changes on one host, and the problems that block them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import field, replace

from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Desired, Host, Instance
from cortexctl.diagnostics import Diagnostic
from cortexctl.instance.labels import is_generation_name
from cortexctl.observed.host import ObservedHost
from cortexctl.observed.observation import Observed
from cortexctl.observed.owned import OwnedInstance, Ownership
from cortexctl.plan.action import Action, ReasonCode
from cortexctl.plan.adopt.adopt import adoption_problems, is_adopted
from cortexctl.plan.comparison import Compared, ComparedHost
from cortexctl.plan.decide import NO_FORCE, Force, decide, remove
from cortexctl.plan.guards_observed import (
    left_behind,
    misplaced,
    not_touched,
    not_yet_protected,
    past_the_last_generation,
    protected,
    two_in_one,
    two_meanings,
    unreachable,
    unreadable,
)
from cortexctl.plan.model import Change, PlannedHost
from cortexctl.plan.order import Order
from cortexctl.plan.request import Request
from cortexctl.plan.rollout import is_deferred
from cortexctl.plan.steps import Step


@dataclass(frozen=True, slots=True)
class Fleet:
    """The inputs that all hosts of a plan share: the stack beside the observation, and the order of models. `canaries`:
    the models that have some.
    """

    compared: Compared
    order: Order
    with_canaries: frozenset[str] = frozenset()

    @property
    def desired(self) -> Desired:
        return self.compared.desired

    @property
    def observed(self) -> Observed:
        return self.compared.observed

    @property
    def request(self) -> Request:
        return self.compared.request


@dataclass(frozen=True, slots=True)
class HostPlan:
    """A host's share of a plan."""

    host: PlannedHost
    changes: tuple[Change, ...] = ()
    """Changes that the request selects."""
    deferred: tuple[Change, ...] = ()
    """Selected changes that are left for another apply (--canary-hold)."""
    everything: tuple[Change, ...] = ()
    """The changes without any selection. Instances that are not selected stay unchanged."""
    steps: tuple[Step, ...] = ()
    serving: Mapping[str, int] = field(default_factory=dict)
    """Number of instances that run now, by model."""
    diagnostics: tuple[Diagnostic, ...] = ()


def plan_host(host: Host, here: ComparedHost, fleet: Fleet) -> HostPlan:
    """Decides for every instance that is wanted on the host, or exists there. A host that cannot be read has no
    changes, and a diagnostic.
    """
    request, seen, wanted = fleet.request, here.seen, here.wanted
    if not seen.is_reachable:
        planned = planned_host(host, seen, here.ownership)
        return HostPlan(planned, diagnostics=tuple(unreachable(wanted, seen, request)))
    everything = tuple(_changes(here, fleet))
    selected = [c for c in everything if request.wants(c.host, c.model, c.address)]
    waiting = selected if request.canary_hold else []
    deferred = [c for c in waiting if is_deferred(c, fleet.with_canaries, fleet.order.canaries)]
    changes = [c for c in selected if c not in deferred] if deferred else selected
    adopted = sum(is_adopted(instance.serving) for instance in here.owned.values() if instance.serving)
    networks = (
        {i.spec.container.network for i in wanted.values()}
        if request.destroy and not request.narrowing_options
        else set()
    )
    return HostPlan(
        host=planned_host(host, seen, here.ownership, adopted, _gpus(everything)),
        changes=tuple(changes),
        deferred=tuple(deferred),
        everything=everything,
        steps=_steps(seen, changes, fleet, networks),
        serving=Counter(instance.model for instance in here.owned.values() if _serves(instance)),
        diagnostics=tuple(_diagnostics(host, here, changes, request)),
    )


def _steps(seen: ObservedHost, changes: Sequence[Change], fleet: Fleet, drop: Collection[str]) -> tuple[Step, ...]:
    """`drop`: networks to remove. The recipes are loaded if there is something to do."""
    if not drop and not any(c.action.does_something for c in changes):
        return ()
    from cortexctl.plan.recipes import steps_for_host

    return tuple(steps_for_host(seen, changes, fleet.order, fleet.desired.owner, drop))


def planned_host(
    host: Host, seen: ObservedHost, ownership: Ownership, adopted: int = 0, gpus: tuple[int, int] = (0, 0)
) -> PlannedHost:
    """`adopted`: containers that the stack has adopted by name. `gpus`: number of GPUs in use, before and after."""
    ours = ownership.ours + adopted
    return PlannedHost(host, seen.daemon, ours, len(seen.containers) - ours, seen.problem, *gpus)


def force_of(request: Request, instance: Instance) -> Force:
    """The actions that the request wants for the instance even if nothing differs."""
    if not request.replace and not request.restart:
        return NO_FORCE
    return Force(
        replace=request.forces(request.replace, instance.address, instance.model),
        restart=request.forces(request.restart, instance.address, instance.model),
    )


def _changes(here: ComparedHost, fleet: Fleet) -> Iterator[Change]:
    request, pairs = fleet.request, here.pairs
    for address in sorted(pairs.keys() | here.owned.keys()):
        if address not in pairs:
            yield from _leaves(here.owned[address], fleet.desired, request)
            continue
        pair = pairs[address]
        decided = decide(pair, fleet.observed, force_of(request, pair.wanted))
        yield from (c for c in decided if not (request.only and _is_not_drift(c)))


def _leaves(instance: OwnedInstance, desired: Desired, request: Request) -> Iterator[Change]:
    """For an instance that is not wanted. It is not drift if the stack no longer has it."""
    if request.destroy:
        if instance.serving and instance.serving.imported and not is_adopted(instance.serving):
            instance = replace(instance, serving=None)  # it was never applied, and still belongs to its former owner
        if instance.all:
            yield remove(instance, ReasonCode.DESTROY)
    elif not request.only:
        yield remove(instance, _why_it_leaves(instance, desired))


def _why_it_leaves(instance: OwnedInstance, desired: Desired) -> ReasonCode:
    if instance.host in desired.retired:
        return ReasonCode.HOST_RETIRED
    return ReasonCode.DISABLED if instance.model in desired.disabled else ReasonCode.NOT_IN_STACK


def _is_not_drift(change: Change) -> bool:
    """A new name of a model in the stack, or one old generation more than are retained."""
    is_moved = change.action is Action.MOVE and bool(change.detail.moved_from)
    return is_moved or (change.only_tidies and bool(change.detail.pruned))


def _diagnostics(host: Host, here: ComparedHost, changes: list[Change], request: Request) -> Iterator[Diagnostic]:
    """Diagnostics about the changes, given the containers on the host."""
    wanted, owned, seen, ownership = here.wanted, here.owned, here.seen, here.ownership
    selected = {a: i for a, i in wanted.items() if request.wants(i.host, i.model, a)}
    yield from unreadable({a: i for a, i in owned.items() if request.wants(i.host, i.model, a)})
    yield from past_the_last_generation(changes)
    yield from two_in_one(owned)
    yield from two_meanings({} if request.destroy else wanted, ownership)
    yield from [] if request.destroy else adoption_problems(selected, owned, seen)
    yield from misplaced(seen, ownership)
    yield from not_touched(seen, ownership)
    yield from left_behind(changes, selected, seen, host, destroy=request.destroy)
    yield from protected(changes, owned, wanted, request.unprotect)
    yield from not_yet_protected(changes, owned, wanted)


def _serves(instance: OwnedInstance) -> bool:
    return any(o.container.is_running and not is_generation_name(o.container.name) for o in instance.all)


def _gpus(changes: tuple[Change, ...]) -> tuple[int, int]:
    """The number of a host's GPUs that the stack uses, before and after."""
    stays = [c for c in changes if c.action is not Action.REMOVE]
    down = {Action.START, Action.CREATE}
    before = {g for c in changes if c.detail.before and c.action not in down for g in c.detail.before.container.gpus}
    after = {g for c in stays for spec in (c.detail.after or c.detail.before,) if spec for g in spec.container.gpus}
    return len(before), len(after)
