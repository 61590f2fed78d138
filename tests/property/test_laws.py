"""The laws, over generated stacks and hosts in memory."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cortexctl.apply.events import Event, StepDone, StepFailed
from cortexctl.apply.executor import Executor, Result
from cortexctl.apply.perform import Performer
from cortexctl.desired.stack import Desired, GatePolicy, Host, Instance, Smoke
from cortexctl.instance import labels
from cortexctl.instance.codec import spec_from_label, spec_to_label
from cortexctl.instance.labels import is_generation_name, serving_name
from cortexctl.instance.secret import fingerprint
from cortexctl.instance.spec import ContainerSpec, Mount, Publish, SecretRef
from cortexctl.plan.action import Action
from cortexctl.plan.model import Plan
from cortexctl.plan.planfile import plan_from_json, plan_to_json
from cortexctl.plan.planner import images_needed, plan
from cortexctl.plan.steps import PassGate, Step
from cortexctl.render.plan.terminal import plan_text
from cortexctl.render.style import Ink
from tests.fakes.container import FakeContainer
from tests.fakes.daemon import FakeDaemon
from tests.fakes.world import World

modest = settings(
    max_examples=18,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

STACK = "demo"
HOSTS = ("east", "west")
SLOTS = (("a", 1), ("a", 2), ("b", 1), ("c.x_y-z", 1))
"""Model and ordinal. Each has ports, GPUs and names of its own, so that no generated stack clashes with itself."""
LOCAL_IMAGES = ("image:v0.32.0", "image:v0.10.0")
REMOTE_IMAGE = "registry.example:5000/vllm:v0.33.0"
RELEASES = {"image:v0.32.0": "0.32.0", "image:v0.10.0": "0.10.0", REMOTE_IMAGE: None}
PLANTED = ("planted-one-7f3a", "planted-two-9c1e")
KEYS = ("KEY_OF_A", "KEY_OF_B")


@dataclass(frozen=True)
class Case:
    """A stack, and the values of its secrets at the time."""

    desired: Desired
    values: dict[str, str]


@functools.cache
def _print_of(name: str, value: str) -> str:
    return fingerprint(STACK, name, value)


_text = st.text(alphabet="aB1é☃ \"'\\{}[]$#=-\n\t", max_size=6)
_scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 0.92, 1e-7, 1e6]) | _text
_json = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abk.", max_size=3), inner, max_size=3),
)
_args = st.fixed_dictionaries(
    {},
    optional={
        "tensor_parallel_size": st.integers(1, 2),
        "gpu_memory_utilization": st.sampled_from([0.5, 0.9, 0.92]),
        "enforce_eager": st.booleans(),
        "enable_chunked_prefill": st.booleans(),
        "cudagraph_capture_sizes": st.lists(st.integers(1, 8), min_size=1, max_size=3),
        "hf_overrides": st.dictionaries(st.text("abk.", max_size=3), _json, max_size=3),
        "chat_template": _text,
    },
)
_env = st.dictionaries(st.sampled_from(["VLLM_X", "OMP_NUM_THREADS", "HF_HUB_OFFLINE"]), _text, max_size=2)
_mounts = st.sets(
    st.sampled_from(
        [Mount("/var/models", "/models"), Mount("/srv/other", "/other"), Mount("cache", "/cache", read_only=False)]
    )
).map(lambda chosen: tuple(sorted(chosen, key=lambda m: m.target)))


@st.composite
def _specs(draw: st.DrawFn, slot: int, values: Mapping[str, str]) -> ContainerSpec:
    model, ordinal = SLOTS[slot]
    image = draw(st.sampled_from([*LOCAL_IMAGES, REMOTE_IMAGE]))
    name = f"{model}.{ordinal}"
    keys = draw(st.sampled_from([(), (), (KEYS[0],), (KEYS[1],), KEYS]))
    fixed = [Publish("127.0.0.1", 9000 + slot), Publish("::", 9100 + slot)]
    return ContainerSpec(
        image=image,
        vllm_version=RELEASES[image],
        model=draw(st.sampled_from([f"/models/{model}", f"org/{model}"])),
        served_names=draw(st.sampled_from([(name,), (name, f"{name}-alias")])),
        args=draw(_args),
        extra_args=draw(st.sampled_from([(), ("--quux", "a b")])),
        env=draw(_env),
        secrets=tuple(SecretRef(f"S_{key}", "env", key, _print_of(f"S_{key}", values[key])) for key in keys),
        gpus=draw(st.sampled_from([(), (2 * slot,), (2 * slot, 2 * slot + 1)])),
        mounts=draw(_mounts),
        publish=draw(st.sampled_from([None, Publish("127.0.0.1"), *fixed])),
        network=draw(st.sampled_from(["cortex_default", "other_net"])),
        ipc=draw(st.sampled_from(["private", "host"])),
        shm_size=draw(st.sampled_from([2 * 1024**3, 512 * 1024**2])),
        drain=draw(st.sampled_from([0, 30, 60])),
    )


@st.composite
def cases(draw: st.DrawFn, least: int = 0, most: int = 4, *, protect: bool = False) -> Case:
    """A stack over both hosts; a slot of a host is used or not."""
    values = {key: draw(st.sampled_from(PLANTED)) for key in KEYS}
    places = draw(
        st.sets(st.tuples(st.sampled_from(HOSTS), st.integers(0, len(SLOTS) - 1)), min_size=least, max_size=most).map(
            sorted
        )
    )
    instances = tuple(
        Instance(
            host=host,
            model=SLOTS[slot][0],
            ordinal=SLOTS[slot][1],
            spec=draw(_specs(slot, values)),
            task=draw(st.sampled_from(["generate", "embed"])),
            gate=draw(st.sampled_from([GatePolicy(), GatePolicy(60, 0, None), GatePolicy(60, 1, Smoke("x", 1))])),
            on_failure=draw(st.sampled_from(["rollback", "halt"])),
            keep=draw(st.integers(0, 3)),
            protect=protect and draw(st.booleans()),
        )
        for host, slot in places
    )
    hosts = tuple(Host(h, f"unix:///{h}.sock") for h in HOSTS)
    return Case(Desired(STACK, "stack.toml", hosts, instances), values)


def _world() -> World:
    """Two hosts on which others have containers, too."""
    world = World(STACK, *HOSTS, images=LOCAL_IMAGES)
    for host in HOSTS:
        daemon = world.daemon(host)
        daemon.in_registry[REMOTE_IMAGE] = "sha256:" + "d" * 64
        daemon.add(
            "postgres",
            state="running",
            ports=[{"IP": "0.0.0.0", "PrivatePort": 5432, "PublicPort": 5432, "Type": "tcp"}],
        )
        daemon.add("vllm-by-hand", state="exited", labels={"com.example": "x"})
        daemon.add("a-of-another-stack", state="running", labels={labels.STACK: "other", labels.MODEL: "a"})
    return world


def _daemons(world: World) -> list[FakeDaemon]:
    return [world.daemon(h) for h in HOSTS]


def _is_ours(container: FakeContainer) -> bool:
    return container.labels.get(labels.STACK) == STACK


def _ours(world: World) -> list[FakeContainer]:
    return [c for e in _daemons(world) for c in e.containers.values() if _is_ours(c)]


def _of_others(world: World) -> list[FakeContainer]:
    return [copy.deepcopy(c) for e in _daemons(world) for c in e.containers.values() if not _is_ours(c)]


def _serving(world: World) -> dict[tuple[str, str], tuple[str, str, str]]:
    """(host, name) of what serves -> its spec, its state, its restart policy."""
    return {
        (e.host, c.name): (c.labels[labels.SPEC], c.state, c.restart)
        for e in _daemons(world)
        for c in e.containers.values()
        if _is_ours(c) and not is_generation_name(c.name)
    }


def _wanted(case: Case) -> dict[tuple[str, str], tuple[str, str, str]]:
    return {
        (i.host, serving_name(i.model, i.ordinal)): (spec_to_label(i.spec), "running", "unless-stopped")
        for i in case.desired.instances
    }


def _plan(world: World, case: Case) -> Plan:
    made = world.plan(case.desired)
    assert made.diagnostics == ()
    return made


def _apply(world: World, case: Case) -> Result:
    world.secrets.values = dict(case.values)
    result = world.apply(_plan(world, case))
    assert result.exit_code == 0, result
    return result


@dataclass
class Watch:
    """Looks at the hosts whenever a step begins or ends. Nothing serves, and nothing restarts, ungated."""

    world: World
    stays: frozenset[tuple[str, str, str]] = frozenset()
    """Host, model and ordinal of what served before and shall serve after."""
    gated: set[str] = field(default_factory=set)
    looks: int = 0

    def __call__(self, event: Event) -> None:
        self.world.events.append(event)
        self.looks += 1
        if isinstance(event, StepDone) and isinstance(event.step.task, PassGate):
            named = event.step.task.container
            daemon = self.world.daemon(event.step.host)
            self.gated |= {c.id for c in daemon.containers.values() if named in {c.id, c.name}}
        for container in _ours(self.world):
            if not is_generation_name(container.name):
                assert container.id in self.gated, f"{container.name} serves and has not passed its gate ({event})"
            if container.restart != "no":
                assert container.id in self.gated, f"{container.name} restarts and has not passed its gate ({event})"
        for host, model, ordinal in self.stays:
            assert any(
                c.id in self.gated
                for c in self.world.daemon(host).containers.values()
                if _is_ours(c) and (c.labels[labels.MODEL], c.labels[labels.ORDINAL]) == (model, ordinal)
            ), f"no proven container of {host}/{model} is left ({event})"


def _run(world: World, made: Plan, steps: Sequence[Step], watch: Watch) -> None:
    """One step at a time, so that every moment is looked at."""
    performer = Performer(STACK, world.daemons, world.prober, world.secrets, world.clock, {labels.RUN: "killed"})
    Executor(made, performer, watch, parallelism=1).run(steps)
    assert [e for e in world.events if isinstance(e, StepFailed)] == []


def _cut(steps: Iterable[Step], until: Mapping[str, int]) -> list[Step]:
    """What is done when the run is killed: the first so many steps of each host."""
    seen = dict.fromkeys(HOSTS, 0)
    kept = []
    for step in steps:
        seen[step.host] += 1
        if seen[step.host] <= until[step.host]:
            kept.append(step)
    return kept


_cuts = st.fixed_dictionaries({h: st.integers(0, 12) for h in HOSTS})


@modest
@given(cases())
def test_a_plan_after_an_apply_is_empty(case: Case) -> None:
    world = _world()
    _apply(world, case)
    again = _plan(world, case)
    assert again.effective == ()
    assert again.steps == ()
    assert images_needed(case.desired, world.observe()) == ()
    assert _serving(world) == _wanted(case)


@modest
@given(cases(), cases())
def test_the_same_two_values_give_the_same_bytes(one: Case, other: Case) -> None:
    world = _world()
    _apply(world, one)
    observed = world.observe()
    first = plan_to_json(plan(other.desired, observed))
    assert plan_to_json(plan(other.desired, observed)) == first
    again = copy.deepcopy(other.desired)
    assert plan_to_json(plan(again, copy.deepcopy(observed))) == first


@modest
@given(cases(), cases(protect=True), st.booleans())
def test_a_saved_plan_reads_back_as_the_same_value(one: Case, other: Case, destroy: bool) -> None:
    """With what stands against it: a protected model that is to be removed."""
    world = _world()
    _apply(world, one)
    made = world.plan(other.desired, destroy=destroy)
    assert plan_from_json(plan_to_json(made)) == made


@modest
@given(cases(), cases())
def test_one_stack_after_another_leaves_the_second_and_touches_nobody_else(one: Case, other: Case) -> None:
    world = _world()
    before = _of_others(world)
    _apply(world, one)
    _apply(world, other)
    assert _plan(world, other).effective == ()
    assert _serving(world) == _wanted(other)
    assert _of_others(world) == before


@modest
@given(cases(), cases())
def test_kept_containers_are_stopped_and_never_more_than_were_to_be_kept(one: Case, other: Case) -> None:
    world = _world()
    _apply(world, one)
    _apply(world, other)
    _apply(world, one)
    for instance in one.desired.instances:
        group = [
            c
            for c in world.daemon(instance.host).containers.values()
            if _is_ours(c)
            and c.labels[labels.MODEL] == instance.model
            and c.labels[labels.ORDINAL] == str(instance.ordinal)
        ]
        kept = [c for c in group if is_generation_name(c.name)]
        assert all(c.state == "exited" and c.restart == "no" for c in kept)
        assert len(kept) <= max(
            instance.keep, *(i.keep for i in other.desired.instances if i.address == instance.address), 1
        )
        generations = [int(c.labels[labels.GENERATION]) for c in group]
        assert len(set(generations)) == len(generations)


@modest
@given(cases(), cases())
def test_destroy_leaves_nothing_of_ours_and_everything_of_others(one: Case, other: Case) -> None:
    world = _world()
    before = _of_others(world)
    _apply(world, one)
    _apply(world, other)
    made = world.plan(other.desired, destroy=True)
    assert world.apply(made).exit_code == 0
    assert _ours(world) == []
    assert _of_others(world) == before
    for daemon in _daemons(world):
        assert daemon.networks == {}
        assert daemon.volumes == {}
    assert world.plan(other.desired, destroy=True).effective == ()


@settings(modest, max_examples=30)
@given(cases(), cases(least=1), st.lists(_cuts, min_size=1, max_size=3))
def test_a_killed_apply_is_finished_by_the_next_one(one: Case, other: Case, cuts: list[dict[str, int]]) -> None:
    """Killed after any steps, perhaps more than once; and at no moment does anything serve ungated."""
    world = _world()
    strangers = _of_others(world)
    watch = Watch(world)
    world.secrets.values = dict(one.values)
    first = _plan(world, one)
    _run(world, first, first.steps, watch)
    both = {(i.host, i.model, str(i.ordinal)) for i in one.desired.instances}
    both &= {(i.host, i.model, str(i.ordinal)) for i in other.desired.instances}
    watch.stays = frozenset(both)
    world.secrets.values = dict(other.values)
    for until in cuts:
        made = _plan(world, other)
        _run(world, made, _cut(made.steps, until), watch)
    last = _plan(world, other)
    _run(world, last, last.steps, watch)
    assert _serving(world) == _wanted(other)
    assert _plan(world, other).effective == ()
    assert _of_others(world) == strangers
    assert watch.looks > 0


@settings(modest, max_examples=10)
@given(cases(1, 2), cases(1, 2))
def test_an_apply_killed_after_each_of_its_steps_is_finished_by_the_next_one(one: Case, other: Case) -> None:
    """Every prefix of the plan's steps, none left out."""
    world = _world()
    world.secrets.values = dict(one.values)
    watch = Watch(world)
    first = _plan(world, one)
    _run(world, first, first.steps, watch)
    world.secrets.values = dict(other.values)
    made = _plan(world, other)
    for length in range(len(made.steps) + 1):
        again = _clone(world)
        look = Watch(again, gated=set(watch.gated))
        _run(again, made, made.steps[:length], look)
        rest = _plan(again, other)
        _run(again, rest, rest.steps, look)
        assert _serving(again) == _wanted(other)
        assert _plan(again, other).effective == ()


