"""needs(desired, observed, request) -> Needs: the facts beyond the container lists that the planner needs and does not
have.

A pure function, called again after every answer, because each answer can create new needs. It is empty if `observed`
has every fact that the plan depends on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import field

from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Desired, Instance, specs_of
from cortexctl.engines.companions import sources_of
from cortexctl.instance.labels import owner_of
from cortexctl.instance.spec import Spec
from cortexctl.model_files.files import ModelSource
from cortexctl.observed.host import ObservedContainer
from cortexctl.observed.observation import Fact, Key, Observed
from cortexctl.observed.owned import OwnedInstance, image_labels_needed, owned_instances
from cortexctl.plan.adopt.adopt import owned_on, to_adopt
from cortexctl.plan.applied import as_applied
from cortexctl.plan.conflicts import is_pinned
from cortexctl.plan.decide import needs_image, needs_inspection, needs_record
from cortexctl.plan.host_plan import force_of
from cortexctl.plan.one_daemon import hosts_with_equal_containers
from cortexctl.plan.placement import placed
from cortexctl.plan.request import Request

PLAIN = Request()

Adoptable = tuple[ObservedContainer, Spec]
"""A container, and its desired spec."""
Pairs = list[tuple[Instance, OwnedInstance | None]]


@dataclass(frozen=True, slots=True)
class Needs:
    """Facts to read, by kind. Empty (and false) if nothing is needed."""

    image_labels: tuple[Key, ...] = ()
    """(host, image id): images from which a container may have its labels."""
    adoptions: Mapping[Key, Adoptable] = field(default_factory=dict)
    """(host, container id): containers to inspect because the stack adopts them by name."""
    records: tuple[str, ...] = ()
    """Hosts whose record is needed: the last applied specs, and how long starts took."""
    images: tuple[Key, ...] = ()
    """(host, reference): images of containers that will be created."""
    inspections: tuple[Key, ...] = ()
    """(host, container id): containers whose limits may have been changed in place."""
    models: tuple[ModelSource, ...] = ()
    """Models whose files show how much memory they take."""
    identities: tuple[str, ...] = ()
    """Hosts whose daemon may be that of another host."""

    def __bool__(self) -> bool:
        others = self.models or self.identities
        return any((self.image_labels, self.adoptions, self.records, self.images, self.inspections, others))


def needs(desired: Desired, observed: Observed, request: Request = PLAIN) -> Needs:
    """For a plan. First the owners of the containers; then the record, if the last applied stack is planned."""
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
        identities=() if request.destroy else _identities_needed(observed),
    )


def needs_of_identity(desired: Desired, observed: Observed) -> Needs:
    """The facts to decide which containers belong to the stack, and nothing else."""
    doubtful = image_labels_needed(observed, desired.owner, desired.moved)
    unread = _unread(Fact.IMAGE_LABELS, doubtful, (), observed)
    return Needs(image_labels=unread) if unread else Needs(adoptions=_adoptions_needed(desired, observed))


def needs_of_rollback(desired: Desired, observed: Observed) -> Needs:
    """Those of identity, and the record of every host that could be read."""
    return needs_of_identity(desired, observed) or Needs(records=_unread_records(observed))


def needs_of_drift(desired: Desired, observed: Observed) -> Needs:
    """Those of a rollback, and updates in place since."""
    first = needs_of_rollback(desired, observed)
    if first:
        return first
    pairs = list(_pairs(desired, observed, PLAIN))
    return Needs(inspections=_inspections_needed(pairs, desired, observed, everything=False))


def needs_of_snapshot(desired: Desired, observed: Observed) -> Needs:
    """All facts that a later plan could need, except images: a host's images are listed at once."""
    first = needs_of_rollback(desired, observed)
    if first:
        return first
    ours = [(h.name, c.id) for h in observed.hosts for c in h.containers if owner_of(c.labels) == desired.owner]
    return Needs(
        inspections=_unread(Fact.LIMITS, ours, observed.in_place, observed),
        models=_unread_models(every_model(desired, observed), observed),
    )


def every_model(desired: Desired, observed: Observed | None = None) -> tuple[ModelSource, ...]:
    """The models of all wanted instances with GPUs and, if there is an observation, of all containers of the stack;
    with those that they load beside their own.
    """
    specs = [(i.host, i.spec) for i in desired.instances if i.spec.container.gpus or i.gpu_count]
    for host in observed.hosts if observed else ():
        for instance in owned_instances(host, desired.owner, desired.moved).values():
            specs += [(host.name, o.spec) for o in instance.all if o.spec and o.spec.container.gpus]
    return _sources(specs)


