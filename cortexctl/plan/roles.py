"""Which part each container of an instance plays: the serving one, a candidate to go on with, rubbish, kept ones."""

from __future__ import annotations

from dataclasses import dataclass

from cortexctl.desired.stack import Instance
from cortexctl.instance.labels import is_generation_name, is_undone_name
from cortexctl.observed.owned import Owned, OwnedInstance
from cortexctl.observed.record import Applied


def serving_now(wanted: Instance, found: OwnedInstance | None) -> Owned | None:
    """The container to compare with, and to go back to: the one under the serving name, also where it is down. Where
    nothing has that name it is one that somebody gave a name of his own, or the newest that runs: a run that was
    killed between its last renames leaves it so. One that is what is wanted is no such case: it is gone on with.
    """
    named = found.serving if found else None
    if found is None or (named is not None and named.container.is_running):
        return named
    renamed = [o for o in found.others if not is_generation_name(o.container.name)]
    if named is None and renamed:
        return renamed[-1]
    running = [o for o in found.others if o.container.is_running and o.spec is not None and not _is_unproven(o, named)]
    newest = running[-1] if running else None
    return newest if newest is not None and newest.spec != wanted.spec else named


def _is_unproven(other: Owned, named: Owned | None) -> bool:
    """A candidate that runs beside the one it was to replace, as an interrupted run leaves it in its gate. Nobody saw
    it healthy, so it is nothing to go back to.
    """
    name = other.container.name
    is_younger = named is not None and other.generation > named.generation
    return is_younger and is_generation_name(name) and not is_undone_name(name)


def older_one_is_back(wanted: Instance, found: OwnedInstance | None, serving: Owned | None) -> bool:
    """What is wanted runs, proven, while the younger one with the serving name is stopped: a rollback was killed before
    its renames. To start the younger one, too, would be two servers.
    """
    if found is None or serving is None or serving.container.is_running:
        return False
    return any(
        o.container.is_running and o.generation < serving.generation and o.spec == wanted.spec for o in found.others
    )


def _is_kept(other: Owned, applied: Applied | None) -> bool:
    """By its name, or because it stopped and something younger was applied."""
    was_replaced = applied is not None and other.container.state == "exited" and other.generation < applied.generation
    return was_replaced or is_undone_name(other.container.name)


def first_to_go(kept: tuple[Owned, ...]) -> tuple[Owned, ...]:
    """In the order in which they are given up: what was rolled back before what served last, however young it is."""
    return tuple(sorted(kept, key=lambda o: (not is_undone_name(o.container.name), o.generation)))


@dataclass(frozen=True, slots=True)
class Parts:
    """The containers beside the serving one: a candidate to go on with, rubbish, and kept generations."""

    candidate: Owned | None
    leftovers: tuple[Owned, ...]
    kept: tuple[Owned, ...]


def sort_out(
    wanted: Instance, found: OwnedInstance | None, serving: Owned | None, applied: Applied | None, *, replacing: bool
) -> Parts:
    """Younger than the serving one means candidate, older means kept, and so does one that was rolled back, or has the
    serving name, which is given after the gate. Without a serving one a match of the spec means candidate, and of the
    rest only what has run and stopped is worth keeping. One that stopped and is older than what was `applied` last is
    kept, whatever it matches; one that runs while nothing serves was brought back by a run that was killed.
    """
    if found is None:
        return Parts(None, (), ())
    others = [o for o in found.all if o is not serving]
    if serving is not None:
        young = [o for o in others if o.generation > serving.generation and not is_undone_name(o.container.name)]
        is_down = not serving.container.is_running
        back = [o for o in others if is_down and o.container.is_running and o.generation < serving.generation]
        matching = [o for o in (*back, *young) if o.spec == wanted.spec and replacing]
    else:
        matching = [o for o in others if o.spec == wanted.spec and not _is_kept(o, applied)]
        young = [o for o in others if o.container.state != "exited" or o in matching[-1:]]
    candidate = matching[-1] if matching else None
    leftovers = tuple(o for o in young if o is not candidate and o is not found.serving)
    kept = tuple(o for o in others if o is not candidate and o not in leftovers)
    return Parts(candidate, leftovers, kept)
