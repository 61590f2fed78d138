"""Chooses the GPUs of an instance that requests a number of them: those that it has, else the lowest free ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field, replace

from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Desired, Host, Instance
from cortexctl.diagnostics import Diagnostic, error
from cortexctl.instance import labels
from cortexctl.instance.spec import Spec
from cortexctl.observed.host import ObservedHost
from cortexctl.observed.observation import Observed
from cortexctl.observed.owned import OwnedInstance, owned_instances, spec_of
from cortexctl.plan.adopt.adopt import to_adopt
from cortexctl.plan.conflicts import utilization

NOTHING_SEEN = Observed(())


@dataclass(frozen=True, slots=True)
class GpuHolder:
    """A running container of another stack that has GPUs of the host, by its labels."""

    container: str
    owner: str
    spec: Spec

    @property
    def gpus(self) -> tuple[int, ...]:
        return self.spec.container.gpus

    @property
    def utilization(self) -> float:
        return utilization(self.spec)


def placed(desired: Desired, observed: Observed = NOTHING_SEEN) -> tuple[Desired, list[Diagnostic]]:
    """The same stack with every `gpu_count` turned into indices; and the instances that cannot be placed.

    An instance keeps the GPUs of its container, because another choice would be a needless replacement.
    """
    if all(i.gpu_count is None for i in desired.instances):
        return desired, []
    seen, wanted, placing = observed.by_name(), desired.by_host(), Placing(desired.owner, observed)
    choices: dict[str, tuple[int, ...]] = {}
    diagnostics: list[Diagnostic] = []
    for host in desired.hosts:
        there = seen.get(host.name)
        existing = owned_instances(there, desired.owner, desired.moved) if there else {}
        chosen, unplaced = placing.choose(host, list(wanted[host.name].values()), there, existing)
        choices |= chosen
        diagnostics += unplaced
    return placing.placed(desired, choices), diagnostics


class Placing:
    """The choice of GPUs on every host of one observation. Instances with equal specs and GPUs share one spec."""

    def __init__(self, owner: str, observed: Observed) -> None:
        self.owner, self.observed = owner, observed
        self._specs: dict[tuple[int, tuple[int, ...]], tuple[Spec, Spec]] = {}
        """By the id of the spec and the GPUs; with the spec itself, so that no other object gets its id."""

    def choose(
        self, host: Host, here: list[Instance], there: ObservedHost | None, existing: Mapping[str, OwnedInstance]
    ) -> tuple[dict[str, tuple[int, ...]], list[Diagnostic]]:
        """The GPUs by address, for the instances that request a number. `existing`: their containers."""
        if all(i.gpu_count is None for i in here):
            return {}, []
        current = _gpus_of_adopted(here, there, self.observed) | _current_gpus(there, existing)
        work = _Host(host, here, current, _others(there, self.owner))
        return work.choose(), work.diagnostics

    def placed(self, desired: Desired, gpus: Mapping[str, tuple[int, ...]]) -> Desired:
        """The stack with these GPUs, by address."""
        if not gpus:
            return desired
        instances = (self.with_gpus(i, gpus[i.address]) if i.address in gpus else i for i in desired.instances)
        return replace(desired, instances=tuple(instances))

    def with_gpus(self, instance: Instance, gpus: tuple[int, ...]) -> Instance:
        """The instance on these GPUs."""
        spec = instance.spec
        if (id(spec), gpus) not in self._specs:
            self._specs[id(spec), gpus] = spec, replace(spec, container=replace(spec.container, gpus=gpus))
        return replace(instance, spec=self._specs[id(spec), gpus][1])


def gpu_holders(host: ObservedHost, owner: str) -> Iterator[GpuHolder]:
    """The GPUs of other stacks' containers. Containers without our labels may use GPUs too; the container list does not
    show it.
    """
    for container in host.containers:
        whose = labels.owner_of(container.labels)
        if whose and whose != owner and container.is_running and labels.MODEL in container.labels:
            spec, _ = spec_of(container)
            if spec is not None and spec.container.gpus:
                yield GpuHolder(container.name, whose, spec)


@dataclass
class _Host:
    """One host's GPUs while they are assigned."""

    host: Host
    instances: list[Instance]
    current: Mapping[str, tuple[int, ...]]
    others: set[int]
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def choose(self) -> dict[str, tuple[int, ...]]:
        """By address. First the GPUs that the stack names, then those that instances hold already, then free ones."""
        taken = {g for i in self.instances if i.gpu_count is None for g in i.spec.container.gpus}
        counted = sorted((i for i in self.instances if i.gpu_count is not None), key=lambda i: (i.model, i.ordinal))
        chosen: dict[str, tuple[int, ...]] = {}
        for instance in counted:
            has = self.current.get(instance.address, ())
            if self._may_keep(has, instance.gpu_count, taken):
                chosen[instance.address] = has
                taken |= set(has)
        for instance in counted:
            if instance.address not in chosen:
                chosen[instance.address] = self._free(instance, taken)
                taken |= set(chosen[instance.address])
        return chosen

    def _may_keep(self, has: tuple[int, ...], count: int | None, taken: set[int]) -> bool:
        inside = self.host.gpus is None or all(g < self.host.gpus for g in has)
        return len(has) == count and inside and not taken.intersection(has)

    def _free(self, instance: Instance, taken: set[int]) -> tuple[int, ...]:
        free = [g for g in range(self.host.gpus or 0) if g not in taken and g not in self.others]
        wanted = instance.gpu_count or 0
        if len(free) >= wanted:
            return tuple(free[:wanted])
        others = f", {len(self.others)} held by other stacks" if self.others else ""
        self.diagnostics.append(
            error(
                "CX410",
                f"{instance.address} needs {_gpus(wanted)}, and {len(free)} of {self.host.gpus or 0} "
                f"on {self.host.name} {'is' if len(free) == 1 else 'are'} free{others}",
                instance.place_of("gpus"),
                help="move a model to another host, give this one fewer GPUs, or write indices to share GPUs",
            )
        )
        return self.current.get(instance.address, ())


def _current_gpus(host: ObservedHost | None, existing: Mapping[str, OwnedInstance]) -> dict[str, tuple[int, ...]]:
    """By address: the GPUs in the label of the instance's serving container, or of the newest container."""
    if host is None or not host.is_reachable:
        return {}
    current = {}
    for address, instance in existing.items():
        owned = instance.serving or (instance.others[-1] if instance.others else None)
        if owned is not None and owned.spec is not None:
            current[address] = owned.spec.container.gpus
    return current


def _gpus_of_adopted(
    instances: Iterable[Instance], host: ObservedHost | None, observed: Observed
) -> dict[str, tuple[int, ...]]:
    """The GPUs of containers that are adopted by name, if they have device ids."""
    current = {}
    for instance in instances:
        container = to_adopt(instance, None, host) if instance.adopt and host is not None else None
        inspected = observed.adoptable.get((instance.host, container.id)) if container else None
        if inspected is not None and inspected.gpus and all(g.isdigit() for g in inspected.gpus):
            current[instance.address] = tuple(sorted(int(g) for g in inspected.gpus))
    return current


def _others(host: ObservedHost | None, owner: str) -> set[int]:
    return {g for holder in gpu_holders(host, owner) for g in holder.gpus} if host else set()


def _gpus(count: int) -> str:
    return f"{count} GPU" if count == 1 else f"{count} GPUs"
