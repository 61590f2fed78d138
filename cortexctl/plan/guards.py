"""Plans that are refused: conflicts inside the stack, and conflicts with the running containers of the hosts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations

from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Desired, Instance
from cortexctl.diagnostics import Diagnostic, error
from cortexctl.engines.registry import engine_of
from cortexctl.instance import labels
from cortexctl.instance.labels import generation_name, serving_name
from cortexctl.observed.host import BoundPort, ObservedContainer, ObservedHost
from cortexctl.observed.observation import Observed
from cortexctl.observed.owned import left_alone
from cortexctl.plan.action import Action
from cortexctl.plan.conflicts import overlap, oversubscribed_gpus, utilization, what_both_need
from cortexctl.plan.model import Change
from cortexctl.plan.order import Order, in_order, ranks_of
from cortexctl.plan.placement import GpuHolder, gpu_holders
from cortexctl.plan.request import Request
from cortexctl.plan.rollout import canaries_of


def check_desired(desired: Desired) -> list[Diagnostic]:
    """Conflicts that are visible without a host."""
    diagnostics: list[Diagnostic] = list(_daemons(desired))
    by_host: dict[str, list[Instance]] = defaultdict(list)
    for instance in desired.instances:
        by_host[instance.host].append(instance)
    for instances in by_host.values():
        diagnostics += _served_names(instances)
        diagnostics += _ports(instances)
        diagnostics += _gpus(instances)
    return diagnostics


def too_many_removals(changes: Sequence[Change], desired: Desired, request: Request) -> Iterator[Diagnostic]:
    """A wrong edit, or the wrong file, removes more than anybody means. A container that is only tidied up does not
    count.
    """
    limit = desired.max_destroy if request.max_destroy is None else request.max_destroy
    removed = sorted(c.address for c in changes if c.action is Action.REMOVE and not c.only_tidies)
    if limit is not None and len(removed) > limit:
        yield error(
            "CX420",
            f"the plan removes {len(removed)} instance{'s' if len(removed) > 1 else ''}, and the limit is {limit}: "
            f"{_some(removed)}",
            help=f"if that is intended, confirm the number: --max-destroy {len(removed)}",
        )


def _some(addresses: Sequence[str], most: int = 8) -> str:
    rest = f" and {len(addresses) - most} more" if len(addresses) > most else ""
    return ", ".join(addresses[:most]) + rest


@dataclass(frozen=True, slots=True)
class _InUse:
    """What the containers of a host use. Read once for all changes of the host."""

    names: Mapping[str, Sequence[tuple[int, ObservedContainer, str]]]
    """By name, the containers that are not ours: position in the list, container, owner."""
    ports: Mapping[int, Sequence[tuple[ObservedContainer, BoundPort]]]
    gpus: Sequence[GpuHolder]
    """Only those of other stacks."""
    released: Mapping[str, int]
    """By container id, the number of the last change that touches it."""


def check_hosts(desired: Desired, observed: Observed, changes: Sequence[Change]) -> list[Diagnostic]:
    """Conflicts with running containers, and images that are not available."""
    wanted = {i.address: i for i in desired.instances}
    diagnostics: list[Diagnostic] = []
    ordered = in_order(changes, Order(ranks_of(desired), canaries_of(desired)))
    seen, in_use = observed.by_name(), dict[str, _InUse]()
    stopped: dict[str, set[str]] = defaultdict(set)
    released: dict[str, dict[str, int]] = defaultdict(dict)
    for number, change in enumerate(ordered):
        released[change.host].update((ref.id, number) for ref in change.detail.touched)
    for number, change in enumerate(ordered):
        touched = {ref.id for ref in change.detail.touched}
        if change.action in {Action.REMOVE, Action.REPLACE}:
            stopped[change.host] |= touched
        makes_one = change.action in {Action.CREATE, Action.REPLACE}
        if not makes_one and not change.detail.rename:
            continue
        instance = wanted[change.address]
        if change.host not in in_use:
            in_use[change.host] = _in_use_on(seen[change.host], desired, released[change.host])
        here = in_use[change.host]
        diagnostics += _taken_names(instance, change, here, desired)
        if not makes_one:
            continue
        diagnostics += _taken_port(instance, number, here, stopped[change.host] | touched)
        diagnostics += _missing_image(instance, observed)
        diagnostics += _not_together(instance, change)
        diagnostics += _gpus_of_others(instance, here.gpus)
    return diagnostics


def _in_use_on(host: ObservedHost, desired: Desired, released: Mapping[str, int]) -> _InUse:
    alone = {other.container.id for other in left_alone(host, desired.owner, desired.moved)}
    names: dict[str, list[tuple[int, ObservedContainer, str]]] = defaultdict(list)
    ports: dict[int, list[tuple[ObservedContainer, BoundPort]]] = defaultdict(list)
    for position, container in enumerate(host.containers):
        owner = labels.owner_of(container.labels)
        if owner != desired.owner or container.id in alone:
            names[container.name].append((position, container, "" if container.id in alone else owner))
        for bound in container.ports:
            ports[bound.port].append((container, bound))
    return _InUse(names, ports, tuple(gpu_holders(host, desired.owner)), released)


def _daemons(desired: Desired) -> Iterator[Diagnostic]:
    numbers = Counter(host.docker for host in desired.hosts)
    for one, other in combinations((host for host in desired.hosts if numbers[host.docker] > 1), 2):
        if one.docker == other.docker:
            yield error(
                "CX213",
                f'hosts "{one.name}" and "{other.name}" are the same daemon ({one.docker})',
                help="give each host its own `docker`, or keep one of them",
            )


def _served_names(instances: Sequence[Instance]) -> Iterator[Diagnostic]:
    first: dict[tuple[str, str], Instance] = {}
    for other in instances:
        for name in other.spec.server.served_names:
            one = first.setdefault((other.spec.container.network, name), other)
            if one.model != other.model:
                yield error(
                    "CX206",
                    f'models "{one.model}" and "{other.model}" both serve "{name}" on network '
                    f"{one.spec.container.network} of {one.host}",
                    other.place_of("served_names"),
                    help="give one of them another name: clients could reach either server",
                )


def _ports(instances: Sequence[Instance]) -> Iterator[Diagnostic]:
    numbers = Counter(p.port for i in instances if (p := i.spec.container.publish))
    shared = [i for i in instances if (p := i.spec.container.publish) and p.port and numbers[p.port] > 1]
    for one, other in combinations(shared, 2):
        a, b = one.spec.container.publish, other.spec.container.publish
        if a and b and a.port and a.port == b.port and overlap(a.address, b.address):
            yield error(
                "CX207",
                f"{one.address} and {other.address} both publish port {a.port}",
                other.place_of("publish"),
                help="choose another port, or omit it to let the daemon pick a free one",
            )


def _gpus(instances: Sequence[Instance]) -> Iterator[Diagnostic]:
    for (host, index), sharers in oversubscribed_gpus(instances).items():
        share = sum(utilization(s.spec) for s in sharers)
        names = ", ".join(f"{s.address} {_share(s)}" for s in sharers)
        setting = _share_setting(sharers[-1])
        yield error(
            "CX208",
            f"{setting} on GPU {index} of {host} sums to {share:.2f}: {names}",
            sharers[-1].place_of("gpus"),
            help=f"sharers' {setting} must sum to at most 1; or use other GPUs",
        )


def _share_setting(instance: Instance) -> str:
    """The argument by which its engine takes a share of a GPU's memory."""
    return engine_of(instance.spec.server).contract.share_setting


