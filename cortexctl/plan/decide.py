"""One instance, as wanted and as it exists -> the changes that it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Instance
from cortexctl.instance.labels import MODEL, is_generation_name, serving_name
from cortexctl.instance.spec import InPlace
from cortexctl.observed.host import ImageFacts, ObservedContainer
from cortexctl.observed.observation import Observed
from cortexctl.observed.owned import Owned, OwnedInstance
from cortexctl.observed.roles import Beside, beside, first_to_go, is_unfinished_rollback, several_run
from cortexctl.plan.action import Action, Reason, ReasonCode
from cortexctl.plan.comparison import Pair
from cortexctl.plan.conflicts import what_both_need
from cortexctl.plan.cost import applied_of, cost_of_restart, cost_of_start
from cortexctl.plan.diff import FieldChange
from cortexctl.plan.differing import with_kept_names
from cortexctl.plan.model import Change, ContainerRef, Cost, InstanceChange, PlannedImage

Images = Mapping[tuple[str, str], ImageFacts]


@dataclass(frozen=True, slots=True)
class Force:
    """Actions that the caller requests even if nothing differs."""

    replace: bool = False
    restart: bool = False


NO_FORCE = Force()


def decide(pair: Pair, observed: Observed, force: Force = NO_FORCE) -> list[Change]:
    """The change that turns the existing containers into the wanted one, after the removal of what an interrupted apply
    left behind.
    """
    applied, existing = applied_of(pair.wanted, observed), pair.existing
    pair = pair.by_record(applied)
    serving, wanted = pair.serving, with_kept_names(pair.wanted, pair.serving)
    fields = pair.fields_to_change(observed)
    must_replace = (
        force.replace or any(not f.in_place for f in fields) or is_unfinished_rollback(wanted.spec, existing, serving)
    )
    parts = beside(wanted.spec, existing, serving, applied, replacing=must_replace)
    leftovers = [_remove_leftover(wanted, owned) for owned in parts.leftovers]
    if not must_replace:  # a replacement handles old generations itself
        leftovers += [_remove_kept(wanted, owned) for owned in _too_many(wanted, parts)]
    if serving is None:
        return [*leftovers, _create(wanted, existing, parts, observed)]
    if serving.spec is None:
        return leftovers  # the planner reports the unreadable spec
    if must_replace:
        changed = tuple(Reason(ReasonCode.CHANGED, f.path) for f in fields)
        requested = (Reason(ReasonCode.REQUESTED),) if force.replace else ()
        replacement = _replace(wanted, existing, serving, parts, observed)
        return [*leftovers, replace(replacement, reasons=(*changed, *requested, *replacement.reasons), fields=fields)]
    return [*leftovers, _keep(wanted, serving, fields, observed, restart=force.restart)]


def _keep(
    wanted: Instance, serving: Owned, fields: tuple[FieldChange, ...], observed: Observed, *, restart: bool
) -> Change:
    """The container stays: unchanged, or after a start, a restart, an update in place or a new name."""
    name = serving_name(wanted.model, wanted.ordinal)
    rename = "" if serving.container.name == name else name
    action, cost = Action.NO_OP, Cost(down=False)
    reasons: tuple[Reason, ...] = ()
    if not serving.container.is_running:
        action, reasons = Action.START, (Reason(ReasonCode.STOPPED, state_text(serving.container)),)
        cost = cost_of_start(wanted, observed)
    elif restart:
        action, reasons = Action.RESTART, (Reason(ReasonCode.REQUESTED),)
        cost = cost_of_restart(wanted, serving, observed)
    elif serving.imported and (fields or rename):
        action = Action.ADOPT
    elif fields:
        action = Action.UPDATE
    elif rename:
        action = Action.MOVE
    detail = InstanceChange(
        ordinal=wanted.ordinal,
        generation=serving.generation,
        before=serving.spec,
        after=wanted.spec,
        serving=reference(serving) if action is not Action.NO_OP else None,
        policy=wanted.policy,
        rename=rename,
        moved_from=_moved_from(wanted, serving) if rename else "",
    )
    changed = tuple(Reason(ReasonCode.CHANGED, f.path) for f in fields)
    renamed = (_why_renamed(detail, serving),) if rename else ()
    return _change(wanted, action, detail, cost, (*reasons, *changed, *renamed), fields)


def _moved_from(wanted: Instance, serving: Owned) -> str:
    """The name that the model had in the stack when its container was created, if it was another."""
    was = wanted.model if serving.imported else serving.container.labels[MODEL]
    return was if was != wanted.model else ""


def _why_renamed(detail: InstanceChange, serving: Owned) -> Reason:
    """The model has a new name in the stack, or the container was renamed by hand."""
    if serving.imported:
        return Reason(ReasonCode.ADOPTED, serving.container.name)
    if detail.moved_from:
        return Reason(ReasonCode.MOVED, detail.moved_from)
    return Reason(ReasonCode.RENAMED, serving.container.name)


def remove(existing: OwnedInstance, reason: ReasonCode) -> Change:
    """Removes all containers of an instance: the serving one, candidates and retained ones. Or none of them: its label
    decides what happens after its model leaves the stack.
    """
    head = existing.serving or existing.others[-1]
    forgets = reason is not ReasonCode.DESTROY and head.forget
    detail = InstanceChange(ordinal=existing.ordinal, generation=head.generation, before=head.spec)
    if forgets:
        return Change(
            existing.address, existing.host, existing.model, Action.FORGET, detail, reasons=(Reason(ReasonCode.FORGET),)
        )
    detail = replace(
        detail,
        serving=reference(existing.serving) if existing.serving else None,
        others=tuple(map(reference, existing.others)),
    )
    return Change(
        existing.address,
        existing.host,
        existing.model,
        Action.REMOVE,
        detail,
        reasons=(Reason(reason),),
        cost=Cost(down=any(o.container.is_running for o in existing.all)),
    )


def needs_image(pair: Pair, force: Force = NO_FORCE) -> bool:
    """Whether a container will be created for it, so that its image must be resolved."""
    if pair.serving is None or force.replace or several_run(pair.existing):
        return True
    return any(not f.in_place for f in pair.fields)


def needs_record(pair: Pair, force: Force = NO_FORCE) -> bool:
    """Whether it will be started as it is, so that its past starts matter; or it has settings that were changed in
    place.
    """
    wanted, serving = pair.wanted, pair.serving
    is_down = serving is not None and not serving.container.is_running
    # Only the record shows settings that were changed in place and then restored.
    specs = (wanted.spec, serving.spec if serving else None)
    has_settings = any(s.container.in_place != InPlace() for s in specs if s)
    return has_settings or is_down or force.restart


def needs_inspection(pair: Pair, observed: Observed, *, everything: bool = False) -> str:
    """The container to inspect, because its label differs only in fields that may have changed in place since, or
    because the record has changes in place; or, if `everything` is to be inspected, because it exists.
    """
    wanted = pair.wanted
    serving = pair.by_record(applied_of(wanted, observed)).serving
    if serving is None or serving.spec is None or serving.imported:
        return ""
    recorded = applied_of(wanted, observed, serving)
    settings = {s.container.in_place for s in (serving.spec, wanted.spec, recorded.spec if recorded else None) if s}
    if not everything and len(settings) == 1:
        return ""
    return serving.container.id


def reference(owned: Owned) -> ContainerRef:
    c = owned.container
    return ContainerRef(c.id, c.name, c.state, owned.generation, owned.run, imported=owned.imported is not None)


def state_text(container: ObservedContainer) -> str:
    """A vLLM whose engine died exits with code 0, so the code alone is ambiguous: show both."""
    if container.exit_code is None:
        return container.state
    return f"{container.state} with code {container.exit_code}"


def _create(wanted: Instance, existing: OwnedInstance | None, parts: Beside, observed: Observed) -> Change:
    gone = applied_of(wanted, observed)
    known = [*([o.generation for o in existing.all] if existing else []), *([gone.generation] if gone else [])]
    candidate = parts.candidate
    detail = InstanceChange(
        ordinal=wanted.ordinal,
        generation=candidate.generation if candidate else max(known, default=0) + 1,
        after=wanted.spec,
        image=_image(wanted, candidate, observed.images),
        candidate=reference(candidate) if candidate else None,
        policy=wanted.policy,
    )
    first = Reason(ReasonCode.GONE, gone.run) if gone else Reason(ReasonCode.NEW)
    reason = _unfinished(candidate) if candidate else first
    return _change(wanted, Action.CREATE, detail, cost_of_start(wanted, observed), (reason,))


def _replace(
    wanted: Instance, existing: OwnedInstance | None, serving: Owned, parts: Beside, observed: Observed
) -> Change:
    recorded = applied_of(wanted, observed, serving)
    known = [*([o.generation for o in existing.all] if existing else []), recorded.generation if recorded else 0]
    candidate = parts.candidate
    is_rollback = candidate is not None and candidate.generation < serving.generation
    displaced, pruned = _make_way(wanted, parts.retained)
    start_first = starts_first(wanted, serving)
    keep = max(wanted.policy.keep, 1) if is_rollback else wanted.policy.keep
    detail = InstanceChange(
        ordinal=wanted.ordinal,
        generation=candidate.generation if candidate else max(known) + 1,
        before=serving.spec,
        after=wanted.spec,
        image=_image(wanted, candidate, observed.images),
        serving=reference(serving),
        candidate=reference(candidate) if candidate else None,
        displaced=displaced,
        pruned=pruned,
        policy=replace(wanted.policy, keep=keep),
        start_first=start_first,
        is_rollback=is_rollback,
    )
    cost = cost_of_start(wanted, observed) if start_first else cost_of_restart(wanted, serving, observed)
    return _change(wanted, Action.REPLACE, detail, cost, (_unfinished(candidate),) if candidate else ())


def _make_way(
    wanted: Instance, retained: tuple[Owned, ...]
) -> tuple[tuple[ContainerRef, ...], tuple[ContainerRef, ...]]:
    """(displaced, pruned) of the retained generations, if one more is to be retained. A container with the serving name
    is displaced even if it is to be pruned: the name must be free before the new container gets it.
    """
    in_turn, spare = first_to_go(retained), max(wanted.policy.keep - 1, 0)
    too_many = in_turn[: len(in_turn) - spare] if len(in_turn) > spare else ()
    name = serving_name(wanted.model, wanted.ordinal)
    in_the_way = [o for o in retained if o.has_serving_name and (o not in too_many or o.container.name == name)]
    pruned = [o for o in too_many if o not in in_the_way]
    return tuple(map(reference, in_the_way)), tuple(map(reference, pruned))


def starts_first(wanted: Instance, serving: Owned) -> bool:
    """Whether the new container can and should serve before the old one stops. (A guard refuses a start-first change
    that is not possible.)
    """
    if wanted.strategy == "stop_first" or not serving.container.is_running or serving.spec is None:
        return False
    return what_both_need(serving.spec, wanted.spec) is None


def _remove_leftover(wanted: Instance, owned: Owned) -> Change:
    """Removes what an interrupted run left beside the instance."""
    detail = InstanceChange(
        ordinal=wanted.ordinal, generation=owned.generation, before=owned.spec, leftover=reference(owned)
    )
    return _removal_beside(wanted, owned, detail, Reason(ReasonCode.LEFTOVER, owned.run))


def _too_many(wanted: Instance, parts: Beside) -> tuple[Owned, ...]:
    """Old generations beyond the number that the stack retains: the number was lowered, or a removal failed."""
    at_rest = [
        o for o in first_to_go(parts.retained) if o.container.state == "exited" and is_generation_name(o.container.name)
    ]
    keep = wanted.policy.keep
    return tuple(at_rest[: len(at_rest) - keep] if len(at_rest) > keep else ())


def _remove_kept(wanted: Instance, owned: Owned) -> Change:
    """It no longer has a GPU or a port, so its spec does not matter."""
    detail = InstanceChange(ordinal=wanted.ordinal, generation=owned.generation, pruned=(reference(owned),))
    return _removal_beside(wanted, owned, detail, Reason(ReasonCode.BEYOND_RETENTION, str(wanted.policy.keep)))


def _removal_beside(wanted: Instance, owned: Owned, detail: InstanceChange, reason: Reason) -> Change:
    """The removal of one container, under an address of its own: the instance has a change of its own, or stays
    unchanged.
    """
    address = f"{wanted.address}--g{owned.generation}"
    return Change(address, wanted.host, wanted.model, Action.REMOVE, detail, reasons=(reason,))


def _unfinished(candidate: Owned) -> Reason:
    return Reason(ReasonCode.UNFINISHED, candidate.run)


def _image(wanted: Instance, candidate: Owned | None, images: Images) -> PlannedImage:
    reference = wanted.spec.container.image
    if candidate is not None:
        return PlannedImage(reference, id=candidate.container.image_id)
    facts = images.get((wanted.host, reference))
    if facts is None:
        return PlannedImage(reference)
    return PlannedImage(reference, facts.id, facts.digest, pull=facts.availability == "registry")


def _change(
    wanted: Instance,
    action: Action,
    detail: InstanceChange,
    cost: Cost,
    reasons: tuple[Reason, ...],
    fields: tuple[FieldChange, ...] = (),
) -> Change:
    return Change(wanted.address, wanted.host, wanted.model, action, detail, reasons, fields, cost)
