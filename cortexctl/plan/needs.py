"""needs(desired, observed, request) -> Needs: what the planner must know beyond the lists of containers, and does not.

A pure function, asked again after every answer: what is needed next depends on what is known by then. It is empty when
`observed` has all that the plan is decided by.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from cortexctl.desired.stack import Desired, Instance
from cortexctl.instance.labels import owner_of
from cortexctl.instance.spec import Spec
from cortexctl.model_files.files import ModelSource, source_of
from cortexctl.observed.host import ObservedContainer
from cortexctl.observed.observation import Fact, Key, Observed
from cortexctl.observed.owned import OwnedInstance, image_labels_needed, owned_instances
from cortexctl.plan.adopt.adopt import to_adopt, with_adopted
from cortexctl.plan.applied import as_applied
from cortexctl.plan.conflicts import is_pinned
from cortexctl.plan.decide import needs_image, needs_inspection, needs_record
from cortexctl.plan.host_plan import force_of
from cortexctl.plan.placement import placed
from cortexctl.plan.request import Request

PLAIN = Request()

Adoptable = tuple[ObservedContainer, Spec]
"""A container, and the spec that it is to have."""
Pairs = list[tuple[Instance, OwnedInstance | None]]


@dataclass(frozen=True, slots=True)
class Needs:
    """Facts to read, by kind. Empty (and false) when nothing is needed."""

    image_labels: tuple[Key, ...] = ()
    """(host, image id): images that may be where a container has its labels from."""
    adoptions: Mapping[Key, Adoptable] = field(default_factory=dict)
    """(host, container id): containers to inspect because the stack takes them by name."""
    records: tuple[str, ...] = ()
    """Hosts: what was applied there last, and how long it took."""
    images: tuple[Key, ...] = ()
    """(host, reference): images of containers that will be created."""
    inspections: tuple[Key, ...] = ()
    """(host, container id): containers whose limits may have been changed in place."""
    models: tuple[ModelSource, ...] = ()
    """Models whose files tell how much memory they take."""

    def __bool__(self) -> bool:
        return any((self.image_labels, self.adoptions, self.records, self.images, self.inspections, self.models))


def needs(desired: Desired, observed: Observed, request: Request = PLAIN) -> Needs:
    """For a plan. Whose the containers are comes first; then what was applied last, where that is what is planned."""
    identity = needs_of_identity(desired, observed)
    if identity:
        return identity
    if request.only and (unread := _unread_records(observed)):
        return Needs(records=unread)
    pairs = list(_pairs(desired, observed, request))
    return Needs(
        records=_records_needed(pairs, observed, request),
        images=_images_needed(pairs, observed, request),
        inspections=_inspections_needed(pairs, desired, observed, everything=bool(request.only)),
        models=_models_needed(pairs, desired, observed, request),
    )


def needs_of_identity(desired: Desired, observed: Observed) -> Needs:
    """To know which containers are the stack's, and nothing more."""
    doubtful = image_labels_needed(observed, desired.owner, desired.moved)
    unread = _unread(Fact.IMAGE_LABELS, doubtful, (), observed)
    return Needs(image_labels=unread) if unread else Needs(adoptions=_adoptions_needed(desired, observed))


def needs_of_rollback(desired: Desired, observed: Observed) -> Needs:
    """And what was applied last, on every host that could be read."""
    return needs_of_identity(desired, observed) or Needs(records=_unread_records(observed))


def needs_of_drift(desired: Desired, observed: Observed) -> Needs:
    """And what may have been updated in place since."""
    first = needs_of_rollback(desired, observed)
    if first:
        return first
    pairs = list(_pairs(desired, observed, PLAIN))
    return Needs(inspections=_inspections_needed(pairs, desired, observed, everything=False))


def needs_of_snapshot(desired: Desired, observed: Observed) -> Needs:
    """All that a later plan could ask about but for images: a host's are listed at once."""
    first = needs_of_rollback(desired, observed)
    if first:
        return first
    ours = [(h.name, c.id) for h in observed.hosts for c in h.containers if owner_of(c.labels) == desired.owner]
    return Needs(
        inspections=_unread(Fact.LIMITS, ours, observed.in_place, observed),
        models=_unread_models(every_model(desired, observed), observed),
    )


def every_model(desired: Desired, observed: Observed | None = None) -> tuple[ModelSource, ...]:
    """Of all that the stack wants with GPUs and, where there is an observation, of all of its containers."""
    specs = [(i.host, i.spec) for i in desired.instances if i.spec.container.gpus or i.gpu_count]
    for host in observed.hosts if observed else ():
        for instance in owned_instances(host, desired.owner, desired.moved).values():
            specs += [(host.name, o.spec) for o in instance.all if o.spec and o.spec.container.gpus]
    return _sources(specs)