def _share(sharer: Instance) -> str:
    engine = engine_of(sharer.spec.server)
    use = engine.gpu_use(sharer.spec.server)
    return f"{use.share:.2f}" + (f" ({engine.contract.title}'s default)" if use.is_default else "")


def _taken_names(instance: Instance, change: Change, in_use: _InUse, desired: Desired) -> Iterator[Diagnostic]:
    from cortexctl.plan.recipes import retained_name

    names = {
        serving_name(change.model, change.detail.ordinal),
        generation_name(change.model, change.detail.ordinal, change.detail.generation),
        *([retained_name(change)] if change.action is Action.REPLACE else []),
        *([generation_name(change.model, change.detail.ordinal, 0)] if change.detail.imported else []),
    }
    taken = (holder for name in names for holder in in_use.names.get(name, ()))
    for _, container, other in sorted(taken, key=lambda holder: holder[0]):
        if container.id != change.detail.imported:
            whose, advice = _other_owner(other, desired)
            yield error(
                "CX406",
                f"{change.host}: a container named {container.name} exists and {whose}",
                instance.place_of(""),
                help=advice,
            )


def _other_owner(other: str, desired: Desired) -> tuple[str, str]:
    """Whose container it is, and what to do. `other`: the owner in its labels."""
    stack, _, env = other.partition("@")
    if other and stack == desired.stack:
        whose = f'its environment "{env}"' if env else "no environment"
        return f"belongs to this stack with {whose}", (
            "an environment has its own containers, but their names do not contain it; "
            "on one host, each environment needs other model names"
        )
    whose = f'belongs to the stack "{other}"' if other else "is not ours"
    return whose, "rename the model, or remove that container yourself: cortexctl never takes it over"


