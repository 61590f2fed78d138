"""compare(desired, observed) -> Compared: every instance that the stack wants beside its containers, put together once.

What a plan needs to know and what it decides both start from it. After new facts, only the hosts that they are about
are compared again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Desired, Host, Instance
from cortexctl.diagnostics import Diagnostic
from cortexctl.observed.host import ObservedHost
from cortexctl.observed.observation import Observed
from cortexctl.observed.owned import Owned, OwnedInstance, Ownership, SpecLabels, ownership_of
from cortexctl.observed.roles import serving_now
from cortexctl.plan.adopt.adopt import with_adopted
from cortexctl.plan.diff import FieldChange
from cortexctl.plan.differing import differing_fields, with_settings
from cortexctl.plan.placement import Placing
from cortexctl.plan.request import Request

if TYPE_CHECKING:
    from cortexctl.observed.record import Applied

PLAIN = Request()


@dataclass(frozen=True, slots=True)
class Pair:
    """An instance that the stack wants, and its containers. `serving`: the one to compare with, by names and states;
    `fields`: the differences from what its label records.
    """

    wanted: Instance
    existing: OwnedInstance | None
    serving: Owned | None
    fields: tuple[FieldChange, ...]

    def by_record(self, applied: Applied | None) -> Pair:
        """The same, with the serving container that the record shows. It counts only if none has the serving name."""
        serving = serving_now(self.wanted.spec, self.existing, applied)
        if serving is self.serving:
            return self
        return replace(self, serving=serving, fields=differing_fields(self.wanted, serving))

    def fields_to_change(self, observed: Observed) -> tuple[FieldChange, ...]:
        """The differences. A label does not show changes in place, so for those fields an inspection takes precedence,
        if there is one.
        """
        if self.serving is None or self.serving.spec is None or self.serving.imported:
            return self.fields
        actual = observed.in_place.get((self.wanted.host, self.serving.container.id))
        return self.fields if actual is None else with_settings(self.fields, self.wanted, actual)


@dataclass(frozen=True, slots=True)
class ComparedHost:
    """The instances on one host, by address: as the stack declares them, as they are `wanted` (on GPUs), and as they
    exist. `owned` has the adopted ones, too; `pairs` is empty if the host cannot be read.
    """

    seen: ObservedHost
    declared: Mapping[str, Instance]
    wanted: Mapping[str, Instance]
    ownership: Ownership
    owned: Mapping[str, OwnedInstance]
    pairs: Mapping[str, Pair]
    gpus: Mapping[str, tuple[int, ...]]
    """The chosen GPUs of the instances that request a number of them."""
    unplaced: tuple[Diagnostic, ...]
    """Instances that no GPUs are free for."""

    @property
    def adopts(self) -> bool:
        """Whether the inspection of a container may change it."""
        return any(i.adopt for i in self.declared.values())


@dataclass(frozen=True, slots=True)
class Compared:
    """A stack and an observation. `desired` is the stack (with `--only drift` the applied one), with every instance on
    chosen GPUs.
    """

    stack: Desired
    desired: Desired
    observed: Observed
    request: Request
    hosts: Mapping[str, ComparedHost]
    """The hosts of the stack, by name."""
    spec_labels: SpecLabels

    @property
    def unplaced(self) -> list[Diagnostic]:
        """Instances that no GPUs are free for."""
        return [d for host in self.hosts.values() for d in host.unplaced]

    def with_observed(self, observed: Observed) -> Compared:
        """With a later observation. Hosts whose containers are the same value are not compared again."""
        if self.request.only:  # what was applied depends on every fact
            return compare(self.stack, observed, self.request)
        observed = observed.by_current_names(self.stack.moved)
        seen = observed.by_name()
        adopted = observed.adoptable != self.observed.adoptable
        same = {
            name: host
            for name, host in self.hosts.items()
            if host.seen is seen.get(name) and not (adopted and host.adopts)
        }
        if len(same) == len(self.hosts):
            return replace(self, observed=observed)
        return _compared(self.stack, self.stack, observed, self.request, self.spec_labels, same)

    def selected(self) -> Iterator[Pair]:
        """Every wanted instance of a reachable host that the request selects."""
        for name, host in self.hosts.items():
            for address, pair in host.pairs.items():
                if self.request.wants(name, pair.wanted.model, address):
                    yield pair


def compare(desired: Desired, observed: Observed, request: Request = PLAIN) -> Compared:
    """Every container is read once, and every difference is computed once."""
    observed = observed.by_current_names(desired.moved)
    declared = _as_applied(desired, observed) if request.only else desired
    spec_labels = SpecLabels(i.spec for i in declared.instances)
    return _compared(desired, declared, observed, request, spec_labels, {})


def _as_applied(desired: Desired, observed: Observed) -> Desired:
    from cortexctl.plan.applied import as_applied

    return as_applied(desired, observed)


def _compared(
    stack: Desired,
    declared: Desired,
    observed: Observed,
    request: Request,
    spec_labels: SpecLabels,
    same: Mapping[str, ComparedHost],
) -> Compared:
    """`same`: hosts that need no new comparison."""
    seen, named = observed.by_name(), {h.name: h for h in declared.hosts}
    placing = Placing(declared.owner, observed)
    hosts: dict[str, ComparedHost] = {}
    for name, instances in declared.by_host().items():
        if name in same:
            hosts[name] = same[name]
        elif name in named:
            at = seen.get(name) or ObservedHost(name, problem="it was not read")
            hosts[name] = _of_host(named[name], at, instances, declared, placing, request, spec_labels)
    gpus = {address: chosen for host in hosts.values() for address, chosen in host.gpus.items()}
    return Compared(stack, placing.placed(declared, gpus), observed, request, hosts, spec_labels)


def _of_host(
    host: Host,
    seen: ObservedHost,
    declared: Mapping[str, Instance],
    stack: Desired,
    placing: Placing,
    request: Request,
    spec_labels: SpecLabels,
) -> ComparedHost:
    ownership = ownership_of(seen, stack.owner, stack.moved, spec_labels)
    existing = ownership.by_address()
    gpus, unplaced = placing.choose(host, list(declared.values()), seen, existing)
    wanted = {a: placing.with_gpus(i, gpus[a]) if a in gpus else i for a, i in declared.items()}
    owned = with_adopted(existing, wanted, seen, placing.observed) if seen.is_reachable else {}
    pairs = {} if request.destroy or not seen.is_reachable else wanted
    return ComparedHost(
        seen,
        declared,
        wanted,
        ownership,
        owned,
        {address: _pair(instance, owned.get(address), spec_labels) for address, instance in pairs.items()},
        gpus,
        tuple(unplaced),
    )


def _pair(wanted: Instance, existing: OwnedInstance | None, spec_labels: SpecLabels) -> Pair:
    serving = serving_now(wanted.spec, existing)
    return Pair(wanted, existing, serving, differing_fields(wanted, serving, spec_labels))