def _pairs(desired: Desired, observed: Observed, request: Request) -> Iterator[tuple[Instance, OwnedInstance | None]]:
    """Every wanted instance of a reachable host, with what is found of it."""
    if request.destroy:
        return
    observed = observed.by_current_names(desired.moved)
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


def _adoptions_needed(desired: Desired, observed: Observed) -> dict[Key, Adoptable]:
    needed: dict[Key, Adoptable] = {}
    seen_on = observed.by_name()
    for host, wanted in desired.by_host().items():
        asking = {a: i for a, i in wanted.items() if i.adopt}
        if not asking or host not in seen_on or not seen_on[host].is_reachable:
            continue
        found = owned_instances(seen_on[host], desired.owner, desired.moved)
        for address, instance in asking.items():
            container = to_adopt(instance, found.get(address), seen_on[host])
            if container is not None:
                needed[host, container.id] = (container, instance.spec)
    unread = _unread(Fact.ADOPTION, needed, observed.adoptable, observed)
    return {key: needed[key] for key in unread}


def _unread_records(observed: Observed) -> tuple[str, ...]:
    return _unread_records_of([h.name for h in observed.hosts if h.is_reachable], observed)


def _records_needed(pairs: Pairs, observed: Observed, request: Request) -> tuple[str, ...]:
    """Of hosts where something will start, for what past starts tell of it, or where something may have been changed
    in place.
    """
    hosts = {i.host for i, found in pairs if needs_record(i, found, force_of(request, i))}
    return _unread_records_of(sorted(hosts), observed)


def _images_needed(pairs: Pairs, observed: Observed, request: Request) -> tuple[Key, ...]:
    """Only of containers that will be created."""
    needed = {(i.host, i.spec.container.image) for i, found in pairs if needs_image(i, found, force_of(request, i))}
    return _unread(Fact.IMAGE, sorted(needed), observed.images, observed)


def _inspections_needed(pairs: Pairs, desired: Desired, observed: Observed, *, everything: bool) -> tuple[Key, ...]:
    """Where the label alone does not tell; of all that run, if `everything` that was changed by hand is to be found."""
    now = observed.by_current_names(desired.moved)
    wanted = ((i.host, needs_inspection(i, found, now, everything=everything)) for i, found in pairs)
    containers = sorted((host, container) for host, container in wanted if container)
    return _unread(Fact.LIMITS, containers, observed.in_place, observed)


def _models_needed(pairs: Pairs, desired: Desired, observed: Observed, request: Request) -> tuple[ModelSource, ...]:
    """Models of GPU containers to be created, of the ones they replace, and of neighbours whose memory use depends on
    the model. None of a host whose GPUs are not known.
    """
    known = {h.name for h in desired.hosts if h.gpu_name or h.gpu_memory}
    created = [
        (instance.host, spec)
        for instance, found in pairs
        if instance.host in known and needs_image(instance, found, force_of(request, instance))
        for spec in (instance.spec, found.serving.spec if found and found.serving else None)
        if spec and (instance.spec.container.gpus or instance.gpu_count)
    ]
    hosts = {host for host, _ in created}
    beside = [(i.host, i.spec) for i in desired.instances if i.host in hosts and is_pinned(i.spec)]
    return _unread_models(_sources([*created, *beside]), observed)


def _sources(specs: Iterable[tuple[str, Spec]]) -> tuple[ModelSource, ...]:
    sources = {source_of(host, spec) for host, spec in specs}
    return tuple(sorted(s for s in sources if isinstance(s, ModelSource)))


def _unread_models(sources: Iterable[ModelSource], observed: Observed) -> tuple[ModelSource, ...]:
    by_key = {source.key: source for source in sources}
    return tuple(by_key[key] for key in _unread(Fact.MODEL, by_key, observed.model_files, observed))


def _unread_records_of(hosts: Iterable[str], observed: Observed) -> tuple[str, ...]:
    by_key = {(host, ""): host for host in hosts}
    return tuple(by_key[key] for key in _unread(Fact.RECORD, by_key, {(h, "") for h in observed.records}, observed))


def _unread(fact: Fact, keys: Iterable[Key], known: Collection[Key], observed: Observed) -> tuple[Key, ...]:
    """What nobody was asked about. What was asked about, and not found, is not asked about again."""
    return tuple(key for key in keys if key not in known and (fact, key) not in observed.unknown)
