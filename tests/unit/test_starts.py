"""Starts side by side on one host: what may run at the same time, how many, and what a failure ends."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cortexctl.apply.events import Event, Progress, RollbackStarted, StepDone, StepStarted
from cortexctl.apply.executor import Executor, Fate
from cortexctl.apply.gate.gate import STAYS_UP
from cortexctl.apply.perform import Performer
from cortexctl.apply.run import apply_plan
from cortexctl.apply.turns import Turns
from cortexctl.desired.stack import Instance
from cortexctl.instance.spec import Mount, Publish
from cortexctl.observed.host import BoundPort
from cortexctl.plan.action import Action
from cortexctl.plan.model import Plan
from cortexctl.plan.planfile import digest_of, plan_from_json, plan_to_dict, plan_to_json
from cortexctl.plan.steps import CreateContainer, PassGate, RenameContainer, StartContainer, Step
from cortexctl.render.apply.progress import PlainProgress
from cortexctl.render.apply.totals import Totals
from cortexctl.render.plan.terminal import plan_text
from tests.applying import PLAIN, TWO_HOSTS, crash, locks, serving, stack
from tests.build import make_container, make_instance, make_plan, make_spec, serving_container
from tests.fakes.container import FakeContainer
from tests.fakes.world import World
from tests.reading import model_text
from tests.waiting import AT_MOST, wait_until

FOUR = ("a", "b", "c", "d")


def waits_of(plan: Plan) -> dict[str, set[str]]:
    """Model -> the models whose changes its first step waits for."""
    model_of = {(c.host, c.address): c.model for c in plan.changes}
    owner = {s.id: model_of.get((s.host, s.address), "") for s in plan.steps}
    waits: dict[str, set[str]] = {}
    for step in plan.steps:
        if step.address:
            waits.setdefault(owner[step.id], {owner[i] for i in step.after} - {""})
    return waits


def models(*names: str, **lines: str) -> str:
    return "".join(model_text(name, **lines) for name in names)


def at_once(world: World, parties: int, host: str = "here") -> None:
    """From now on a container starts only when `parties` of them do, at the same time."""
    meeting = threading.Barrier(parties)

    def meet(_container: FakeContainer) -> None:
        meeting.wait(AT_MOST)

    world.daemon(host).behaviours.append(meet)


def test_models_that_share_nothing_wait_only_for_the_steps_of_the_host() -> None:
    planned = make_plan(make_instance("a", gpus=(0,)), make_instance("b", gpus=(1,)), make_instance("c"))
    assert waits_of(planned) == {"a": set(), "b": set(), "c": set()}
    first = planned.steps[0].id
    assert [s.after for s in planned.steps if isinstance(s.task, CreateContainer)] == [(first,)] * 3


def test_two_sharers_of_a_gpu_start_one_after_the_other_even_if_both_fit() -> None:
    half = {"gpu_memory_utilization": 0.4}
    planned = make_plan(
        make_instance("a", gpus=(0, 1), args=half),
        make_instance("b", gpus=(1,), args=half),
        make_instance("c", gpus=(0,), args=half),
    )
    assert waits_of(planned) == {"a": set(), "b": {"a"}, "c": {"a"}}


@pytest.mark.parametrize(
    ("one", "other", "waits"),
    [
        (Publish("127.0.0.1", 8001), Publish("127.0.0.1", 8001), True),
        (Publish("0.0.0.0", 8001), Publish("127.0.0.1", 8001), True),
        (Publish("127.0.0.1", 8001), Publish("127.0.0.2", 8001), False),
        (Publish("127.0.0.1", 8001), Publish("127.0.0.1", 8002), False),
        (Publish("127.0.0.1"), Publish("127.0.0.1"), False),
    ],
)
def test_a_port_that_another_change_frees_is_waited_for(one: Publish, other: Publish, waits: bool) -> None:
    bound = (BoundPort(one.address, one.port),) if one.port else ()
    planned = make_plan(
        make_instance("new", publish=other),
        containers=(serving_container(model="old", spec=make_spec(publish=one), ports=bound),),
    )
    assert {c.model: c.action for c in planned.changes} == {"old": Action.REMOVE, "new": Action.CREATE}
    assert waits_of(planned)["new"] == ({"old"} if waits else set())


def test_a_port_that_the_daemon_chose_is_waited_for_as_well() -> None:
    chosen = serving_container(
        model="old", spec=make_spec(publish=Publish("127.0.0.1")), ports=(BoundPort("127.0.0.1", 32768),)
    )
    planned = make_plan(make_instance("new", publish=Publish("127.0.0.1", 32768)), containers=(chosen,))
    assert waits_of(planned)["new"] == {"old"}


def test_a_gpu_that_another_change_frees_is_waited_for() -> None:
    planned = make_plan(
        make_instance("moves", gpus=(1,), drain=1),
        make_instance("new", gpus=(0,)),
        make_instance("other", gpus=(2,)),
        containers=(serving_container(model="moves", spec=make_spec(gpus=(0,))),),
    )
    assert waits_of(planned) == {"moves": set(), "new": {"moves"}, "other": set()}


def test_a_change_of_a_running_container_that_cannot_be_read_is_alone() -> None:
    planned = make_plan(
        make_instance("a", gpus=(0,)),
        containers=(serving_container(model="old", spec=None), serving_container(model="older", spec=make_spec())),
        destroy=False,
    )
    waits = waits_of(planned)
    assert waits["a"] == {"old"}
    assert waits["older"] == {"old"}


def test_a_container_at_rest_holds_nothing_whatever_its_spec() -> None:
    planned = make_plan(
        make_instance("a", gpus=(0,)), containers=(serving_container(model="old", spec=None, state="exited"),)
    )
    assert waits_of(planned) == {"old": set(), "a": set()}


def test_what_a_killed_run_left_of_a_model_is_removed_before_the_model_changes() -> None:
    left = make_container("vllm-model-a--g2", model="a", generation=2, spec=make_spec(gpus=(3,)))
    planned = make_plan(
        make_instance("a", gpus=(0,)),
        make_instance("b", gpus=(1,)),
        containers=(serving_container(model="a", spec=make_spec(gpus=(2,))), left),
    )
    first = {s.address: s for s in reversed(planned.steps)}
    (removal,) = (c for c in planned.changes if c.only_tidies)
    last = [s.id for s in planned.steps if s.address == removal.address][-1]
    assert last in first["here/a"].after
    assert last not in first["here/b"].after


def test_a_repository_is_downloaded_once_and_then_the_others_start_together() -> None:
    """If they shared the download, the others would wait for it without any progress in their logs."""
    cache = (Mount("/srv/hf", "/root/.cache/huggingface", read_only=False),)

    def from_repository(name: str, repo: str = "org/big", **fields: Any) -> Instance:
        spec = make_spec(model=repo, served_names=(name,), **{"mounts": cache, **fields})
        return replace(make_instance(name), spec=spec)

    def waits(**fields: Any) -> set[str]:
        return set().union(*waits_of(make_plan(*(from_repository(m, **fields) for m in FOUR))).values())

    assert waits_of(make_plan(*map(from_repository, FOUR))) == {"a": set(), "b": {"a"}, "c": {"a"}, "d": {"a"}}
    assert waits(mounts=()) == set(), "each has a folder of its own"
    assert waits(env={"HF_HUB_OFFLINE": "1"}) == set(), "nothing is downloaded"
    assert waits_of(make_plan(from_repository("a"), from_repository("b", "org/other"))) == {"a": set(), "b": set()}
    running = tuple(serving_container(model=m, spec=from_repository(m, drain=1).spec) for m in FOUR)
    replaced = make_plan(*map(from_repository, FOUR), containers=running)
    assert {c.action for c in replaced.changes} == {Action.REPLACE}
    assert set().union(*waits_of(replaced).values()) == set(), "the weights are on the host"


def test_the_canary_of_a_new_model_starts_before_its_other_replicas(tmp_path: Path) -> None:
    world = World("demo", "here")
    wanted = stack(tmp_path, model_text("a", replicas="3", rollout="{ canary = 1 }") + model_text("b"))
    planned = world.plan(wanted)
    addresses = {s.id: s.address for s in planned.steps}
    first = {s.address: s for s in reversed(planned.steps)}
    waits = {a: {addresses[i] for i in s.after} - {""} for a, s in first.items() if a}
    assert waits == {"here/a": set(), "here/a.2": {"here/a"}, "here/a.3": {"here/a"}, "here/b": set()}
    world.daemon().behaviours.append(lambda c: crash()(c) if c.name == "vllm-model-a--g1" else None)
    fates = {o.change.address: o.fate for o in world.apply(planned).outcomes}
    assert fates["here/a"] is Fate.FAILED
    assert fates["here/a.2"] is fates["here/a.3"] is Fate.NOT_STARTED


def test_after_is_waited_for_over_a_model_without_a_change(tmp_path: Path) -> None:
    world = World("demo", "here")

    def wanted(length: int) -> str:
        args = f"{{ max_model_len = {length} }}"
        return (
            model_text("a", args=args)
            + model_text("b", after='["a"]')
            + model_text("c", after='["b"]', args=args)
            + model_text("d", args=args)
        )

    assert waits_of(world.plan(stack(tmp_path, wanted(8)))) == {"a": set(), "b": {"a"}, "c": {"a", "b"}, "d": set()}
    assert world.apply(world.plan(stack(tmp_path, wanted(8)))).exit_code == 0
    assert waits_of(world.plan(stack(tmp_path, wanted(16)))) == {"a": set(), "c": {"a"}, "d": set()}


def test_a_network_is_created_once_before_all_and_removed_after_all() -> None:
    created = make_plan(make_instance("a"), make_instance("b"))
    assert [type(s.task).__name__ for s in created.steps].count("EnsureNetwork") == 1
    gone = (serving_container(model=m, networks=("cortex_default",)) for m in ("a", "b"))
    steps = make_plan(containers=tuple(gone), destroy=True).steps
    ends = {next(s.id for s in reversed(steps) if s.address == f"here/{m}") for m in ("a", "b")}
    assert set(steps[-1].after) == ends


def test_four_models_start_at_the_same_time(tmp_path: Path) -> None:
    world = World("demo", "here")
    at_once(world, 4)
    planned = world.plan(stack(tmp_path, models(*FOUR)))
    assert planned.parallel_starts == 4
    assert world.apply(planned).exit_code == 0
    assert serving(world) == {f"vllm-model-{name}": "running" for name in FOUR}
    assert world.plan(stack(tmp_path, models(*FOUR))).effective == ()


def test_four_replacements_run_at_the_same_time(tmp_path: Path) -> None:
    world = World("demo", "here")
    assert world.apply(world.plan(stack(tmp_path, models(*FOUR)))).exit_code == 0
    at_once(world, 4)
    result = world.apply(world.plan(stack(tmp_path, models(*FOUR, args="{ max_model_len = 64 }"))))
    assert (result.exit_code, result.count(Fate.DONE)) == (0, 4)


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_no_more_start_at_a_time_than_allowed_on_each_host(tmp_path: Path, limit: int) -> None:
    world = World("demo", "one", "two")
    rollout = f"[rollout]\nparallel_starts = {limit}\n\n"
    wanted = stack(tmp_path, rollout, models(*FOUR, "e", "f", hosts='["*"]'), hosts=TWO_HOSTS)
    assert world.apply(world.plan(wanted), parallelism=16).exit_code == 0
    assert most_starts(world) <= limit
    for host in ("one", "two"):
        world.daemon(host).behaviours.clear()
        at_once(world, limit, host)
    assert world.apply(world.plan(wanted, destroy=True)).exit_code == 0
    assert world.apply(world.plan(wanted), parallelism=16).exit_code == 0, "and as many as allowed do"


def most_starts(world: World) -> int:
    """The largest number of new instances of one host between the first step of each and its first answer."""
    running: dict[str, set[str]] = {}
    started: set[str] = set()
    most = 0
    for event in world.events:
        if isinstance(event, StepStarted) and event.step.address and event.step.address not in started:
            started.add(event.step.address)
            running.setdefault(event.step.host, set()).add(event.step.address)
            most = max(most, len(running[event.step.host]))
        if isinstance(event, Progress) and event.stage == STAYS_UP:
            running[event.address.partition("/")[0]].remove(event.address)
    return most


def test_a_stopped_server_never_waits_for_a_worker(tmp_path: Path) -> None:
    """With one worker, a replacement that has stopped its server ends before another one begins."""
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, models(*FOUR))))
    world.events.clear()
    result = world.apply(world.plan(stack(tmp_path, models(*FOUR, args="{ max_model_len = 64 }"))), parallelism=1)
    assert result.exit_code == 0
    addresses = [e.step.address for e in world.events if isinstance(e, StepStarted) and e.step.address]
    assert list(dict.fromkeys(addresses)) == [f"here/{name}" for name in FOUR]
    assert addresses == sorted(addresses)


def test_a_failed_start_cancels_no_other_and_nothing_new_starts(tmp_path: Path) -> None:
    """Not even while the failed one is being undone: here the others end before that."""
    world = World("demo", "here")
    together, ended = threading.Barrier(3), threading.Semaphore(0)

    def start(container: FakeContainer) -> None:
        together.wait(AT_MOST)
        if container.name == "vllm-model-b--g1":
            crash(1, "ValueError: something")(container)
        else:
            assert failed.wait(AT_MOST)

    def watch(event: Event) -> None:
        world.emit(event)
        if isinstance(event, RollbackStarted):
            failed.set()
            assert all(ended.acquire(timeout=AT_MOST) for _ in range(2))
        if isinstance(event, StepDone) and isinstance(event.step.task, RenameContainer):
            ended.release()

    failed = threading.Event()
    world.daemon().behaviours.append(start)
    rollout = "[rollout]\nparallel_starts = 3\nmax_failures = 5\n\n"
    plan = world.plan(stack(tmp_path, rollout, models(*FOUR)))
    performer = Performer("demo", world.daemons, world.prober, world.secrets, world.clock)
    result = apply_plan(plan, Executor(plan, performer, watch), world.daemons, locks(world, plan), world.recheck)
    fates = {o.change.model: o.fate for o in result.outcomes}
    assert fates == {"a": Fate.DONE, "b": Fate.FAILED, "c": Fate.DONE, "d": Fate.NOT_STARTED}
    assert serving(world) == {"vllm-model-a": "running", "vllm-model-c": "running"}
    assert result.exit_code == 5
    world.daemon().behaviours.clear()
    again = world.plan(stack(tmp_path, rollout, models(*FOUR)))
    assert sorted(c.model for c in again.effective) == ["b", "d"]
    assert world.apply(again).exit_code == 0


def test_the_budget_of_the_run_counts_a_failure_at_once(tmp_path: Path) -> None:
    """On another host nothing begins while a failed change is being undone."""
    world = World("demo", "one", "two")
    failed, first_is_up = threading.Event(), threading.Event()

    def watch(event: Event) -> None:
        world.emit(event)
        if isinstance(event, RollbackStarted):
            failed.set()
            assert first_is_up.wait(AT_MOST)
        if isinstance(event, StepDone) and isinstance(event.step.task, RenameContainer):
            first_is_up.set()

    world.daemon("one").behaviours.append(crash())
    world.daemon("two").behaviours.append(lambda _container: wait_until(failed.is_set))
    text = "[rollout]\nparallel_starts = 1\n\n"
    plan = world.plan(stack(tmp_path, text, models("a", "b", hosts='["*"]'), hosts=TWO_HOSTS))
    performer = Performer("demo", world.daemons, world.prober, world.secrets, world.clock)
    result = apply_plan(plan, Executor(plan, performer, watch), world.daemons, locks(world, plan), world.recheck)
    assert {o.change.address: o.fate for o in result.outcomes} == {
        "one/a": Fate.FAILED, "one/b": Fate.NOT_STARTED, "two/a": Fate.DONE, "two/b": Fate.NOT_STARTED,
    }  # fmt: skip


def test_an_interrupt_finishes_every_start_that_runs(tmp_path: Path) -> None:
    world = World("demo", "here")
    at_once(world, 2)
    plan = world.plan(stack(tmp_path, "[rollout]\nparallel_starts = 2\n\n", models(*FOUR)))

    def both_run() -> bool:
        return sum(isinstance(e, StepDone) and isinstance(e.step.task, StartContainer) for e in list(world.events)) >= 2

    performer = Performer("demo", world.daemons, world.prober, world.secrets, world.clock)
    executor = Executor(plan, performer, world.emit, interrupted=both_run)
    result = apply_plan(plan, executor, world.daemons, locks(world, plan), world.recheck)
    fates = {o.change.model: o.fate for o in result.outcomes}
    assert (result.exit_code, fates["a"], fates["b"]) == (130, Fate.DONE, Fate.DONE)
    assert fates["c"] is fates["d"] is Fate.NOT_STARTED


def test_every_start_is_recorded_though_all_end_together(tmp_path: Path) -> None:
    world = World("demo", "here")
    at_once(world, 4)
    gates = threading.Barrier(4)
    healthy: Callable[..., str] = world.prober.health

    def health(reach: object) -> str:
        gates.wait(AT_MOST)
        return healthy(reach)

    world.prober.health = health  # type: ignore[method-assign]
    assert world.apply(world.plan(stack(tmp_path, models(*FOUR, gate='{ stable_for = "0s" }')))).exit_code == 0
    recorded = world.daemon().read_record("demo").applied
    assert {a: len(applied.starts) for a, applied in recorded.items()} == {f"here/{m}": 1 for m in FOUR}


def test_a_saved_plan_keeps_the_limit_and_an_older_one_is_read_as_serial(tmp_path: Path) -> None:
    world = World("demo", "here")
    planned = world.plan(stack(tmp_path, "[rollout]\nparallel_starts = 2\n\n", models(*FOUR)))
    assert plan_from_json(plan_to_json(planned)).parallel_starts == 2
    document = plan_to_dict(planned)
    assert document.pop("parallel_starts") == 2
    older = json.dumps({**document, "digest": digest_of(document)})
    assert plan_from_json(older) == replace(planned, parallel_starts=1)


def test_the_plan_shows_what_starts_together_and_how_long_it_takes(tmp_path: Path) -> None:
    world = World("demo", "here")
    wanted = stack(tmp_path, models(*FOUR, "e", "f"))
    text = plan_text(world.plan(wanted), PLAIN)
    assert "Starts   here: a, b, c, d together, then e, f together\n" in text
    assert "Host   here: 6 changes, up to 4 starts at a time, at most 40m without progress\n" in text
    serial = plan_text(replace(world.plan(wanted), parallel_starts=1), PLAIN)
    assert "Starts   here: a, then b, then c, then d, then 2 more\n" in serial
    many = stack(tmp_path, models(*(f"m{n:02}" for n in range(13))))
    pairs = plan_text(replace(world.plan(many), parallel_starts=2), PLAIN)
    assert ", then m06, m07 together, then 5 more\n" in pairs
    assert "Host   here: 6 changes, one start at a time, at most 2h without progress\n" in serial


def test_every_line_of_the_progress_names_its_address(tmp_path: Path) -> None:
    world = World("demo", "here")
    at_once(world, 4)
    plan = world.plan(stack(tmp_path, models(*FOUR)))
    out = io.StringIO()
    progress = PlainProgress(out, PLAIN, plan.container_names, 6, Totals(plan, world.clock.elapsed))
    performer = Performer("demo", world.daemons, world.prober, world.secrets, world.clock)
    apply_plan(plan, Executor(plan, performer, progress), world.daemons, locks(world, plan), world.recheck)
    lines = [line for line in out.getvalue().splitlines() if "network" not in line]
    assert {line.partition("]")[0] for line in lines} == {f"[here/{name}" for name in FOUR}


def test_gates_are_passed_side_by_side(tmp_path: Path) -> None:
    """`stable_for` of one model does not delay the gate of another."""
    world = World("demo", "here")
    gates = threading.Barrier(4)
    healthy: Callable[..., str] = world.prober.health
    seen: set[str] = set()

    def health(reach: object) -> str:
        name = world.prober._name(reach)  # type: ignore[arg-type]
        if name not in seen:
            seen.add(name)
            gates.wait(AT_MOST)
        return healthy(reach)

    world.prober.health = health  # type: ignore[method-assign]
    assert world.apply(world.plan(stack(tmp_path, models(*FOUR)))).exit_code == 0
    assert sum(isinstance(e, StepDone) and isinstance(e.step.task, PassGate) for e in world.events) == 4


def test_a_new_instance_that_only_waits_leaves_its_turn(tmp_path: Path) -> None:
    """Six pass their gates with one start at a time, although each watch ends after all have started."""
    world = World("demo", "here")
    names = (*FOUR, "e", "f")
    answered = {name: threading.Event() for name in names}
    smoke, healthy = world.prober.smoke, world.prober.health

    def first_request(*args: Any) -> str:
        answer = smoke(*args)
        answered[args[3]].set()
        return answer

    def health(reach: Any) -> str:
        name = world.prober._name(reach).removeprefix("vllm-model-").partition("--")[0]
        if answered[name].is_set():
            wait_until(lambda: all(event.is_set() for event in answered.values()))
        return healthy(reach)

    world.prober.smoke = first_request  # type: ignore[method-assign, assignment]
    world.prober.health = health  # type: ignore[method-assign]
    wanted = stack(tmp_path, "[rollout]\nparallel_starts = 1\n\n", models(*names))
    assert world.apply(world.plan(wanted), parallelism=6).exit_code == 0
    assert most_starts(world) == 1


def test_a_replacement_waits_until_new_instances_have_stayed_up_and_is_not_overtaken(tmp_path: Path) -> None:
    """Its old instance must not stop beside instances that may still fail, and what comes later does not begin first."""
    world = World("demo", "here")
    assert world.apply(world.plan(stack(tmp_path, models("b")))).exit_code == 0
    new, replaced = models("a", "c"), model_text("b", args="{ max_model_len = 64 }", after='["a"]')
    rollout = "[rollout]\nparallel_starts = 1\n\n"
    plan = world.plan(stack(tmp_path, rollout, new, replaced, models("d", after='["a"]')))
    turns = Turns(plan)
    turns.add(plan.steps)
    gates: dict[str, Step] = {}

    def until_gates() -> list[str]:
        """The changes that come to their gates now."""
        came = []
        while steps := turns.take(9, begins_more=True):
            for step in steps:
                if isinstance(step.task, PassGate):
                    gates[step.address] = step
                    came.append(step.address)
                else:
                    turns.finish(step)
        return came

    assert until_gates() == ["here/a"]
    turns.answers(("here", "here/a"))
    assert until_gates() == ["here/c"], "both are new"
    turns.answers(("here", "here/c"))
    assert until_gates() == [], "b and d wait for all of a"
    turns.finish(gates["here/a"])
    assert until_gates() == [], "b waits for all of c too, and d for its turn after b"
    turns.finish(gates["here/c"])
    assert until_gates() == ["here/b"]
    turns.answers(("here", "here/b"))
    assert until_gates() == [], "a replacement keeps its turn"
    turns.finish(gates["here/b"])
    assert until_gates() == ["here/d"]


def test_an_instance_that_fails_while_it_is_watched_ends_its_host(tmp_path: Path) -> None:
    """What has started meanwhile is finished."""
    world = World("demo", "here")
    second_starts = threading.Event()
    healthy = world.prober.health
    seen: list[str] = []

    def health(reach: Any) -> str:
        name = world.prober._name(reach)
        seen.append(name)
        if name == "vllm-model-a--g1" and seen.count(name) > 1:
            assert second_starts.wait(AT_MOST)
            crash()(world.daemon().by_name(name))
        return healthy(reach)

    def watch(event: Event) -> None:
        world.emit(event)
        if (
            isinstance(event, StepDone)
            and event.step.address == "here/b"
            and isinstance(event.step.task, StartContainer)
        ):
            second_starts.set()

    world.prober.health = health  # type: ignore[method-assign]
    plan = world.plan(stack(tmp_path, "[rollout]\nparallel_starts = 1\n\n", models(*FOUR)))
    performer = Performer("demo", world.daemons, world.prober, world.secrets, world.clock)
    result = apply_plan(plan, Executor(plan, performer, watch), world.daemons, locks(world, plan), world.recheck)
    fates = {o.change.model: o.fate for o in result.outcomes}
    assert (fates["a"], fates["b"], fates["d"]) == (Fate.FAILED, Fate.DONE, Fate.NOT_STARTED)
