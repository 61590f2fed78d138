"""Changes of one host that run at the same time: over generated stacks that share GPUs, ports and an order."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from itertools import combinations

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cortexctl.apply.events import Event, Progress, StepDone, StepFailed, StepStarted
from cortexctl.apply.executor import Executor
from cortexctl.apply.gate.gate import STAYS_UP
from cortexctl.apply.perform import Performer
from cortexctl.apply.run import apply_plan
from cortexctl.apply.turns import Turns
from cortexctl.desired.stack import Desired, GatePolicy, Host, Instance, Policy
from cortexctl.instance.spec import Publish
from cortexctl.plan.action import Action
from cortexctl.plan.model import Change, Plan
from cortexctl.plan.pace import _bounds, _simulated, paces
from cortexctl.plan.steps import PassGate, Place, StartContainer, Step
from tests.applying import locks
from tests.fakes.world import World
from tests.generated import modest
from tests.laws import Watch
from tests.specs import new_spec

HOSTS = ("east", "west")
MODELS = ("a", "b", "c", "d", "e")


@st.composite
def stacks(draw: st.DrawFn) -> Desired:
    """At most five models on two hosts with four GPUs each. They may share GPUs and wait for each other, and a port
    has at most one holder on a host; the next stack gives the ports and GPUs to other models.
    """
    instances = []
    for host in HOSTS:
        ports = draw(st.permutations([8001, 8002, None, None, None]))
        for number, model in enumerate(MODELS):
            if draw(st.booleans()):
                gpus = draw(st.sets(st.integers(0, 3), max_size=2))
                port = ports[number]
                spec = new_spec(
                    "image:v0.32.0",
                    f"/models/{model}",
                    (model,),
                    "0.32.0",
                    gpus=tuple(sorted(gpus)),
                    publish=Publish(draw(st.sampled_from(["127.0.0.1", "0.0.0.0"])), port) if port else None,
                    args={"gpu_memory_utilization": 0.1, "max_model_len": draw(st.integers(1, 2))},
                )
                instances.append(Instance(host, model, spec, policy=Policy(gate=GatePolicy(60, 1), keep=1)))
    after = {m: draw(st.sets(st.sampled_from(MODELS[:n]), max_size=1)) for n, m in enumerate(MODELS) if n}
    rolled = [
        replace(i, after=tuple(after.get(i.model, ())), max_unavailable=1 + number % 2)
        for number, i in enumerate(sorted(instances, key=lambda i: i.address))
    ]
    limits = {i.model: max(o.max_unavailable for o in rolled if o.model == i.model) for i in rolled}
    return Desired(
        "demo",
        "stack.toml",
        tuple(Host(h, f"unix:///run/{h}.sock", gpus=4) for h in HOSTS),
        tuple(replace(i, max_unavailable=limits[i.model]) for i in rolled),
        parallel_starts=draw(st.integers(1, 4)),
    )


@dataclass
class Overlaps:
    """The changes that run at the same time: between the start of their first step and the end of their last one."""

    world: World
    plan: Plan
    running: set[Place] = field(default_factory=set)
    answering: set[Place] = field(default_factory=set)
    """New instances that only wait until `stable_for` has passed."""
    together: set[frozenset[Place]] = field(default_factory=set)
    most: dict[str, int] = field(default_factory=dict)
    guard: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, event: Event) -> None:
        self.world.emit(event)
        assert not isinstance(event, StepFailed), event
        if isinstance(event, Progress) and event.stage == STAYS_UP:
            place = (event.address.partition("/")[0], event.address)
            self.answering |= {place} & new_ones(self.plan)
        if not isinstance(event, StepStarted | StepDone) or not event.step.address:
            return
        place = (event.step.host, event.step.address)
        starts = {(s.host, s.address) for s in self.plan.steps if isinstance(s.task, StartContainer)}
        with self.guard:
            if isinstance(event, StepStarted):
                self.together |= {frozenset({place, other}) for other in self.running if other != place}
                is_first = place not in self.running
                self.running.add(place)
                if is_first and place in starts:
                    counts = starts - self.answering if place in new_ones(self.plan) else starts
                    now = sum(p[0] == place[0] for p in self.running & counts)
                    self.most[place[0]] = max(self.most.get(place[0], 0), now)
            elif event.step.id == last_step(self.plan, place).id:
                self.running.discard(place)


def new_ones(plan: Plan) -> set[Place]:
    """The changes that take no server down."""
    return {(c.host, c.address) for c in plan.changes if c.action in {Action.CREATE, Action.START}}


def share(one: Change, other: Change) -> bool:
    """Whether two changes of a host need the same GPU or port, before or after them."""
    a, b = ([s.container for s in (c.detail.before, c.detail.after) if s] for c in (one, other))
    gpus = {g for c in a for g in c.gpus} & {g for c in b for g in c.gpus}
    ports = [(x, y) for c in a for d in b if (x := c.publish) and (y := d.publish) and x.port == y.port]
    return bool(gpus) or any(x.address == y.address or "0.0.0.0" in {x.address, y.address} for x, y in ports)


def last_step(plan: Plan, place: Place) -> Step:
    return next(s for s in reversed(plan.steps) if (s.host, s.address) == place)


def world_with(first: Desired) -> World:
    world = World("demo", *HOSTS)
    result = world.apply(world.plan(first))
    assert result.exit_code == 0, result
    return world


@modest
@given(stacks(), stacks())
def test_no_two_changes_overlap_that_share_anything_or_wait_for_each_other(one: Desired, other: Desired) -> None:
    world = world_with(one)
    planned = world.plan(other)
    assume(not planned.has_errors)  # a port that is released too late
    changes = {(c.host, c.address): c for c in planned.effective}
    watch = Overlaps(world, planned)
    performer = Performer("demo", world.daemons, world.prober, world.secrets, world.clock)
    executor = Executor(planned, performer, watch, parallelism=16)
    result = apply_plan(planned, executor, world.daemons, locks(world, planned), world.recheck)
    assert result.exit_code == 0
    models = {(c.host, c.address): c.model for c in planned.effective}
    after = {i.model: i.after for i in other.instances}
    removed = {(c.host, c.address) for c in planned.effective if c.detail.after is None}
    for pair in watch.together:
        here, there = sorted(pair)
        assert here[0] != there[0] or not share(changes[here], changes[there]), pair
        for mine, theirs in ((here, there), (there, here)):
            assert mine in removed or models[theirs] not in after.get(models[mine], ()), pair
    assert all(most <= other.parallel_starts for most in watch.most.values())
    assert world.plan(other).effective == ()


@modest
@given(stacks(), stacks())
def test_changes_without_a_common_resource_do_not_wait_for_each_other(one: Desired, other: Desired) -> None:
    """Beyond the order of models and their batches."""
    world = world_with(replace(one, instances=tuple(replace(i, after=()) for i in one.instances)))
    free = replace(
        other, instances=tuple(replace(i, after=(), max_unavailable=2) for i in other.instances), parallel_starts=4
    )
    planned = world.plan(free)
    steps = {s.id: s for s in planned.steps}
    for host in HOSTS:
        here = [c for c in planned.effective if c.host == host]
        changes = {c.address: c for c in here}
        for first, second in combinations(here, 2):
            if share(first, second):
                both = {first.address, second.address}
                assert any(_reaches(s, both, steps) for s in planned.steps)
        for step in planned.steps:
            for earlier in (steps[i] for i in step.after):
                if step.host == earlier.host == host and earlier.address and step.address not in {"", earlier.address}:
                    assert share(changes[step.address], changes[earlier.address])


def _reaches(step: Step, both: set[str], steps: Mapping[str, Step]) -> bool:
    """Whether a step of one of the two waits for the other, directly or not."""
    if step.address not in both:
        return False
    return bool((both - {step.address}) & set(_all_before(step, steps)))


def _all_before(step: Step, steps: Mapping[str, Step]) -> Iterator[str]:
    for i in step.after:
        yield steps[i].address
        yield from _all_before(steps[i], steps)


@settings(modest, max_examples=25)
@given(stacks(), stacks(), st.data())
def test_a_run_that_is_killed_with_several_changes_half_done_is_finished_by_the_next(
    one: Desired, other: Desired, data: st.DataObject
) -> None:
    """The steps run in any order that the plan allows, and the run is killed after any of them."""
    world = world_with(one)
    assume(not world.plan(other).has_errors)
    for _ in range(2):
        planned = world.plan(other)
        performer = Performer("demo", world.daemons, world.prober, world.secrets, world.clock)
        watch = Watch(world, gated={c.id for h in HOSTS for c in world.daemon(h).all() if c.restart != "no"})
        executor = Executor(planned, performer, watch, parallelism=1)
        done: set[str] = set()
        for _ in range(data.draw(st.integers(0, len(planned.steps)))):
            ready = [s for s in planned.steps if s.id not in done and done.issuperset(s.after)]
            step = data.draw(st.sampled_from(ready))
            executor.run([step])
            done.add(step.id)
    assert world.apply(world.plan(other)).exit_code == 0
    assert world.plan(other).effective == ()
    serving = {(h, c.name) for h in HOSTS for c in world.daemon(h).all() if c.state == "running"}
    assert serving == {(i.host, f"vllm-model-{i.model}") for i in other.instances}


@st.composite
def waiting(draw: st.DrawFn) -> tuple[dict[Place, dict[Place, int]], dict[Place, int], dict[Place, int], int]:
    """Changes of two hosts that wait for earlier ones; for each its bound, and the time that it takes; and the limit."""
    places = [(draw(st.sampled_from(HOSTS)), str(n)) for n in range(draw(st.integers(1, 9)))]
    waits = {}
    for number, place in enumerate(places):
        others = draw(st.sets(st.sampled_from(places[:number]), max_size=2)) if number else set()
        waits[place] = dict.fromkeys(sorted(others), 0)
    bounds = {p: draw(st.integers(1, 9)) for p in places}
    taken = {p: draw(st.integers(1, bounds[p])) for p in places}
    return waits, bounds, taken, draw(st.integers(1, 3))


@settings(modest, max_examples=300)
@given(waiting(), st.booleans())
def test_no_run_takes_longer_than_the_bound_of_its_host(
    drawn: tuple[dict[Place, dict[Place, int]], dict[Place, int], dict[Place, int], int], alone: bool
) -> None:
    waits, bounds, taken, limit = drawn
    if alone:  # each host for itself
        waits = {p: {o: 0 for o in others if o[0] == p[0]} for p, others in waits.items()}
    most = _bounds(waits, bounds, frozenset(waits), limit)
    begins, _ = _simulated(waits, taken, frozenset(waits), limit)
    for place, begin in begins.items():
        assert begin + taken[place] <= most[place[0]]
    for place, others in waits.items():
        assert all(begins[place] >= begins[o] + taken[o] for o in others)
    for now in range(max(begins.values()) + 1):
        for host in HOSTS:
            assert sum(begins[p] <= now < begins[p] + taken[p] for p in waits if p[0] == host) <= limit


@modest
@given(stacks(), stacks())
def test_the_waves_of_a_plan_hold_every_start_once_and_no_more_than_allowed(one: Desired, other: Desired) -> None:
    world = world_with(one)
    planned = world.plan(other)
    starts = {(s.host, s.address) for s in planned.steps if isinstance(s.task, StartContainer)}
    shown = [(host, a) for host, pace in paces(planned).items() for wave in pace.waves for a in wave]
    assert sorted(shown) == sorted(starts)
    assert all(len(wave) <= other.parallel_starts for pace in paces(planned).values() for wave in pace.waves)


@settings(modest, max_examples=60)
@given(stacks(), stacks(), st.data())
def test_the_turns_keep_the_bound_of_the_plan_and_the_limit_of_each_kind(
    one: Desired, other: Desired, data: st.DataObject
) -> None:
    """Every change takes what it may take at most, or less, and part of that its instance only waits."""
    planned = world_with(one).plan(other)
    assume(not planned.has_errors)
    new, limit = new_ones(planned), other.parallel_starts
    starts = {s.place for s in planned.steps if isinstance(s.task, StartContainer)}
    seconds = {(c.host, c.address): data.draw(st.integers(0, c.cost.at_most or 0)) for c in planned.effective}
    waits = {place: data.draw(st.integers(0, seconds[place])) for place in sorted(seconds)}
    last = {s.place: s.id for s in planned.steps}
    turns = Turns(planned)
    turns.add(planned.steps)
    coming: list[tuple[int, bool, str]] = []
    """When a step ends, or a gate has its first answer: time, whether the step ends, its id."""
    steps = {s.id: s for s in planned.steps}
    started: set[Place] = set()
    answering: set[Place] = set()
    ended: dict[Place, int] = {}
    now = 0
    while turns.are_left or coming:
        for step in turns.take(100, begins_more=True):
            is_gate = isinstance(step.task, PassGate)
            is_only = step.place not in starts and step.id == last[step.place]
            takes = seconds.get(step.place, 0) if is_gate or is_only else 0
            if is_gate:
                heappush(coming, (now + takes - waits[step.place], False, step.id))
            heappush(coming, (now + takes, True, step.id))
            if step.place in starts - started:
                alive = {p for p in started - ended.keys() if p[0] == step.host}
                assert len(alive - answering if step.place in new else alive) < limit
                started.add(step.place)
        now, is_end, step_id = heappop(coming)
        step = steps[step_id]
        if not is_end:
            turns.answers(step.place)
            answering |= {step.place} & new
            continue
        turns.finish(step)
        if last[step.place] == step.id:
            ended[step.place] = now
    for (host, address), end in ended.items():
        assert not address or end <= paces(planned)[host].at_most
