"""GPUs by count, the order of starts, and the number of instances of a model that are down at a time."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from cortexctl.apply.events import StepDone, StepFailed, StepStarted
from cortexctl.apply.executor import Executor, Fate
from cortexctl.apply.perform import Performer
from cortexctl.apply.run import apply_plan
from cortexctl.desired.stack import Desired
from cortexctl.plan.action import Action
from cortexctl.plan.model import Plan
from cortexctl.plan.request import Request
from cortexctl.plan.steps import PassGate, Pause, StopContainer
from cortexctl.render.plan.outcome import good_news
from tests.applying import crash, locks, outcome, serving, stack, with_length
from tests.fakes.daemon import Behaviour
from tests.fakes.world import World
from tests.reading import model_text

GPUS = '[hosts.here]\nmodels_dir = "/m"\ngpus = { count = 4 }\n'
THREE = "".join(f'[hosts.{n}]\ndocker = "unix:///run/{n}.sock"\nmodels_dir = "/m"\n\n' for n in ("a", "b", "c"))
EVERYWHERE = '["*"]'


def crash_of(name: str) -> Behaviour:
    return lambda container: crash()(container) if container.name == name else None


def gpus_of(plan: Plan) -> dict[str, tuple[int, ...]]:
    return {
        c.model + (f".{c.detail.ordinal}" if c.detail.ordinal > 1 else ""): c.detail.after.container.gpus
        for c in plan.changes
        if c.detail.after
    }


def test_a_number_of_gpus_is_chosen_once_and_kept(tmp_path: Path) -> None:
    world = World("demo", "here")
    one = stack(tmp_path, model_text("b", gpus="1"), hosts=GPUS)
    world.apply(world.plan(one))
    assert gpus_of(world.plan(one)) == {"b": (0,)}
    two = stack(tmp_path, model_text("a", gpus="1"), model_text("b", gpus="1"), hosts=GPUS)
    plan = world.plan(two)
    assert gpus_of(plan) == {"a": (1,), "b": (0,)}
    assert {c.model: c.action for c in plan.changes} == {"a": Action.CREATE, "b": Action.NO_OP}
    world.apply(plan)
    assert world.plan(two).effective == ()


def test_explicit_gpus_come_first_and_each_replica_gets_its_count(tmp_path: Path) -> None:
    models = model_text("counted", gpus="1", replicas="2") + model_text("written", gpus="[0]")
    plan = World("demo", "here").plan(stack(tmp_path, models, hosts=GPUS))
    assert gpus_of(plan) == {"counted": (1,), "counted.2": (2,), "written": (0,)}


def test_an_explicit_gpu_moves_the_model_that_had_it(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, model_text("counted", gpus="1"), hosts=GPUS)))
    both = stack(tmp_path, model_text("counted", gpus="1"), model_text("written", gpus="[0]"), hosts=GPUS)
    plan = world.plan(both)
    assert gpus_of(plan) == {"counted": (1,), "written": (0,)}
    assert [f.path for c in plan.changes if c.model == "counted" for f in c.fields] == ["gpus"]
    assert world.apply(plan).exit_code == 0
    assert world.plan(both).effective == ()


def test_the_gpus_of_a_removed_model_are_free_in_the_same_plan(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, model_text("old", gpus="4"), hosts=GPUS)))
    plan = world.plan(stack(tmp_path, model_text("new", gpus="4"), hosts=GPUS))
    assert not plan.has_errors
    assert [(h.gpus_before, h.gpus_after) for h in plan.hosts] == [(4, 4)]
    assert world.apply(plan).exit_code == 0


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.dictionaries(st.sampled_from("abcde"), st.integers(1, 3), max_size=4),
    st.dictionaries(st.sampled_from("abcde"), st.integers(1, 3), max_size=4),
)
def test_no_gpu_is_given_out_twice_and_unchanged_models_keep_theirs(
    first: dict[str, int], then: dict[str, int]
) -> None:
    import tempfile

    folder = Path(tempfile.mkdtemp())
    world = World("demo", "here")
    hosts = '[hosts.here]\nmodels_dir = "/m"\ngpus = { count = 8 }\n'
    spare = model_text("spare")

    def desired(counts: dict[str, int]) -> Desired:
        lines = (model_text(m, gpus=str(n), args=f"{{ tensor_parallel_size = {n} }}") for m, n in counts.items())
        return stack(folder, spare, *lines, hosts=hosts)

    before = world.plan(desired(first))
    if before.has_errors:
        assert sum(first.values()) > 8
        return
    world.apply(before)
    plan = world.plan(desired(then))
    if plan.has_errors:
        assert sum(then.values()) > 8
        return
    dealt = [g for gpus in gpus_of(plan).values() for g in gpus]
    assert len(dealt) == len(set(dealt))
    same = {m for m in first.keys() & then.keys() if first[m] == then[m]}
    assert {c.model for c in plan.changes if c.action is Action.NO_OP} == same | {"spare"}
    world.apply(plan)
    assert world.plan(desired(then)).effective == ()


def test_start_first_leaves_no_moment_without_a_server(tmp_path: Path) -> None:
    world = World("demo", "here")
    lines = {"rollout": '{ strategy = "start_first" }'}
    world.apply(world.plan(stack(tmp_path, with_length(8, **lines))))
    plan = world.plan(stack(tmp_path, with_length(16, **lines)))
    assert (plan.changes[0].detail.start_first, plan.changes[0].cost.down) == (True, False)
    world.daemon().calls.clear()
    assert world.apply(plan).exit_code == 0
    calls = [c.split()[0] for c in world.daemon().calls]
    assert calls.index("start") < calls.index("stop")
    assert serving(world) == {"vllm-model-tiny": "running", "vllm-model-tiny--g1": "exited"}


def test_a_failed_start_first_leaves_the_old_container_unchanged(tmp_path: Path) -> None:
    world = World("demo", "here")
    lines = {"rollout": '{ strategy = "auto" }'}
    world.apply(world.plan(stack(tmp_path, with_length(8, **lines))))
    old = world.daemon().by_name("vllm-model-tiny")
    world.daemon().behaviours.append(crash_of("vllm-model-tiny--g2"))
    result = world.apply(world.plan(stack(tmp_path, with_length(16, **lines))))
    assert outcome(result, "here/tiny").fate is Fate.ROLLED_BACK
    assert {c.id: (c.name, c.state, c.restart) for c in world.daemon().containers.values()} == {
        old.id: ("vllm-model-tiny", "running", "unless-stopped")
    }


def test_auto_stops_first_if_a_port_can_have_only_one_holder(tmp_path: Path) -> None:
    world = World("demo", "here")
    lines = {"rollout": '{ strategy = "auto" }', "publish": '"127.0.0.1:8801"'}
    world.apply(world.plan(stack(tmp_path, with_length(8, **lines))))
    plan = world.plan(stack(tmp_path, with_length(16, **lines)))
    assert (plan.changes[0].detail.start_first, plan.changes[0].cost.down, plan.has_errors) == (False, True, False)


def test_one_at_a_time_over_all_hosts(tmp_path: Path) -> None:
    world = World("demo", "a", "b", "c")
    world.apply(world.plan(stack(tmp_path, with_length(8, hosts=EVERYWHERE), hosts=THREE)))
    plan = world.plan(stack(tmp_path, with_length(16, hosts=EVERYWHERE), hosts=THREE))
    assert [(r.model, r.never_below, r.serving, r.at_a_time) for r in plan.rollouts] == [("tiny", 2, 3, 1)]
    world.events.clear()
    assert world.apply(plan).exit_code == 0
    down, most = 0, 0
    for event in world.events:
        if isinstance(event, StepDone) and isinstance(event.step.task, StopContainer):
            down += 1
            most = max(most, down)
        if isinstance(event, StepDone) and isinstance(event.step.task, PassGate):
            down -= 1
    assert most == 1


def test_the_first_failure_ends_the_rollout_with_the_others_still_serving(tmp_path: Path) -> None:
    world = World("demo", "a", "b", "c")
    world.apply(world.plan(stack(tmp_path, with_length(8, hosts=EVERYWHERE), hosts=THREE)))
    world.daemon("a").behaviours.append(crash_of("vllm-model-tiny--g2"))
    result = world.apply(world.plan(stack(tmp_path, with_length(16, hosts=EVERYWHERE), hosts=THREE)))
    fates = {o.change.address: o.fate for o in result.outcomes}
    assert fates == {"a/tiny": Fate.ROLLED_BACK, "b/tiny": Fate.NOT_STARTED, "c/tiny": Fate.NOT_STARTED}
    for host in ("a", "b", "c"):
        assert world.daemon(host).by_name("vllm-model-tiny").state == "running"
    assert not [e for e in world.events if isinstance(e, StepFailed) and e.step.host != "a"]


def test_two_at_a_time_if_the_stack_allows_it(tmp_path: Path) -> None:
    world = World("demo", "a", "b", "c")
    lines = {"hosts": EVERYWHERE, "rollout": "{ max_unavailable = 2 }"}
    world.apply(world.plan(stack(tmp_path, with_length(8, **lines), hosts=THREE)))
    plan = world.plan(stack(tmp_path, with_length(16, **lines), hosts=THREE))
    assert [(r.never_below, r.at_a_time) for r in plan.rollouts] == [(1, 2)]
    assert world.apply(plan).exit_code == 0


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    lengths=st.lists(st.integers(1, 3), min_size=4, max_size=4),
    down=st.sets(st.sampled_from([("a", "m"), ("b", "m"), ("a", "n"), ("c", "n")])),
    restart=st.sampled_from(["", "m", "n"]),
    after=st.booleans(),
)
def test_the_steps_never_wait_in_a_circle(
    lengths: list[int], down: set[tuple[str, str]], restart: str, after: bool
) -> None:
    """Every step can be reached, for any mix of replaced, restarted, started and created instances."""
    import tempfile

    folder = Path(tempfile.mkdtemp())
    world = World("demo", "a", "b", "c")

    def model(name: str, length: int, **lines: str) -> str:
        return model_text(name, hosts=EVERYWHERE, args=f"{{ max_model_len = {length} }}", **lines)

    world.apply(world.plan(stack(folder, model("m", lengths[0]), model("n", lengths[1]), hosts=THREE)))
    for host, name in down:
        world.daemon(host).by_name(f"vllm-model-{name}").state = "exited"
    waits = {"after": '["n"]'} if after else {}
    desired = stack(folder, model("m", lengths[2], **waits), model("n", lengths[3], replicas="2"), hosts=THREE)
    plan = world.plan(desired, Request(restart=(restart,) if restart else ()))
    done: set[str] = set()
    steps = list(plan.steps)
    while steps:
        ready = [s for s in steps if done.issuperset(s.after)]
        assert ready, [(s.id, s.after) for s in steps]
        done |= {s.id for s in ready}
        steps = [s for s in steps if s.id not in done]
    assert world.apply(plan).exit_code == 0
    assert world.plan(desired).effective == ()


def rolled(world: World, tmp_path: Path, rollout: str, *, request: Request = Request(), hosts: str = THREE) -> Plan:  # noqa: B008
    """The plan that changes a model on every host, after it was applied once."""
    lines = {"hosts": EVERYWHERE, "rollout": rollout}
    world.apply(world.plan(stack(tmp_path, with_length(8, **lines), hosts=hosts)))
    return world.plan(stack(tmp_path, with_length(16, **lines), hosts=hosts), request)


def started(world: World) -> list[str]:
    """The addresses in the order in which their gates were passed."""
    return [e.step.address for e in world.events if isinstance(e, StepDone) and isinstance(e.step.task, PassGate)]


def test_the_canary_goes_first_and_the_others_wait_for_it(tmp_path: Path) -> None:
    world = World("demo", "a", "b", "c")
    plan = rolled(world, tmp_path, "{ canary = 1, max_unavailable = 2 }")
    assert plan.rollouts[0].batches == (("a/tiny",), ("b/tiny", "c/tiny"))
    assert plan.rollouts[0].canaries == 1
    world.events.clear()
    assert world.apply(plan).exit_code == 0
    assert started(world)[0] == "a/tiny"


def test_a_canary_that_fails_ends_the_rollout(tmp_path: Path) -> None:
    world = World("demo", "a", "b", "c")
    plan = rolled(world, tmp_path, "{ canary = 1, max_unavailable = 3 }")
    world.daemon("a").behaviours.append(crash_of("vllm-model-tiny--g2"))
    result = world.apply(plan)
    assert {o.change.address: o.fate for o in result.outcomes} == {
        "a/tiny": Fate.ROLLED_BACK, "b/tiny": Fate.NOT_STARTED, "c/tiny": Fate.NOT_STARTED,
    }  # fmt: skip
    assert [serving(world, h) for h in "abc"] == [{"vllm-model-tiny": "running"}] * 3


def test_with_a_hold_only_the_canaries_are_changed(tmp_path: Path) -> None:
    world = World("demo", "a", "b", "c")
    plan = rolled(world, tmp_path, "{ canary = 1 }", request=Request(canary_hold=True))
    assert [c.address for c in plan.effective] == ["a/tiny"]
    assert (plan.rollouts[0].batches, plan.rollouts[0].deferred) == ((("a/tiny",),), ("b/tiny", "c/tiny"))
    assert world.apply(plan).exit_code == 0
    desired = stack(tmp_path, with_length(16, hosts=EVERYWHERE, rollout="{ canary = 1 }"), hosts=THREE)
    again = world.plan(desired, Request(canary_hold=True))
    assert again.effective == ()
    assert "Deferred to another apply: b/tiny, c/tiny." in good_news(again)[1]
    assert [c.address for c in world.plan(desired).effective] == ["b/tiny", "c/tiny"]


def test_a_pause_separates_two_batches(tmp_path: Path) -> None:
    world = World("demo", "a", "b", "c")
    plan = rolled(world, tmp_path, '{ wait = "2m" }')
    pauses = [s for s in plan.steps if isinstance(s.task, Pause)]
    assert [s.task.seconds for s in pauses if isinstance(s.task, Pause)] == [120, 120]
    before = world.clock.at
    assert world.apply(plan).exit_code == 0
    assert world.clock.at - before >= 240


def test_an_interrupt_ends_a_pause(tmp_path: Path) -> None:
    world = World("demo", "a", "b", "c")
    plan = rolled(world, tmp_path, '{ wait = "1h" }')
    performer = Performer("demo", world.daemons, world.prober, world.secrets, world.clock)
    world.events.clear()
    executor = Executor(plan, performer, world.events.append, interrupted=lambda: bool(started(world)))
    before = world.clock.at
    result = apply_plan(plan, executor, world.daemons, locks(world, plan), world.recheck)
    assert (result.exit_code, result.count(Fate.DONE), result.count(Fate.NOT_STARTED)) == (130, 1, 2)
    assert world.clock.at - before < 60


def test_max_surge_limits_the_new_containers_beside_the_old_ones(tmp_path: Path) -> None:
    world = World("demo", "a", "b", "c")
    plan = rolled(world, tmp_path, '{ strategy = "start_first", max_surge = 2 }')
    assert all(c.detail.start_first for c in plan.effective)
    assert plan.rollouts[0].batches == (("a/tiny", "b/tiny"), ("c/tiny",))


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(
            st.integers(1, 3),  # replicas
            st.integers(0, 3),  # canary
            st.integers(1, 3),  # max_unavailable
            st.booleans(),  # a pause
            st.booleans(),  # start first
            st.booleans(),  # after the one before it
            st.booleans(),  # restarted on one host instead
        ),
        min_size=1,
        max_size=3,
    )
)
def test_no_two_batches_wait_for_each_other_and_no_more_are_down_than_allowed(
    drawn: list[tuple[int, int, int, bool, bool, bool, bool]],
) -> None:
    import tempfile

    folder, world = Path(tempfile.mkdtemp()), World("demo", "a", "b", "c")

    def models(length: int) -> list[str]:
        model_texts = []
        for number, (replicas, canary, most, pause, first, after, _) in enumerate(drawn):
            strategy = "start_first" if first else "stop_first"
            rollout = (
                f'{{ canary = {canary}, max_unavailable = {most}, strategy = "{strategy}", wait = "{int(pause)}s" }}'
            )
            lines = {"hosts": EVERYWHERE, "rollout": rollout, "replicas": str(replicas)}
            lines |= {"after": f'["m{number - 1}"]'} if after and number else {}
            model_texts.append(
                model_text(f"m{number}", **lines) + f"[models.m{number}.args]\nmax_model_len = {length}\n\n"
            )
        return model_texts

    world.apply(world.plan(stack(folder, *models(8), hosts=THREE)))
    again = tuple(f"b/m{n}" for n, d in enumerate(drawn) if d[6])
    plan = world.plan(stack(folder, *models(16), hosts=THREE), Request(restart=again))
    down: set[str] = set()
    most: dict[str, int] = {}
    limits = {f"m{n}": d[2] for n, d in enumerate(drawn)}

    def watch(event: object) -> None:
        if isinstance(event, StepStarted) and isinstance(event.step.task, StopContainer):
            down.add(event.step.address)
            model = event.step.address.partition("/")[2].partition(".")[0]
            now = sum(a.partition("/")[2].partition(".")[0] == model for a in down)
            most[model] = max(most.get(model, 0), now)
        if isinstance(event, StepDone) and isinstance(event.step.task, PassGate):
            down.discard(event.step.address)

    performer = Performer("demo", world.daemons, world.prober, world.secrets, world.clock)
    executor = Executor(plan, performer, watch, parallelism=16)
    result = apply_plan(plan, executor, world.daemons, locks(world, plan), world.recheck)
    assert result.exit_code == 0, "no step waits in a circle"
    stop_first = {c.model for c in plan.effective if not c.detail.start_first}
    assert all(most[m] <= limits[m] for m in stop_first if m in most)
    assert world.plan(stack(folder, *models(16), hosts=THREE)).effective == ()


def test_the_removal_of_a_replica_does_not_wait_for_the_models_in_its_after(tmp_path: Path) -> None:
    """A removal comes first on its host: if it waited for a later step there, neither would ever start."""
    world = World("demo", "here")

    def models(length: int, replicas: int) -> Desired:
        first = model_text("a") + f"[models.a.args]\nmax_model_len = {length}\n\n"
        return stack(tmp_path, first, model_text("b", replicas=str(replicas), after='["a"]'))

    assert world.apply(world.plan(models(1024, 2))).exit_code == 0
    planned = world.plan(models(2048, 1))
    assert {c.address: c.action for c in planned.effective} == {"here/a": Action.REPLACE, "here/b.2": Action.REMOVE}
    result = world.apply(planned)
    assert {o.change.address: o.fate for o in result.outcomes} == {"here/a": Fate.DONE, "here/b.2": Fate.DONE}
