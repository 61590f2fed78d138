"""The last applied state of the stack: drift is measured against it, and drift is repaired to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from cortexctl.desired.stack import Desired, Instance
from cortexctl.instance.labels import is_generation_name, serving_name
from cortexctl.instance.spec import Spec
from cortexctl.observed.host import ObservedContainer, ObservedHost
from cortexctl.observed.observation import Observed
from cortexctl.observed.owned import Owned, OwnedInstance, SpecLabels, owned_instances
from cortexctl.observed.record import Applied
from cortexctl.observed.roles import serving_now
from cortexctl.plan.adopt.adopt import as_pattern, to_adopt
from cortexctl.plan.adopt.imported import imported_fields
from cortexctl.plan.cost import applied_of
from cortexctl.plan.diff import IN_PLACE


def as_applied(desired: Desired, observed: Observed) -> Desired:
    """Every instance with the spec that its container was created with, or the recorded spec if the container is gone.
    Omits instances that were never applied, and those on hosts that cannot be read.
    """
    wanted, seen = desired.by_host(), observed.by_name()
    instances = (i for host, here in wanted.items() for i in _on(seen[host], here, desired, observed))
    return replace(desired, instances=tuple(sorted(instances, key=lambda i: i.address)))


def _on(seen: ObservedHost, wanted: Mapping[str, Instance], desired: Desired, observed: Observed) -> Iterator[Instance]:
    if not seen.is_reachable:
        return
    owned = owned_instances(seen, desired.owner, desired.moved, SpecLabels(i.spec for i in wanted.values()))
    for address, instance in wanted.items():
        container, recorded = to_adopt(instance, owned.get(address), seen), applied_of(instance, observed)
        was_replaced = recorded is not None and recorded.generation > 0  # and its successor is gone
        if container is not None and not was_replaced:
            yield from _as_adopted(instance, container, observed)
            continue
        spec = _applied_spec(instance, owned.get(address), observed)
        if spec is not None:
            yield replace(instance, spec=spec, gpu_count=None)


def _as_adopted(wanted: Instance, taken: ObservedContainer, observed: Observed) -> Iterator[Instance]:
    """It has no label, and only its settings can have changed: every other difference is not applied yet. A container
    that had its name before needed no apply, and counts as applied.
    """
    recorded, inspected = applied_of(wanted, observed), observed.adoptable.get((wanted.host, taken.id))
    is_recorded = recorded is not None and recorded.generation == 0
    if inspected is None or not (is_recorded or taken.name == serving_name(wanted.model, wanted.ordinal)):
        return
    pending = (as_pattern(f.path) for f in imported_fields(wanted, inspected))
    was = recorded.spec.container.in_place if recorded is not None and is_recorded else inspected.in_place
    yield replace(wanted, spec=wanted.spec.with_in_place(was), ignore=(*wanted.ignore, *pending), gpu_count=None)


def _applied_spec(wanted: Instance, owned: OwnedInstance | None, observed: Observed) -> Spec | None:
    """From the container that has the serving name, unless a later one had passed its gate when its run was killed. A
    container without that name may be retained or not gated; then the record decides.
    """
    applied = applied_of(wanted, observed)
    serving = serving_now(wanted.spec, owned, applied)
    if serving is None:
        return applied.spec if applied else None
    if applied is not None and _is_later(applied, serving):
        return applied.spec
    actual = observed.in_place.get((wanted.host, serving.container.id))
    if serving.spec is None or actual is None:
        return serving.spec
    # A label does not show updates in place; the record does, and so does a stack that declares the limits.
    recorded = applied_of(wanted, observed, serving)
    known = recorded.spec if recorded and recorded.generation == serving.generation else serving.spec
    was, declared = known.container.in_place, wanted.spec.container.in_place
    updated = {n: getattr(actual, n) for n in IN_PLACE if getattr(actual, n) == getattr(declared, n)}
    return serving.spec.with_in_place(replace(was, **updated))


def _is_later(applied: Applied, owned: Owned) -> bool:
    """Whether another container than `owned` was applied last."""
    if is_generation_name(owned.container.name):
        return applied.generation != owned.generation
    return applied.is_ahead_of(owned.generation)
