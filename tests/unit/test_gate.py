"""The gate on fake daemons: which candidates pass or fail, when, and the reported probes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexctl.apply.events import GateProbe, Progress
from cortexctl.apply.executor import Fate, Result
from cortexctl.apply.gate.deadline import Deadline
from cortexctl.apply.gate.speed_bounds import figures, missed
from cortexctl.desired.stack import STARTS_AT_MOST, Desired, GatePolicy
from cortexctl.engines.vllm.engine import Vllm
from cortexctl.errors import GateFailed, ProbeFailed
from cortexctl.observed.health import Speed
from cortexctl.plan.planfile import plan_from_json, plan_to_json
from tests.fakes.container import FakeContainer
from tests.fakes.world import World
from tests.reading import desired_from, model_text, stack_text

NEW = "vllm-model-tiny--g1"
SHARDS = "Loading safetensors checkpoint shards: {:3d}% Completed | {}/100 [00:00<00:00, 20.00it/s]"


def stack(tmp_path: Path, gate: str = "", *, model: str = "", **lines: str) -> Desired:
    path = tmp_path / "stack.toml"
    text = model_text(**lines) + (f"[models.tiny.gate]\n{gate}\n" if gate else "") + model
    path.write_text(stack_text(text, hosts='[hosts.here]\nmodels_dir = "/m"\n'))
    return desired_from(path, {})


def failure(result: Result) -> GateFailed:
    (only,) = result.outcomes
    assert isinstance(only.failure, GateFailed)
    return only.failure


def probes(world: World) -> list[tuple[str, bool, str]]:
    return [(e.probe, e.ok, e.detail) for e in world.events if isinstance(e, GateProbe)]


def at(world: World, seconds: float, act: Callable[[FakeContainer], None], name: str = NEW) -> None:
    """Run `act` on the candidate after `seconds` of the fake clock."""
    began, sleep, done = world.clock.at, world.clock.sleep, False

    def sleep_and_act(duration: float) -> None:
        nonlocal done
        sleep(duration)
        if not done and world.clock.at - began >= seconds:
            done = True
            act(world.daemon().by_name(name))

    world.clock.sleep = sleep_and_act  # type: ignore[method-assign]


# ---- reported probes


def test_equal_probes_in_a_row_are_reported_once(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.prober.unhealthy.add(NEW)
    at(world, 10, lambda c: world.prober.unhealthy.discard(c.name))
    result = world.apply(world.plan(stack(tmp_path, "min_tokens_per_second = 1")))
    assert result.exit_code == 0
    assert probes(world) == [
        ("process", True, ""),
        ("health", False, "no connection"),
        ("health", True, ""),
        ("names", True, "tiny"),
        ("smoke", True, "4 tokens"),
        ("bounds", True, "first token after 20ms (20ms to 20ms), 50.0 tokens a second (50.0 to 50.0), 3 requests"),
        ("stable", True, "for 5s"),
    ]
    times = [e.seconds for e in world.events if isinstance(e, GateProbe)]
    assert times == sorted(times)
    assert times[2] == pytest.approx(10, abs=0.3)
    assert {e.address for e in world.events if isinstance(e, GateProbe)} == {"here/tiny"}


def test_a_failed_probe_is_reported_without_secrets(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.secrets.values["KEY"] = "planted-value"
    path = tmp_path / "stack.toml"
    secret = '[models.tiny.secrets]\nVLLM_API_KEY = { env = "KEY" }\n'
    path.write_text(stack_text(model_text() + secret, hosts='[hosts.here]\nmodels_dir = "/m"\n'))

    def refuses(*_: object) -> str:
        raise ProbeFailed("status 401: bad key planted-value")

    world.prober.smoke = refuses  # type: ignore[assignment]
    world.apply(world.plan(desired_from(path, {"KEY": "planted-value"})))
    assert ("smoke", False, "its first request failed: status 401: bad key ***") in probes(world)


# ---- the progress deadline


def test_a_start_that_progresses_may_take_longer_than_the_timeout(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.prober.unhealthy.add(NEW)
    began = world.clock.at
    for percent in range(1, 6):
        step = percent
        at(world, 20 * step, lambda c, n=step: c.log.append(SHARDS.format(n * 20, n * 20)))  # type: ignore[misc]
    at(world, 110, lambda c: world.prober.unhealthy.discard(c.name))
    result = world.apply(world.plan(stack(tmp_path, 'startup_timeout = "30s"')))
    assert result.exit_code == 0
    assert world.clock.at - began > 110
    stages = [e.stage for e in world.events if isinstance(e, Progress)]
    assert "loading weights 40%" in stages
    assert next(e.share for e in world.events if isinstance(e, Progress) and e.stage == "loading weights 40%") == 0.4


def test_a_start_that_stalls_fails_one_timeout_after_its_last_progress(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.prober.unhealthy.add(NEW)
    began = world.clock.at
    at(world, 20, lambda c: c.log.append(SHARDS.format(50, 50)))
    at(world, 40, lambda c: c.log.append("WARNING: no available shared memory broadcast block found in 60 second."))
    failed = failure(world.apply(world.plan(stack(tmp_path, 'startup_timeout = "30s"'))))
    assert 50 <= world.clock.at - began < 53
    assert "it was not ready, " in failed.message
    assert "and its log showed no progress for 30s (gate.startup_timeout)" in failed.message
    assert "last stage in its log: loading weights 50%" in failed.cause
    assert "raise gate.startup_timeout" in failed.fix


def test_a_start_that_progresses_without_end_fails_at_last(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.prober.unhealthy.add(NEW)
    began, sleep = world.clock.at, world.clock.sleep

    def log_on(duration: float) -> None:
        sleep(duration)
        for container in world.daemon().containers.values():
            container.log.append(f"Capturing CUDA graph shapes: {world.clock.at % 100:.0f}%|  | 1/9 [00:01<00:01]")

    world.clock.sleep = log_on  # type: ignore[method-assign]
    failed = failure(world.apply(world.plan(stack(tmp_path, 'startup_timeout = "30s"'))))
    assert 180 <= world.clock.at - began < 183
    assert (
        "it was not ready after 3m (6 times gate.startup_timeout), although its log showed progress" in failed.message
    )


@given(
    patience=st.integers(1, 50),
    probes=st.lists(st.tuples(st.floats(0.1, 20), st.booleans()), max_size=60),
)
def test_a_deadline_is_over_when_nothing_advances_or_all_is_spent(
    patience: int, probes: list[tuple[float, bool]]
) -> None:
    deadline = Deadline(GatePolicy(startup_timeout=patience), Vllm())
    now = last = 0.0
    log: list[str] = []
    for number, (pause, progresses) in enumerate(probes):
        now += pause
        if progresses:
            log = [*log, SHARDS.format(number, number)]
            last = now
        deadline.update(log, now)
        assert deadline.is_over(now) == (now - last > patience or now > STARTS_AT_MOST * patience)
        assert not deadline.is_over(now) or all(deadline.missed(now))


# ---- the end of a candidate


@pytest.mark.parametrize(
    ("becomes", "message", "cause"),
    [
        ({"state": "exited", "exit_code": 1}, "it exited with code 1", ""),
        ({"state": "exited", "exit_code": 0}, "it exited with code 0, as vLLM does if its engine died", ""),
        (
            {"state": "exited", "exit_code": 137},
            "it exited with code 137, because it was killed (its limit is 4 GiB)",
            "it was killed from outside",
        ),
        (
            {"state": "exited", "exit_code": 137, "oom_killed": True},
            "the kernel killed it: it needs more memory than it may use (its limit is 4 GiB)",
            "it exceeded the container's memory limit",
        ),
        (
            {"oom_killed": True},
            "the kernel killed one of its processes: it needs more memory than it may use (its limit is 4 GiB)",
            "it exceeded the container's memory limit",
        ),
        (
            {"restarts": 2, "exit_code": 1},
            "it exited before it passed its gate, and was restarted 2 times (last exit code 1)",
            "",
        ),
        ({"restarts": 1, "exit_code": 0}, "was restarted once (last exit code 0)", ""),
    ],
)
@pytest.mark.parametrize("when", [3, 12], ids=["starting", "watched"])
def test_the_end_of_a_candidate_is_known_within_a_second(
    tmp_path: Path, becomes: dict[str, object], message: str, cause: str, when: float
) -> None:
    world = World("demo", "here")
    world.prober.unhealthy.add(NEW)
    at(world, 10, lambda c: world.prober.unhealthy.discard(c.name))
    died: list[float] = []

    def die(container: FakeContainer) -> None:
        died.append(world.clock.at)
        for key, value in becomes.items():
            setattr(container, key, value)

    at(world, when, die)
    failed = failure(world.apply(world.plan(stack(tmp_path, 'stable_for = "30s"', memory='"4 GiB"'))))
    assert message in failed.message
    assert cause in failed.cause
    assert world.clock.at - died[0] < 1
    assert ("process", False) in [(probe, ok) for probe, ok, _ in probes(world)]


def test_a_kill_for_memory_that_the_daemon_learns_of_late_is_reported_as_such(tmp_path: Path) -> None:
    world = World("demo", "here")

    def die(container: FakeContainer) -> None:
        container.state, container.exit_code = "exited", 137
        at(world, 0.4, lambda c: setattr(c, "oom_killed", True))

    at(world, 3, die)
    failed = failure(world.apply(world.plan(stack(tmp_path, memory='"4 GiB"'))))
    assert "it needs more memory than it may use (its limit is 4 GiB)" in failed.message


def test_a_dead_daemon_is_known_within_a_second_while_its_server_lives(tmp_path: Path) -> None:
    world = World("demo", "here")
    died: list[float] = []

    def die(container: FakeContainer) -> None:
        died.append(world.clock.at)
        world.prober.engine_died.add(container.name)

    at(world, 3, die)
    failed = failure(world.apply(world.plan(stack(tmp_path))))
    assert "it was ready, and then its vLLM engine died (/health answers 503)" in failed.message
    assert world.clock.at - died[0] < 1


def test_a_503_before_it_was_ever_healthy_is_waited_for(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.prober.engine_died.add(NEW)
    at(world, 5, lambda c: world.prober.engine_died.discard(c.name))
    assert world.apply(world.plan(stack(tmp_path))).exit_code == 0


@pytest.mark.parametrize("question", ["served_names", "smoke", "speed"])
def test_an_engine_that_dies_of_a_request_is_the_reported_cause(tmp_path: Path, question: str) -> None:
    world = World("demo", "here")

    def dies(*_: object) -> str:
        world.prober.engine_died.add(NEW)
        raise ProbeFailed("status 500: EngineCore encountered an issue.")

    setattr(world.prober, question, dies)
    failed = failure(world.apply(world.plan(stack(tmp_path, 'max_ttft = "1s"'))))
    assert "its vLLM engine died" in failed.message


def test_the_end_of_a_process_after_a_broken_answer_is_the_reported_cause(tmp_path: Path) -> None:
    world = World("demo", "here")

    def crash(container: FakeContainer) -> None:
        container.state, container.exit_code = "exited", 139

    def breaks_off(*_: object) -> str:
        at(world, 0.4, crash)
        raise ProbeFailed("no answer (RemoteProtocolError)")

    world.prober.smoke = breaks_off  # type: ignore[assignment]
    failed = failure(world.apply(world.plan(stack(tmp_path))))
    assert "it exited with code 139" in failed.message
    assert "crashed inside native code" in failed.cause


@pytest.mark.parametrize("question", ["names", "stable"])
def test_a_process_whose_end_the_daemon_learns_of_late_is_reported_as_ended(tmp_path: Path, question: str) -> None:
    world = World("demo", "here")

    def exits(container: FakeContainer) -> None:
        container.state, container.exit_code = "exited", 0

    def dies(*_: object) -> list[str]:
        world.prober.unhealthy.add(NEW)
        at(world, 8, exits)
        raise ProbeFailed("no connection")

    if question == "names":
        world.prober.served_names = dies  # type: ignore[assignment]
    else:
        at(world, 2, lambda c: world.prober.unhealthy.add(c.name))
        at(world, 10, exits)
    failed = failure(world.apply(world.plan(stack(tmp_path))))
    assert "it exited with code 0" in failed.message


def test_a_running_server_without_connections_fails_the_gate(tmp_path: Path) -> None:
    world = World("demo", "here")
    at(world, 2, lambda c: world.prober.unhealthy.add(c.name))
    began = world.clock.at
    failed = failure(world.apply(world.plan(stack(tmp_path))))
    assert failed.message.startswith("it was ready, and then stopped answering /health (no connection)")
    assert world.clock.at - began < 20


def test_a_wrong_answer_is_reported_with_its_text(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.prober.smoke_fails.add(NEW)
    failed = failure(world.apply(world.plan(stack(tmp_path))))
    assert failed.message.startswith("its first request failed: status 500: EngineCore encountered an issue")


# ---- bounds


def test_the_median_counts_and_is_reported(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.prober.speeds = (Speed(3.0, 10.0), Speed(0.3, 40.0), Speed(0.2, 50.0))
    gate = 'max_ttft = "500ms"\nmin_tokens_per_second = 30'
    assert world.apply(world.plan(stack(tmp_path, gate))).exit_code == 0
    assert world.prober.measured == 3


@pytest.mark.parametrize(
    ("gate", "message", "fix"),
    [
        (
            'max_ttft = "500ms"\nrequests = 5',
            "its first token takes 800ms, but gate.max_ttft is 500ms",
            'raise gate.max_ttft (such as "1200ms")',
        ),
        (
            "min_tokens_per_second = 20.0",
            "it generates 12.5 tokens a second, but gate.min_tokens_per_second is 20",
            "lower gate.min_tokens_per_second (below 12.5)",
        ),
        (
            'max_ttft = "1ms"\nmin_tokens_per_second = 20.0',
            "its first token takes 800ms, but gate.max_ttft is 1ms; it generates 12.5 tokens a second",
            'raise gate.max_ttft (such as "1200ms") and lower gate.min_tokens_per_second (below 12.5)',
        ),
    ],
)
def test_a_bound_that_is_missed_fails_with_the_figures_and_what_to_change(
    tmp_path: Path, gate: str, message: str, fix: str
) -> None:
    world = World("demo", "here")
    world.prober.speeds = (Speed(0.8, 12.5),)
    failed = failure(world.apply(world.plan(stack(tmp_path, gate))))
    assert message in failed.message
    assert "first token after 800ms" in failed.cause
    assert "12.5 tokens a second" in failed.cause
    assert fix in failed.fix
    assert world.prober.measured == (5 if "requests" in gate else 3)


def test_nothing_is_measured_without_a_bound(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path)))
    assert world.prober.measured == 0


@given(
    speeds=st.lists(st.builds(Speed, st.floats(0.001, 100), st.floats(0.01, 10_000)), min_size=1, max_size=9),
    ttft=st.none() | st.floats(0.001, 100),
    rate=st.none() | st.floats(0.01, 10_000),
)
def test_a_bound_is_missed_when_more_than_half_of_the_requests_miss_it(
    speeds: list[Speed], ttft: float | None, rate: float | None
) -> None:
    miss = missed(GatePolicy(max_ttft=ttft, min_tokens_per_second=rate), speeds)
    late = ttft is not None and median(s.first_token for s in speeds) > ttft
    slow = rate is not None and median(s.tokens_per_second for s in speeds) < rate
    assert (miss is not None) == (late or slow)
    if miss:
        assert ("max_ttft" in miss[0], "min_tokens_per_second" in miss[0]) == (late, slow)


def test_the_figures_of_one_request_have_no_range() -> None:
    assert figures([Speed(0.1, 20.0)]) == "first token after 100ms, 20.0 tokens a second, 1 request"


def test_a_rollback_is_not_measured_and_not_queried_as_another_kind_of_model(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path)))
    requests: list[str] = []

    def smoke(_endpoint: str, _key: str | None, task: str, *_: object) -> str:
        requests.append(task)
        raise ProbeFailed("status 404: The model does not support Embeddings API")

    world.prober.smoke = smoke  # type: ignore[assignment]
    result = world.apply(world.plan(stack(tmp_path, "smoke = { dimensions = 8 }", task='"embed"')))
    assert result.outcomes[0].fate is Fate.ROLLED_BACK
    assert requests == ["embed"]
    measured = World("demo", "here")
    measured.apply(measured.plan(stack(tmp_path)))
    measured.prober.speeds = (Speed(9.0, 1.0),)
    slow = stack(tmp_path, 'max_ttft = "1s"', model="[models.tiny.args]\nmax_model_len = 512\n")
    assert measured.apply(measured.plan(slow)).outcomes[0].fate is Fate.ROLLED_BACK
    assert measured.prober.measured == 3


def test_a_saved_plan_has_the_whole_gate(tmp_path: Path) -> None:
    gate = 'max_ttft = "1s500ms"\nmin_tokens_per_second = 20\nrequests = 7\nsmoke = { max_tokens = 2 }'
    plan = World("demo", "here").plan(stack(tmp_path, gate))
    again = plan_from_json(plan_to_json(plan))
    assert again == plan
    policy = again.changes[0].detail.policy.gate
    assert (policy.max_ttft, policy.min_tokens_per_second, policy.requests) == (1.5, 20.0, 7)
