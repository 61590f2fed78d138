"""One instance, as wanted and as found -> the changes it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from cortexctl.observed.owned import Owned, OwnedInstance
from cortexctl.observed.state import ImageFacts, Observed, ObservedContainer
from cortexctl.plan.action import Action, Reason, ReasonCode
from cortexctl.plan.cost import applied_of, cost_of_restart, cost_of_start
from cortexctl.plan.diff import IN_PLACE, NETWORK, FieldChange, diff
from cortexctl.plan.model import Change, ContainerRef, Cost, PlannedImage
from cortexctl.plan.together import what_both_need
from cortexctl.spec.desired import Instance
from cortexctl.spec.labels import MODEL, is_generation_name, serving_name

Images = Mapping[tuple[str, str], ImageFacts]


@dataclass(frozen=True, slots=True)
class Force:
    """What the caller asks for, whether or not anything differs."""

    replace: bool = False
    restart: bool = False


NO_FORCE = Force()


def decide(
    wanted: Instance,
    found: OwnedInstance | None,
    observed: Observed,
    force: Force = NO_FORCE,
) -> list[Change]:
    """The change that makes `found` into `wanted`, after the removal of what an interrupted apply left."""
    serving = serving_now(wanted, found)
    fields = fields_to_change(wanted, serving, observed)
    must_replace = force.replace or any(not f.in_place for f in fields)
    parts = _sort_out(wanted, found, serving, replacing=must_replace)
    leftovers = [_remove_leftover(wanted, owned) for owned in parts.leftovers]
    if serving is None:
        return [*leftovers, _create(wanted, found, parts, observed)]
    if serving.spec is None:
        return leftovers  # the planner reports that its spec cannot be read
    changed = tuple(Reason(ReasonCode.CHANGED, f.path) for f in fields)
    if must_replace:
        replacement = _replace(wanted, found, serving, parts, observed)
        asked = (Reason(ReasonCode.REQUESTED),) if force.replace else ()
        return [*leftovers, replace(replacement, reasons=(*changed, *asked, *replacement.reasons), fields=fields)]
    change = _keep(wanted, serving, fields, observed, restart=force.restart)
    return [*leftovers, replace(change, reasons=(*change.reasons, *changed, *_other_name(change, serving)))]


def serving_now(wanted: Instance, found: OwnedInstance | None) -> Owned | None:
    """The container to compare with: the one under the serving name, unless it is down and a younger one runs, which
    a run that was killed after its gate, before its last rename, leaves. One that is what is wanted is no such case:
    it is gone on with. One that somebody gave a name of his own is the serving one too, where nothing has its name.
    """
    named = found.serving if found else None
    if found is None or (named is not None and named.container.is_running):
        return named
    renamed = [o for o in found.others if not is_generation_name(o.container.name)]
    if named is None and renamed:
        return renamed[-1]
    running = [o for o in found.others if o.container.is_running and o.spec is not None]
    newest = running[-1] if running else None
    return newest if newest is not None and newest.spec != wanted.spec else named


def fields_to_change(wanted: Instance, serving: Owned | None, observed: Observed) -> tuple[FieldChange, ...]:
    """What differs from the recorded spec and is not ignored. A label cannot follow a change that was made in
    place, so for those fields an inspection, where there is one, has the last word.
    """
    if serving is None or serving.spec is None:
        return ()
    fields = [f for f in diff(serving.spec, wanted.spec) if not _is_ignored(f.path, wanted.ignore)]
    network = wanted.spec.network
    if serving.spec.network == network not in serving.container.networks and not _is_ignored(NETWORK, wanted.ignore):
        fields.append(FieldChange(NETWORK, None, network))
    actual = observed.in_place.get((wanted.host, serving.container.id))
    if actual is None:
        return tuple(sorted(fields, key=lambda f: f.path))
    kept = [f for f in fields if f.path not in IN_PLACE]
    for name in IN_PLACE:
        was, now = getattr(actual, name), getattr(wanted.spec, name)
        if was != now and not _is_ignored(name, wanted.ignore):
            kept.append(FieldChange(name, was, now))
    return tuple(sorted(kept, key=lambda f: f.path))


def _is_ignored(path: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(path, p) or path.startswith(p + ".") for p in patterns)


def _keep(
    wanted: Instance, serving: Owned, fields: tuple[FieldChange, ...], observed: Observed, *, restart: bool
) -> Change:
    """The container stays: as it is, or after a start, a restart, an update in place or a new name."""
    name = serving_name(wanted.model, wanted.ordinal)
    rename = "" if serving.container.name == name else name
    action, cost = Action.NO_OP, Cost(down=False)
    reasons: tuple[Reason, ...] = ()
    if not serving.container.is_running:
        action, reasons = Action.START, (Reason(ReasonCode.STOPPED, state_in_words(serving.container)),)
        cost = cost_of_start(wanted, observed)
    elif restart:
        action, reasons = Action.RESTART, (Reason(ReasonCode.REQUESTED),)
        cost = cost_of_restart(wanted, serving, observed)
    elif fields:
        action = Action.UPDATE
    elif rename:
        action = Action.MOVE
    change = _change(
        wanted,
        action,
        before=serving,
        generation=serving.generation,
        touched=(serving,) if action is not Action.NO_OP else (),
        cost=cost,
    )
    return replace(change, reasons=reasons, fields=fields, rename=rename)


def _other_name(change: Change, serving: Owned) -> tuple[Reason, ...]:
    """Why it gets a name: the stack has another for the model, or somebody renamed the container."""
    if not change.rename:
        return ()
    was = serving.container.labels[MODEL]
    if was != change.model:
        return (Reason(ReasonCode.MOVED, was),)
    return (Reason(ReasonCode.RENAMED, serving.container.name),)


def remove(found: OwnedInstance, reason: ReasonCode) -> Change:
    """All containers of an instance go: the serving one, candidates and kept ones. Or none of them does, if that
    is what its label says of a model that leaves the stack.
    """
    head = found.serving or found.others[-1]
    if reason is not ReasonCode.DESTROY and head.forget:
        return Change(
            address=found.address,
            host=found.host,
            model=found.model,
            ordinal=found.ordinal,
            action=Action.FORGET,
            reasons=(Reason(ReasonCode.FORGET),),
            before=head.spec,
            generation=head.generation,
        )
    return Change(
        address=found.address,
        host=found.host,
        model=found.model,
        ordinal=found.ordinal,
        action=Action.REMOVE,
        reasons=(Reason(reason),),
        before=head.spec,
        generation=head.generation,
        touched=tuple(reference(o) for o in found.all),
        cost=Cost(down=any(o.container.is_running for o in found.all)),
    )


def needs_image(wanted: Instance, found: OwnedInstance | None, force: Force = NO_FORCE) -> bool:
    """Whether a container will be made for it, so that its image must be looked up."""
    serving = serving_now(wanted, found)
    if serving is None or force.replace:
        return True
    nothing_inspected = Observed(())
    return any(not f.in_place for f in fields_to_change(wanted, serving, nothing_inspected))


def needs_record(wanted: Instance, found: OwnedInstance | None, force: Force = NO_FORCE) -> bool:
    """Whether it will be started, so that its past starts are of interest."""
    serving = serving_now(wanted, found)
    is_down = serving is not None and not serving.container.is_running
    return is_down or force.restart or needs_image(wanted, found, force)


def needs_inspection(wanted: Instance, found: OwnedInstance | None, everything: bool = False) -> str:
    """The container to inspect, because its label differs only in what may have been changed in place since; or, if
    `everything` is to be looked at, because it is there.
    """
    serving = serving_now(wanted, found)
    if serving is None or serving.spec is None:
        return ""
    if not everything and serving.spec.in_place == wanted.spec.in_place:
        return ""
    return serving.container.id


def reference(owned: Owned) -> ContainerRef:
    c = owned.container
    return ContainerRef(c.id, c.name, c.state, owned.generation, owned.run)


def state_in_words(container: ObservedContainer) -> str:
    """A vLLM whose engine died exits with code 0, so the code alone says nothing: show both."""
    if container.exit_code is None:
        return container.state
    return f"{container.state} with code {container.exit_code}"


@dataclass(frozen=True, slots=True)
class _Parts:
    """The containers beside the serving one: a candidate to go on with, rubbish, and kept generations."""

    candidate: Owned | None
    leftovers: tuple[Owned, ...]
    kept: tuple[Owned, ...]


def _sort_out(wanted: Instance, found: OwnedInstance | None, serving: Owned | None, *, replacing: bool) -> _Parts:
    """Younger than the serving one means candidate, older means kept. Without a serving one a match of the
    spec means candidate, and of the rest only what has run and stopped is worth keeping.
    """
    if found is None:
        return _Parts(None, (), ())
    others = [o for o in found.all if o is not serving]
    if serving is not None:
        young = [o for o in others if o.generation > serving.generation]
        kept = tuple(o for o in others if o.generation <= serving.generation)
        matching = [o for o in young if o.spec == wanted.spec and replacing]
    else:
        matching = [o for o in others if o.spec == wanted.spec]
        newest = matching[-1:]
        young = [o for o in others if o.container.state != "exited" or o in newest]
        kept = tuple(o for o in others if o not in young)
    candidate = matching[-1] if matching else None
    return _Parts(candidate, tuple(o for o in young if o is not candidate), kept)


def _create(wanted: Instance, found: OwnedInstance | None, parts: _Parts, observed: Observed) -> Change:
    gone = applied_of(wanted, observed)
    known = [*([o.generation for o in found.all] if found else []), *([gone.generation] if gone else [])]
    candidate = parts.candidate
    change = _change(
        wanted,
        Action.CREATE,
        before=None,
        generation=candidate.generation if candidate else max(known, default=0) + 1,
        adopted=candidate.container.id if candidate else "",
        touched=(candidate,) if candidate else (),
        cost=cost_of_start(wanted, observed),
    )
    first = Reason(ReasonCode.GONE, gone.run) if gone else Reason(ReasonCode.NEW)
    reason = _unfinished(candidate) if candidate else first
    return replace(change, reasons=(reason,), image=_image(wanted, candidate, observed.images))


def _replace(
    wanted: Instance, found: OwnedInstance | None, serving: Owned, parts: _Parts, observed: Observed
) -> Change:
    known = [o.generation for o in found.all] if found else []
    candidate = parts.candidate
    spare = max(wanted.keep - 1, 0)
    pruned = parts.kept[: len(parts.kept) - spare] if len(parts.kept) > spare else ()
    named = tuple(o for o in parts.kept if o.has_serving_name and o not in pruned)
    start_first = starts_first(wanted, serving)
    change = _change(
        wanted,
        Action.REPLACE,
        before=serving,
        generation=candidate.generation if candidate else max(known) + 1,
        adopted=candidate.container.id if candidate else "",
        touched=(serving, *((candidate,) if candidate else ()), *named, *pruned),
        cost=cost_of_start(wanted, observed) if start_first else cost_of_restart(wanted, serving, observed),
    )
    reasons = (_unfinished(candidate),) if candidate else ()
    image = _image(wanted, candidate, observed.images)
    return replace(change, reasons=reasons, image=image, start_first=start_first)


def starts_first(wanted: Instance, serving: Owned) -> bool:
    """Whether the new one can serve before the old one stops, and shall. (A guard refuses what shall and cannot.)"""
    if wanted.strategy == "stop_first" or not serving.container.is_running or serving.spec is None:
        return False
    return not what_both_need(serving.spec, wanted.spec)


def _remove_leftover(wanted: Instance, owned: Owned) -> Change:
    return Change(
        address=f"{wanted.address}--g{owned.generation}",
        host=wanted.host,
        model=wanted.model,
        ordinal=wanted.ordinal,
        action=Action.REMOVE,
        reasons=(Reason(ReasonCode.LEFTOVER, owned.run),),
        before=owned.spec,
        generation=owned.generation,
        touched=(reference(owned),),
    )


def _unfinished(candidate: Owned) -> Reason:
    return Reason(ReasonCode.UNFINISHED, candidate.run)


def _image(wanted: Instance, candidate: Owned | None, images: Images) -> PlannedImage:
    if candidate is not None:
        return PlannedImage(wanted.spec.image, id=candidate.container.image_id)
    facts = images.get((wanted.host, wanted.spec.image))
    if facts is None:
        return PlannedImage(wanted.spec.image)
    return PlannedImage(wanted.spec.image, facts.id, facts.digest, pull=facts.found == "registry")


def _change(
    wanted: Instance,
    action: Action,
    *,
    before: Owned | None,
    generation: int,
    adopted: str = "",
    touched: tuple[Owned, ...] = (),
    cost: Cost = Cost(down=False),  # noqa: B008 - frozen
) -> Change:
    return Change(
        address=wanted.address,
        host=wanted.host,
        model=wanted.model,
        ordinal=wanted.ordinal,
        action=action,
        before=before.spec if before else None,
        after=wanted.spec,
        generation=generation,
        adopted=adopted,
        touched=tuple(reference(o) for o in touched),
        task=wanted.task,
        gate=wanted.gate,
        on_failure=wanted.on_failure,
        keep=wanted.keep,
        protect=wanted.protect,
        on_remove=wanted.on_remove,
        cost=cost,
    )