def _pairs(desired: Desired, observed: Observed, request: Request) -> Iterator[tuple[Instance, OwnedInstance | None]]:
    """Every wanted instance of a reachable host, with its existing containers."""
    if request.destroy:
        return
    observed = observed.by_current_names(desired.moved)
    desired, _ = placed(as_applied(desired, observed) if request.only else desired, observed)
    seen_on = observed.by_name()
    for host, wanted in desired.by_host().items():
        seen = seen_on.get(host)
        if seen is None or not seen.is_reachable:
            continue
        owned = owned_on(seen, desired, wanted, observed)
        for address, instance in wanted.items():
            if request.wants(host, instance.model, address):
                yield instance, owned.get(address)


def _adoptions_needed(desired: Desired, observed: Observed) -> dict[Key, Adoptable]:
    needed: dict[Key, Adoptable] = {}
    seen_on = observed.by_name()
    for host, wanted in desired.by_host().items():
        adopting = {a: i for a, i in wanted.items() if i.adopt}
        if not adopting or host not in seen_on or not seen_on[host].is_reachable:
            continue
        owned = owned_instances(seen_on[host], desired.owner, desired.moved, specs_of(wanted.values()))
        for address, instance in adopting.items():
            container = to_adopt(instance, owned.get(address), seen_on[host])
            if container is not None:
                needed[host, container.id] = (container, instance.spec)
    unread = _unread(Fact.ADOPTION, needed, observed.adoptable, observed)
    return {key: needed[key] for key in unread}


def _unread_records(observed: Observed) -> tuple[str, ...]:
    return _unread_records_of([h.name for h in observed.hosts if h.is_reachable], observed)


def _records_needed(pairs: Pairs, observed: Observed, request: Request) -> tuple[str, ...]:
    """Hosts where a container will start, because past starts give its cost, or where settings may have been changed in
    place.
    """
    hosts = {i.host for i, existing in pairs if needs_record(i, existing, force_of(request, i))}
    return _unread_records_of(sorted(hosts), observed)


def _images_needed(pairs: Pairs, observed: Observed, request: Request) -> tuple[Key, ...]:
    """Only images of containers that will be created."""
    needed = {
        (i.host, i.spec.container.image) for i, existing in pairs if needs_image(i, existing, force_of(request, i))
    }
    return _unread(Fact.IMAGE, sorted(needed), observed.images, observed)


def _inspections_needed(pairs: Pairs, desired: Desired, observed: Observed, *, everything: bool) -> tuple[Key, ...]:
    """Containers whose label alone is not enough; all running ones, if `everything` that was changed by hand is
    needed.
    """
    now = observed.by_current_names(desired.moved)
    wanted = ((i.host, needs_inspection(i, existing, now, everything=everything)) for i, existing in pairs)
    containers = sorted((host, container) for host, container in wanted if container)
    return _unread(Fact.LIMITS, containers, observed.in_place, observed)


def _models_needed(pairs: Pairs, desired: Desired, observed: Observed, request: Request) -> tuple[ModelSource, ...]:
    """Models of GPU containers to be created, of the ones they replace, and of neighbours whose memory use depends on
    the model. Omits hosts whose GPUs are not known.
    """
    known = {h.name for h in desired.hosts if h.gpu_name or h.gpu_memory}
    created = [
        (instance.host, spec)
        for instance, existing in pairs
        if instance.host in known and needs_image(instance, existing, force_of(request, instance))
        for spec in (instance.spec, existing.serving.spec if existing and existing.serving else None)
        if spec and (instance.spec.container.gpus or instance.gpu_count)
    ]
    hosts = {host for host, _ in created}
    beside = [(i.host, i.spec) for i in desired.instances if i.host in hosts and is_pinned(i.spec)]
    return _unread_models(_sources([*created, *beside]), observed)


def _identities_needed(observed: Observed) -> tuple[str, ...]:
    by_key = {(name, ""): name for names in hosts_with_equal_containers(observed) for name in names}
    known = {(host, "") for host in observed.identities}
    return tuple(by_key[key] for key in _unread(Fact.IDENTITY, by_key, known, observed))


def _sources(specs: Iterable[tuple[str, Spec]]) -> tuple[ModelSource, ...]:
    return tuple(sorted({source for host, spec in specs for source in sources_of(host, spec)}))


def _unread_models(sources: Iterable[ModelSource], observed: Observed) -> tuple[ModelSource, ...]:
    by_key = {source.key: source for source in sources}
    return tuple(by_key[key] for key in _unread(Fact.MODEL, by_key, observed.model_files, observed))


def _unread_records_of(hosts: Iterable[str], observed: Observed) -> tuple[str, ...]:
    by_key = {(host, ""): host for host in hosts}
    return tuple(by_key[key] for key in _unread(Fact.RECORD, by_key, {(h, "") for h in observed.records}, observed))


def _unread(fact: Fact, keys: Iterable[Key], known: Collection[Key], observed: Observed) -> tuple[Key, ...]:
    """Keys that were not requested yet. A key that was requested without a result is not requested again."""
    return tuple(key for key in keys if key not in known and (fact, key) not in observed.unknown)
