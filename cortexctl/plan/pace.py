"""Which containers start together, how long the changes of a host take at most, and how long the rest of a run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from heapq import heappop, heappush

from cortexctl.dataclass import dataclass
from cortexctl.plan.action import NEW
from cortexctl.plan.model import Change, Plan
from cortexctl.plan.steps import Pause, Place, StartContainer, Step

NONE_WATCHED: Mapping[Place, int] = {}
Waits = Mapping[Place, Mapping[Place, int]]
"""In the order of the steps: the changes that each change waits for directly, and the pause after each in seconds."""


@dataclass(frozen=True, slots=True)
class Pace:
    """`waves`: the addresses that start on the host, in order. Those of one wave start together if all starts take the
    same time. `at_most`: seconds until all changes of the host are done, if no start shows progress. `expected`: the
    range of the same by past starts and forecasts; None if a start has neither.
    """

    waves: tuple[tuple[str, ...], ...]
    at_most: int
    expected: tuple[int, int] | None = None

    @property
    def widest(self) -> int:
        """The largest number of starts at the same time."""
        return max(map(len, self.waves), default=0)


def paces(plan: Plan) -> dict[str, Pace]:
    """By host, for each host with changes."""
    waits, starts = _waits(plan), frozenset(s.place for s in plan.steps if isinstance(s.task, StartContainer))
    seconds = {(c.host, c.address): c.cost.at_most or 0 for c in plan.effective}
    begins = _simulated(waits, dict.fromkeys(starts, 1), starts, plan.parallel_starts)[0]
    waves: dict[str, dict[int, list[str]]] = defaultdict(dict)
    for host, address in sorted((p for p in waits if p in starts), key=lambda p: begins[p]):
        waves[host].setdefault(begins[host, address], []).append(address)
    bounds = _bounds(waits, seconds, starts, plan.parallel_starts)
    expected = _expected(plan, waits, starts)
    return {
        host: Pace(tuple(map(tuple, waves[host].values())), bound, expected.get(host)) for host, bound in bounds.items()
    }


def _expected(plan: Plan, waits: Waits, starts: Collection[Place]) -> dict[str, tuple[int, int]]:
    """By host: the least and the most seconds until its changes are done, if each start takes as long as expected."""
    changes = {(c.host, c.address): c for c in plan.effective}
    ranges = {place: expected_range(changes[place]) for place in starts if place in changes}
    known = {host for host, _ in waits} - {host for host, _ in _behind(waits, {p for p in starts if not ranges.get(p)})}
    ends: list[dict[str, int]] = []
    for end in (0, 1):
        pauses = {place: max(others.values(), default=0) for place, others in waits.items()}
        seconds = {place: pauses[place] + (times[end] if (times := ranges.get(place)) else 0) for place in waits}
        begins = _simulated(waits, seconds, starts, plan.parallel_starts, _watched(plan))[0]
        last: dict[str, int] = defaultdict(int)
        for place in waits:
            last[place[0]] = max(last[place[0]], begins[place] + seconds[place])
        ends.append(last)
    return {host: (ends[0][host], ends[1][host]) for host in known if ends[1][host]}


def _behind(waits: Waits, places: Collection[Place]) -> set[Place]:
    """These places, and all that wait for them."""
    reached = set(places)
    while more := {p for p, others in waits.items() if p not in reached and not reached.isdisjoint(others)}:
        reached |= more
    return reached


def expected_range(change: Change) -> tuple[int, int] | None:
    """The least and the most seconds of a change by its past starts or its forecast; None if it has neither, or may
    download its weights. A stop that is not recorded takes up to its own bound.
    """
    cost = change.cost
    if cost.expected is None:
        return (cost.forecast.low, cost.forecast.high) if cost.forecast and not cost.forecast.download else None
    stop = (cost.at_most or 0) - change.detail.policy.gate.startup_timeout if cost.down and not cost.stops else 0
    return cost.expected, cost.expected + max(stop, 0)


class TimeLeft:
    """The rest of a run, as if each change took the time that its past starts did. At their end the gate's `stable_for`
    passes: meanwhile another new instance may start.
    """

    def __init__(self, plan: Plan) -> None:
        self._waits, self._limit = _waits(plan), plan.parallel_starts
        self._starts = frozenset(s.place for s in plan.steps if isinstance(s.task, StartContainer))
        self._pauses = {place: max(pauses.values(), default=0) for place, pauses in self._waits.items()}
        self._expected = {(c.host, c.address): c.cost.expected for c in plan.effective}
        self._watched = _watched(plan)

    def expected(self, place: Place) -> int | None:
        """Seconds of a whole change that starts a container; None if no past start is known."""
        return self._expected.get(place) if place in self._starts else None

    def after(self, ended: Collection[Place], elapsed: Mapping[Place, float]) -> int | None:
        """Seconds until all changes have ended. `elapsed`: seconds of the changes that have stopped or started a
        container. None if a change has no past start.
        """
        left: dict[Place, int] = {}
        for place in self._waits.keys() - set(ended):
            expected = self.expected(place)
            if expected is None and place in self._starts:
                return None
            pause = 0 if place in elapsed else self._pauses[place]
            left[place] = pause + max(round((expected or 0) - elapsed.get(place, 0)), 0)
        return _simulated(self._waits, left, self._starts, self._limit, self._watched)[1]


def _watched(plan: Plan) -> dict[Place, int]:
    """The new instances, and the seconds at the end of each gate in which another one of them may start."""
    new = (c for c in plan.effective if c.action in NEW)
    return {(c.host, c.address): c.detail.policy.gate.stable_for for c in new}


def _waits(plan: Plan) -> Waits:
    steps = {s.id: s for s in plan.steps}
    waits: dict[Place, dict[Place, int]] = {}
    for step in plan.steps:
        if step.address and step.place not in waits:
            waits[step.place] = dict(_before(step, steps, 0))
    return waits


def _before(step: Step, steps: Mapping[str, Step], pause: int) -> Iterator[tuple[Place, int]]:
    """The changes that a step waits for, also over steps that belong to no change."""
    for before in (steps[i] for i in step.after):
        if before.address:
            yield before.place, pause
        else:
            yield from _before(before, steps, pause + (before.task.seconds if isinstance(before.task, Pause) else 0))


def _bounds(waits: Waits, seconds: Mapping[Place, int], starts: Collection[Place], limit: int) -> dict[str, int]:
    """By host: never exceeded, however long each change takes within its own bound."""
    of_host: dict[str, dict[Place, Mapping[Place, int]]] = defaultdict(dict)
    for place, others in waits.items():
        of_host[place[0]][place] = others
    ends = _ends(waits, of_host, seconds, starts, limit)
    return {
        host: _bound_alone(here, seconds, starts, limit)
        if all(other in here and not pause for others in here.values() for other, pause in others.items())
        else max(ends[place] for place in here)
        for host, here in of_host.items()
    }


def _bound_alone(waits: Waits, seconds: Mapping[Place, int], starts: Collection[Place], limit: int) -> int:
    """For a host whose changes wait only for each other. With a limit and an order among the starts, shorter starts may
    lead to a longer whole, so a simulation proves nothing there; Graham's bound does.
    """
    here = [place for place in waits if place in starts]
    chain = _simulated(waits, seconds, starts, max(len(here), 1))[1]
    if len(here) <= limit:
        return chain
    if not any(other in starts or waits[other] for others in waits.values() for other in others):
        return _simulated(waits, seconds, starts, limit)[1]
    total = sum(seconds.get(place, 0) for place in waits)
    return min(total, -(-(total + (limit - 1) * chain) // limit))


def _ends(
    waits: Waits,
    of_host: Mapping[str, Collection[Place]],
    seconds: Mapping[Place, int],
    starts: Collection[Place],
    limit: int,
) -> dict[Place, int]:
    """When each change has ended at the latest. While it waits for its turn, `limit` other starts of its host run."""
    queue: dict[str, int] = {}
    for host, here in of_host.items():
        of_starts = [seconds.get(place, 0) for place in here if place in starts]
        queue[host] = sum(of_starts) if len(of_starts) > limit else 0
    ends: dict[Place, int] = {}
    for place in _in_turn(waits):
        ready = max((ends.get(other, 0) + pause for other, pause in waits[place].items()), default=0)
        own = seconds.get(place, 0)
        turn = -(-max(queue[place[0]] - own, 0) // limit) if place in starts else 0
        ends[place] = ready + turn + own
    return ends


def _in_turn(waits: Waits) -> list[Place]:
    """Each change after those that it waits for."""
    begins = _simulated(waits, dict.fromkeys(waits, 1), (), 1)[0]
    return sorted(waits, key=lambda place: begins[place])


def _followers(waits: Waits) -> Mapping[Place, list[Place]]:
    """For each change, those that wait for it."""
    behind: dict[Place, list[Place]] = defaultdict(list)
    for place, others in waits.items():
        for other in others:
            behind[other].append(place)
    return behind


class _Slots:
    """Who has a turn to start, at most `limit` on a host. A new instance that has answered leaves its turn, but only to
    the next new one, as in `apply.turns`. `watched`: the new instances.
    """

    def __init__(self, limit: int, watched: Collection[Place]) -> None:
        self._limit, self._watched = limit, watched
        self._starting: dict[str, set[Place]] = defaultdict(set)
        self._answering: dict[str, set[Place]] = defaultdict(set)

    def is_free(self, place: Place) -> bool:
        taken = len(self._starting[place[0]])
        return taken - (len(self._answering[place[0]]) if place in self._watched else 0) < self._limit

    def take(self, place: Place) -> None:
        self._starting[place[0]].add(place)

    def answers(self, place: Place) -> None:
        self._answering[place[0]].add(place)

    def leave(self, place: Place) -> None:
        """It has ended. A change without a turn has none to leave."""
        self._starting[place[0]].discard(place)
        self._answering[place[0]].discard(place)


def _simulated(
    waits: Waits,
    seconds: Mapping[Place, int],
    starts: Collection[Place],
    limit: int,
    watched: Mapping[Place, int] = NONE_WATCHED,
) -> tuple[dict[Place, int], int]:
    """When each change begins, and when the last one ends, if each takes its `seconds` (0 if it is not named) and at
    most `limit` of a host's `starts` run at a time. `watched`: the new instances, and the seconds at the end of each in
    which it leaves its turn to the next one of them.
    """
    order = {place: number for number, place in enumerate(waits)}
    places = list(waits)
    left = {place: len(others) for place, others in waits.items()}
    behind = _followers(waits)
    begins: dict[Place, int] = {}
    events: list[tuple[int, bool, int]] = []
    """Of each change that runs: when, whether it ends or has answered, and its number."""
    queues: dict[str, list[int]] = defaultdict(list)
    slots = _Slots(limit, watched)

    def begin(place: Place, now: int) -> None:
        begins[place] = now
        end = now + seconds.get(place, 0)
        heappush(events, (end, True, order[place]))
        if place in starts and place in watched:
            heappush(events, (max(end - watched[place], now), False, order[place]))

    def release(place: Place, now: int) -> None:
        """Begin it, or queue its start."""
        if place in starts:
            heappush(queues[place[0]], order[place])
        else:
            begin(place, now)

    now = 0
    for place in places:
        if not left[place]:
            release(place, now)
    while True:
        while events and events[0][0] == now:
            _, has_ended, number = heappop(events)
            ended = places[number]
            if not has_ended:
                slots.answers(ended)
                continue
            slots.leave(ended)
            for place in behind[ended]:
                left[place] -= 1
                if not left[place]:
                    release(place, now)
        for queue in queues.values():
            while queue and slots.is_free(places[queue[0]]):
                place = places[heappop(queue)]
                slots.take(place)
                begin(place, now)
        if not events:
            break
        now = events[0][0]
    stuck = {place: now for place in places if place not in begins}  # they wait for each other: the plan is refused
    return begins | stuck, now
