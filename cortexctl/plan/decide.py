"""One instance, as wanted and as found -> the changes it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cortexctl.observed.owned import Owned, OwnedInstance
from cortexctl.observed.state import ImageFacts, ObservedContainer
from cortexctl.plan.action import Action, Reason, ReasonCode
from cortexctl.plan.diff import diff
from cortexctl.plan.model import Change, ContainerRef, Cost, PlannedImage
from cortexctl.spec.desired import Instance

Images = Mapping[tuple[str, str], ImageFacts]


def decide(wanted: Instance, found: OwnedInstance | None, images: Images) -> list[Change]:
    """The change that makes `found` into `wanted`, after the removal of what an interrupted apply left."""
    serving = found.serving if found else None
    parts = _sort_out(wanted, found)
    leftovers = [_remove_leftover(wanted, owned) for owned in parts.leftovers]
    if serving is None:
        return [*leftovers, _create(wanted, found, parts, images)]
    if serving.spec is None:
        return leftovers  # the planner reports that its spec cannot be read
    fields = diff(serving.spec, wanted.spec)
    if fields:
        replacement = _replace(wanted, found, serving, parts, images)
        reasons = (*(Reason(ReasonCode.CHANGED, f.path) for f in fields), *replacement.reasons)
        return [*leftovers, _with(replacement, reasons=reasons, fields=fields)]
    if serving.container.is_running:
        return [*leftovers, _change(wanted, Action.NO_OP, before=serving, generation=serving.generation)]
    return [*leftovers, _start(wanted, serving)]


def remove(found: OwnedInstance, reason: ReasonCode) -> Change:
    """All containers of an instance go: the serving one, candidates and kept ones."""
    head = found.serving or found.others[-1]
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


def needs_image(wanted: Instance, found: OwnedInstance | None) -> bool:
    """Whether a container will be made for it, so that its image must be looked up."""
    serving = found.serving if found else None
    return serving is None or (serving.spec is not None and serving.spec != wanted.spec)


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


def _sort_out(wanted: Instance, found: OwnedInstance | None) -> _Parts:
    """Younger than the serving one means candidate, older means kept. Without a serving one a match of the
    spec means candidate, and of the rest only what has run and stopped is worth keeping.
    """
    if found is None:
        return _Parts(None, (), ())
    serving = found.serving
    if serving is not None:
        young = [o for o in found.others if o.generation > serving.generation]
        kept = tuple(o for o in found.others if o.generation <= serving.generation)
        matching = [o for o in young if o.spec == wanted.spec and serving.spec != wanted.spec]
    else:
        matching = [o for o in found.others if o.spec == wanted.spec]
        young = [o for o in found.others if o.container.state != "exited" or o in matching]
        kept = tuple(o for o in found.others if o not in young)
    candidate = matching[-1] if matching else None
    return _Parts(candidate, tuple(o for o in young if o is not candidate), kept)


def _create(wanted: Instance, found: OwnedInstance | None, parts: _Parts, images: Images) -> Change:
    known = [o.generation for o in found.all] if found else []
    candidate = parts.candidate
    change = _change(
        wanted,
        Action.CREATE,
        before=None,
        generation=candidate.generation if candidate else max(known, default=0) + 1,
        touched=(candidate,) if candidate else (),
        cost=Cost(down=False, at_most=wanted.gate.startup_timeout),
    )
    reasons = (_unfinished(candidate),) if candidate else (Reason(ReasonCode.NEW),)
    return _with(change, reasons=reasons, image=_image(wanted, candidate, images))


def _replace(wanted: Instance, found: OwnedInstance | None, serving: Owned, parts: _Parts, images: Images) -> Change:
    known = [o.generation for o in found.all] if found else []
    candidate = parts.candidate
    spare = max(wanted.keep - 1, 0)
    pruned = parts.kept[: len(parts.kept) - spare] if len(parts.kept) > spare else ()
    change = _change(
        wanted,
        Action.REPLACE,
        before=serving,
        generation=candidate.generation if candidate else max(known) + 1,
        touched=(serving, *((candidate,) if candidate else ()), *pruned),
        cost=Cost(down=serving.container.is_running, at_most=wanted.spec.drain + wanted.gate.startup_timeout),
    )
    reasons = (_unfinished(candidate),) if candidate else ()
    return _with(change, reasons=reasons, image=_image(wanted, candidate, images))


def _start(wanted: Instance, serving: Owned) -> Change:
    return _with(
        _change(
            wanted,
            Action.START,
            before=serving,
            generation=serving.generation,
            touched=(serving,),
            cost=Cost(down=False, at_most=wanted.gate.startup_timeout),
        ),
        reasons=(Reason(ReasonCode.STOPPED, state_in_words(serving.container)),),
    )


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
        touched=tuple(reference(o) for o in touched),
        task=wanted.task,
        gate=wanted.gate,
        on_failure=wanted.on_failure,
        protect=wanted.protect,
        cost=cost,
    )


def _with(change: Change, **fields: object) -> Change:
    import dataclasses

    return dataclasses.replace(change, **fields)  # type: ignore[arg-type]