def _clone(world: World) -> World:
    again = _world()
    for daemon, new in zip(_daemons(world), _daemons(again), strict=True):
        new.containers = copy.deepcopy(daemon.containers)
        new.images = dict(daemon.images)
        new.networks = copy.deepcopy(daemon.networks)
    again.secrets.values = dict(world.secrets.values)
    return again


@modest
@given(cases(least=1), st.sets(st.integers(0, 9)))
def test_what_has_stopped_is_started_again_and_not_replaced(case: Case, stopped: set[int]) -> None:
    world = _world()
    _apply(world, case)
    ids = {c.id for c in _ours(world)}
    down = [c for n, c in enumerate(_ours(world)) if n in stopped]
    for container in down:
        container.state, container.exit_code = "exited", 0
    made = _plan(world, case)
    assert [c.action for c in made.effective] == [Action.START] * len(down)
    _apply(world, case)
    assert {c.id for c in _ours(world)} == ids
    assert _serving(world) == _wanted(case)


@settings(modest, max_examples=60)
@given(st.integers(0, len(SLOTS) - 1).flatmap(lambda slot: _specs(slot, dict.fromkeys(KEYS, PLANTED[0]))))
def test_a_spec_reads_back_from_its_label(spec: ContainerSpec) -> None:
    text = spec_to_label(spec)
    assert spec_from_label(text) == spec
    assert spec_to_label(spec_from_label(text)) == text