def _taken_port(instance: Instance, number: int, in_use: _InUse, stopped: Collection[str]) -> Iterator[Diagnostic]:
    """`number`: of its change, in order. `stopped`: the containers that release their ports until then."""
    publish = instance.spec.container.publish
    if publish is None or publish.port is None:
        return
    for container, bound in in_use.ports.get(publish.port, ()):
        if container.id not in stopped and overlap(bound.address, publish.address):
            is_released_later = in_use.released.get(container.id, -1) > number
            yield error(
                "CX407",
                f"{instance.host}: port {publish.port} is used by the container {container.name}",
                instance.place_of("publish"),
                help="it is released later in this plan: apply that change first, with --target"
                if is_released_later
                else "choose another port, or omit it to let the daemon pick a free one",
            )
            return


def _missing_image(instance: Instance, observed: Observed) -> Iterator[Diagnostic]:
    facts = observed.images.get((instance.host, instance.spec.container.image))
    if facts and facts.availability == "missing":
        yield error(
            "CX405",
            f"{instance.host}: the image {facts.reference} is not on the host and cannot be pulled",
            instance.place_of("image"),
            detail=facts.problem,
            help=f"check the name, log the daemon in to its registry, or load it: docker load … && docker "
            f"image inspect {facts.reference}",
        )


def _not_together(instance: Instance, change: Change) -> Iterator[Diagnostic]:
    """A start-first change that is not possible. A fallback to stop-first would be the outage that start-first avoids.
    An undo stops first, whatever the strategy: it happens if the serving container has failed.
    """
    detail = change.detail
    if instance.strategy != "start_first" or detail.start_first or detail.is_rollback or not change.cost.down:
        return
    both_need = what_both_need(detail.before, instance.spec) if detail.before else None
    if both_need is None:
        return
    yield error(
        "CX225",
        f"{change.address} cannot start first: the old and the new one both need {both_need}",
        instance.place_of("rollout.strategy"),
        help='strategy = "stop_first", or give the new one a port and GPUs of its own',
    )


def _gpus_of_others(instance: Instance, holders: Sequence[GpuHolder]) -> Iterator[Diagnostic]:
    for holder in holders:
        shared = sorted(set(holder.gpus) & set(instance.spec.container.gpus))
        if shared and utilization(instance.spec) + holder.utilization > 1:
            yield error(
                "CX411",
                f"{instance.host}: GPU {', '.join(map(str, shared))} is held by {holder.container} "
                f'of the stack "{holder.owner}"',
                instance.place_of("gpus"),
                help=f"use other GPUs, or let their {_share_setting(instance)} sum to at most 1",
            )
