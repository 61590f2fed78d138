"""Which part each container of an instance plays, for every command: serving, candidate, leftover, retained, duplicate.

`roles_of` classifies by names and generations alone: drift and diagnose report by it. A plan knows, too, which spec is
wanted, and decides by `serving_now` and `beside` which candidate it continues with. Both rest on the same rules:
younger than the serving container means candidate or leftover; older, or rolled back, means retained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cortexctl.dataclass import dataclass
from cortexctl.instance.labels import is_generation_name, is_undone_name
from cortexctl.observed.owned import Owned, OwnedInstance

if TYPE_CHECKING:
    from cortexctl.instance.spec import Spec
    from cortexctl.observed.record import Applied


def serving_now(wanted: Spec, existing: OwnedInstance | None, applied: Applied | None = None) -> Owned | None:
    """The container to compare with, and to return to: the one with the serving name, even if it is down. If no
    container has that name: one that was renamed by hand, or a running one, which a run leaves if it is killed between
    its last renames. If several run, it is the one that was `applied` last: a later run may have started a candidate.
    A container with the wanted spec is not such a case: the plan continues with it.
    """
    named = existing.serving if existing else None
    if existing is None or (named is not None and named.container.is_running):
        return named
    renamed = [o for o in existing.others if not is_generation_name(o.container.name)]
    if named is None and renamed:
        return renamed[-1]
    running = [
        o for o in existing.others if o.container.is_running and o.spec is not None and not _is_unproven(o, named)
    ]
    last = _last_applied(running, applied)
    return last if last is not None and last.spec != wanted else named


def _last_applied(running: list[Owned], applied: Applied | None) -> Owned | None:
    """Of those that run without the serving name: the newest, if the record names none of them."""
    recorded = [o for o in running if applied is not None and o.generation == applied.generation]
    return next(reversed(recorded or running), None)


def several_run(existing: OwnedInstance | None) -> bool:
    """Whether only the record shows which of several running containers serves: none has the serving name."""
    return (
        existing is not None and existing.serving is None and sum(o.container.is_running for o in existing.others) > 1
    )


def _is_unproven(other: Owned, named: Owned | None) -> bool:
    """A running candidate beside the container that it was to replace, left by a run that was interrupted in its gate.
    Its health was never confirmed, so nothing returns to it.
    """
    return named is not None and is_younger(other, named) and is_generation_name(other.container.name)


def unnamed_running(existing: OwnedInstance, applied: Applied | None = None) -> Owned | None:
    """The running container of an instance in which none has the serving name: it passed its gate, and its run was
    killed before it got the name. If several run, the one that was `applied` last. None if there is no such container.
    """
    running = [o for o in existing.others if o.container.is_running]
    return _last_applied(running, applied) if existing.serving is None else None


def is_unfinished_rollback(wanted: Spec, existing: OwnedInstance | None, serving: Owned | None) -> bool:
    """Whether a retained container with the wanted spec runs, proven, while the one with the serving name is stopped: a
    rollback was killed before its renames. Starting the other one as well would give two servers.
    """
    if existing is None or serving is None or serving.container.is_running:
        return False
    return any(o.spec == wanted for o in _restored(list(existing.others), serving))


def _restored(others: list[Owned], serving: Owned) -> list[Owned]:
    """Retained containers that a rollback started again: older than the serving one, or rolled back before."""
    running = [o for o in others if o.container.is_running and not serving.container.is_running]
    return [o for o in running if o.generation < serving.generation or is_undone_name(o.container.name)]


def _is_retained(other: Owned, applied: Applied | None) -> bool:
    """By its name, or because it stopped and a newer generation was applied."""
    was_replaced = applied is not None and other.container.state == "exited" and other.generation < applied.generation
    return was_replaced or (is_undone_name(other.container.name) and not other.container.is_running)


def first_to_go(retained: tuple[Owned, ...]) -> tuple[Owned, ...]:
    """In the order of removal: containers that were rolled back come first, even if they are newer than the last
    serving one.
    """
    return tuple(sorted(retained, key=lambda o: (not is_undone_name(o.container.name), o.generation)))


@dataclass(frozen=True, slots=True)
class Beside:
    """The containers beside the serving one: a candidate to continue with, leftovers, and retained generations."""

    candidate: Owned | None
    leftovers: tuple[Owned, ...]
    retained: tuple[Owned, ...]


def beside(
    wanted: Spec, existing: OwnedInstance | None, serving: Owned | None, applied: Applied | None, *, replacing: bool
) -> Beside:
    """A newer container than the serving one is a candidate. An older one is retained, and so is one that was rolled
    back, or that has the serving name, which is given after the gate. Without a serving container, a matching spec
    means candidate, first of all the running one; of the others only those that have run and stopped are retained. One
    that stopped and is older than what was `applied` last is retained, whatever it matches; one that runs while nothing
    serves was restored by a run that was killed.
    """
    if existing is None:
        return Beside(None, (), ())
    others = [o for o in existing.all if o is not serving]
    if serving is not None:
        young = [o for o in others if is_younger(o, serving)]
        matching = [o for o in (*_restored(others, serving), *young) if o.spec == wanted and replacing]
    else:
        matching = [o for o in others if o.spec == wanted and not _is_retained(o, applied)]
        matching = [o for o in matching if o.container.is_running] or matching
        young = _unfinished(others, unnamed_running(existing, applied))
    candidate = matching[-1] if matching else None
    leftovers = tuple(o for o in young if o is not candidate and o is not existing.serving)
    retained = tuple(o for o in others if o is not candidate and o not in leftovers)
    return Beside(candidate, leftovers, retained)


def _unfinished(others: list[Owned], running: Owned | None) -> list[Owned]:
    """If no container has the serving name: those that have not run and stopped, and those created to replace the
    running one.
    """
    return [o for o in others if o.container.state != "exited" or (running is not None and is_younger(o, running))]


def is_younger(other: Owned, serving: Owned) -> bool:
    """Created to replace the serving container. One that was rolled back is retained, even if it is newer."""
    return other.generation > serving.generation and not is_undone_name(other.container.name)


@dataclass(frozen=True, slots=True)
class Roles:
    """The role of each container of an instance. `candidate`: the container that continues an unfinished run; no other
    container serves. `leftovers`: other containers of unfinished runs.
    """

    serving: Owned | None = None
    candidate: Owned | None = None
    leftovers: tuple[Owned, ...] = ()
    retained: tuple[Owned, ...] = ()
    duplicates: tuple[Owned, ...] = ()


def roles_of(instance: OwnedInstance, applied: Applied | None) -> Roles:
    """By name and generation. A name that is neither the serving one nor a generation's was given by a person. One that
    was rolled back is retained, even if it is newer.
    """
    duplicates = [o for o in instance.others if not is_generation_name(o.container.name)]
    generations = [o for o in instance.others if o not in duplicates]
    serving = instance.serving
    if serving is not None and is_generation_name(serving.container.name):  # adopted, by a name of ours since
        generations, serving = sorted([*generations, serving], key=lambda o: o.generation), None
    if serving is None and duplicates:
        serving = duplicates.pop()
    if serving is not None:
        proven = applied.generation if applied is not None and applied.is_ahead_of(serving.generation) else None
        young = [o for o in generations if _takes_its_place(o, serving, proven)]
        retained = tuple(o for o in generations if o not in young)
        candidate = young.pop() if young and not serving.container.is_running else None
        return Roles(serving, candidate, tuple(young), retained, tuple(duplicates))
    running = unnamed_running(instance, applied)
    if running is not None:
        others = [o for o in generations if o is not running]
        young = _unfinished(others, running)
        return Roles(None, running, tuple(young), tuple(o for o in others if o not in young))
    created = [o for o in generations if not is_undone_name(o.container.name)]
    if not created or (applied is not None and created[-1].generation < applied.generation):
        return Roles(retained=tuple(generations))
    *older, newest = created
    young = [o for o in older if o.container.state != "exited"]
    return Roles(None, newest, tuple(young), tuple(o for o in generations if o is not newest and o not in young))


def _takes_its_place(other: Owned, serving: Owned, proven: int | None) -> bool:
    """Created to replace the serving container. `proven`: by the record, the generation of a killed run."""
    undone = is_undone_name(other.container.name)
    return is_younger(other, serving) or (other.generation == proven and not undone)


def role_of(instance: OwnedInstance, owned: Owned, applied: Applied | None = None) -> str:
    """serving, candidate or retained: what to call a container when it is shown alone."""
    roles = roles_of(instance, applied)
    if owned is roles.serving:
        return "serving"
    young = (roles.candidate, *roles.leftovers)
    return "candidate" if owned in young or _is_young_duplicate(owned, roles) else "retained"


def _is_young_duplicate(owned: Owned, roles: Roles) -> bool:
    return owned in roles.duplicates and roles.serving is not None and is_younger(owned, roles.serving)