@modest
@given(cases(least=1), cases(least=1))
def test_no_secret_is_in_a_plan_a_label_an_argument_or_an_event(one: Case, other: Case) -> None:
    world = _world()
    shown: list[str] = []
    for case in (one, other):
        world.secrets.values = dict(case.values)
        made = _plan(world, case)
        shown += [plan_to_json(made), plan_text(made, Ink(enabled=False), explain=True), repr(made)]
        shown.append(repr(world.apply(made)))
        shown += [repr((c.labels, c.command)) for c in _ours(world)]
    shown += [repr(event) for event in world.events]
    assert not any(value in text for text in shown for value in PLANTED)


@modest
@given(cases(least=1))
def test_no_secret_is_in_what_a_failure_says_even_if_the_server_logs_it(case: Case) -> None:
    world = _world()
    world.secrets.values = dict(case.values)

    def talk(container: FakeContainer) -> None:
        container.log = [f"ERROR {name} is {value}" for name, value in container.environment.items()]
        container.state, container.exit_code = "exited", 1

    for daemon in _daemons(world):
        daemon.behaviours.append(talk)
    result = world.apply(_plan(world, case))
    assert result.exit_code != 0
    failures = [o.failure for o in result.outcomes if o.failure is not None]
    assert failures
    shown = [repr(vars(f)) + str(f) for f in failures] + [repr(e) for e in world.events] + [repr(result)]
    assert not any(value in text for text in shown for value in PLANTED)
