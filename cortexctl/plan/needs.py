"""needs(desired, observed, request) -> Needs: the facts beyond the container lists that the planner needs and does not
have.

A pure function, called again after every answer, because each answer can create new needs. It is empty if `observed`
has every fact that the plan depends on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING

from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Desired
from cortexctl.instance.labels import owner_of
from cortexctl.instance.spec import Spec
from cortexctl.observed.host import ObservedContainer
from cortexctl.observed.observation import Fact, Key, Observed
from cortexctl.observed.owned import owned_instances
from cortexctl.plan.adopt.adopt import to_adopt
from cortexctl.plan.comparison import PLAIN, Compared, Pair, compare
from cortexctl.plan.conflicts import is_pinned
from cortexctl.plan.decide import Force, needs_image, needs_inspection, needs_record
from cortexctl.plan.host_plan import force_of
from cortexctl.plan.one_daemon import hosts_with_equal_containers
from cortexctl.plan.request import Request

if TYPE_CHECKING:
    from cortexctl.model_files.files import ModelSource

Adoptable = tuple[ObservedContainer, Spec]
"""A container, and its desired spec."""


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
    return needs_of_plan(compare(desired, observed, request))


def needs_of_plan(compared: Compared) -> Needs:
    """The same, for a stack and an observation that are compared already."""
    observed, request = compared.observed, compared.request
    as_declared = compare(compared.stack, observed) if request.only else compared
    identity = _identity_needed(as_declared)
    if identity:
        return identity
    if request.only and (unread := _unread_records(observed)):
        return Needs(records=unread)
    pairs = [(pair, force_of(request, pair.wanted)) for pair in compared.selected()]
    created = [pair for pair, force in pairs if needs_image(pair, force)]
    return Needs(
        records=_records_needed(pairs, created, observed),
        images=_images_needed(created, observed),
        inspections=_inspections_needed([pair for pair, _ in pairs], observed, everything=bool(request.only)),
        models=_models_needed(created, compared.stack, observed),
        identities=() if request.destroy else _identities_needed(observed),
    )


def needs_of_identity(desired: Desired, observed: Observed) -> Needs:
    """The facts to decide which containers belong to the stack, and nothing else."""
    return _identity_needed(compare(desired, observed))


def needs_of_rollback(desired: Desired, observed: Observed) -> Needs:
    """Those of identity, and the record of every host that could be read."""
    return needs_of_identity(desired, observed) or Needs(records=_unread_records(observed))


def needs_of_drift(desired: Desired, observed: Observed) -> Needs:
    """Those of a rollback, and updates in place since."""
    compared = compare(desired, observed)
    first = _identity_needed(compared) or Needs(records=_unread_records(observed))
    return first or Needs(inspections=_inspections_needed(compared.selected(), compared.observed, everything=False))


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


def _identity_needed(compared: Compared) -> Needs:
    observed = compared.observed
    doubtful = {
        (name, container.image_id)
        for name, host in compared.hosts.items()
        for container in host.ownership.doubtful
        if container.own_labels is None and container.image_id
    }
    unread = _unread(Fact.IMAGE_LABELS, sorted(doubtful), (), observed)
    return Needs(image_labels=unread) if unread else Needs(adoptions=_adoptions_needed(compared))


def _adoptions_needed(compared: Compared) -> dict[Key, Adoptable]:
    needed: dict[Key, Adoptable] = {}
    for name, host in compared.hosts.items():
        adopting = {a: i for a, i in host.declared.items() if i.adopt} if host.seen.is_reachable else {}
        owned = host.ownership.by_address() if adopting else {}
        for address, instance in adopting.items():
            container = to_adopt(instance, owned.get(address), host.seen)
            if container is not None:
                needed[name, container.id] = (container, instance.spec)
    unread = _unread(Fact.ADOPTION, needed, compared.observed.adoptable, compared.observed)
    return {key: needed[key] for key in unread}


def _unread_records(observed: Observed) -> tuple[str, ...]:
    return _unread_records_of([h.name for h in observed.hosts if h.is_reachable], observed)


def _records_needed(
    pairs: Collection[tuple[Pair, Force]], created: Collection[Pair], observed: Observed
) -> tuple[str, ...]:
    """Hosts where a container will start, because past starts give its cost, or where settings may have been changed in
    place.
    """
    hosts = {pair.wanted.host for pair in created}
    hosts |= {pair.wanted.host for pair, force in pairs if needs_record(pair, force)}
    return _unread_records_of(sorted(hosts), observed)


def _images_needed(created: Iterable[Pair], observed: Observed) -> tuple[Key, ...]:
    """Only images of containers that will be created."""
    needed = {(pair.wanted.host, pair.wanted.spec.container.image) for pair in created}
    return _unread(Fact.IMAGE, sorted(needed), observed.images, observed)


def _inspections_needed(pairs: Iterable[Pair], observed: Observed, *, everything: bool) -> tuple[Key, ...]:
    """Containers whose label alone is not enough; all running ones, if `everything` that was changed by hand is
    needed.
    """
    wanted = ((pair.wanted.host, needs_inspection(pair, observed, everything=everything)) for pair in pairs)
    containers = sorted((host, container) for host, container in wanted if container)
    return _unread(Fact.LIMITS, containers, observed.in_place, observed)


def _models_needed(created: Collection[Pair], desired: Desired, observed: Observed) -> tuple[ModelSource, ...]:
    """Models of GPU containers to be created, of the ones they replace, and of neighbours whose memory use depends on
    the model. Omits hosts whose GPUs are not known.
    """
    if not created:
        return ()
    known = {h.name for h in desired.hosts if h.gpu_name or h.gpu_memory}
    launched = [
        (pair.wanted.host, spec)
        for pair in created
        if pair.wanted.host in known
        for spec in (
            pair.wanted.spec,
            pair.existing.serving.spec if pair.existing and pair.existing.serving else None,
        )
        if spec and (pair.wanted.spec.container.gpus or pair.wanted.gpu_count)
    ]
    hosts = {host for host, _ in launched}
    beside = [(i.host, i.spec) for i in desired.instances if i.host in hosts and is_pinned(i.spec)]
    return _unread_models(_sources([*launched, *beside]), observed)


def _identities_needed(observed: Observed) -> tuple[str, ...]:
    by_key = {(name, ""): name for names in hosts_with_equal_containers(observed) for name in names}
    known = {(host, "") for host in observed.identities}
    return tuple(by_key[key] for key in _unread(Fact.IDENTITY, by_key, known, observed))


def _sources(specs: Iterable[tuple[str, Spec]]) -> tuple[ModelSource, ...]:
    from cortexctl.engines.companions import sources_of

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
