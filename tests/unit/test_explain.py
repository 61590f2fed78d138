"""The explanation of a failed gate, and its time: the old instance is restored before a log is read."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cortexctl.apply.events import GateProbe, RollbackEnded, RollbackStarted, StepDone, StepFailed
from cortexctl.apply.executor import Fate, Outcome, Result
from cortexctl.apply.gate.explain import explained
from cortexctl.desired.stack import Desired
from cortexctl.errors import DaemonRefused, DaemonUnreachable, GateFailed, ProbeFailed
from cortexctl.render.apply.events_json import event_fields, result_events
from cortexctl.render.apply.outcome import result_text
from cortexctl.render.apply.progress import event_line
from cortexctl.render.style import Ink
from tests.fakes.container import FakeContainer
from tests.fakes.world import World
from tests.reading import desired_from, model_text, stack_text

PLAIN = Ink(enabled=False)
OLD, NEW = "vllm-model-tiny", "vllm-model-tiny--g2"
SHORT = (
    "ValueError: To serve at least one request with the models's max seq len (16384), (2.00 GiB KV cache is needed, which "
    "is larger than the available KV cache memory (1.25 GiB)"
)
CAUSE = "the KV cache is too small for one request of max_model_len 16384"
LONG = "7" * 300_000


def stack(tmp_path: Path, length: int, more: str = "") -> Desired:
    path = tmp_path / "stack.toml"
    models = model_text() + f"[models.tiny.args]\nmax_model_len = {length}\n{more}"
    path.write_text(stack_text(models, hosts='[hosts.here]\nmodels_dir = "/m"\n'))
    return desired_from(path, {})


def crashes(*log: str) -> Any:
    def act(container: FakeContainer) -> None:
        if "2048" in container.command:
            container.state, container.exit_code = "exited", 1
            container.log += log

    return act


def replaced(tmp_path: Path, world: World) -> Result:
    """Replace the instance by a candidate with the behaviours of the world."""
    assert world.apply(world.plan(stack(tmp_path, 1024))).exit_code == 0
    world.events.clear()
    world.daemon().calls.clear()
    return world.apply(world.plan(stack(tmp_path, 2048)))


def only(result: Result) -> Outcome:
    (outcome,) = result.outcomes
    return outcome


def watched(world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls of the daemon, and among them the reads of logs and the diagnoses."""
    calls, read = world.daemon().calls, world.daemon().logs
    module = sys.modules["cortexctl.engines.vllm.diagnosis.diagnose"]
    diagnose = module.diagnose

    def logs(container: str, tail: int, *, this_run: bool = False) -> Sequence[str]:
        calls.append(f"logs {container}")
        return read(container, tail, this_run=this_run)

    def counted(log: Sequence[str]) -> Any:
        calls.append("diagnose")
        return diagnose(log)

    monkeypatch.setattr(world.daemon(), "logs", logs)
    monkeypatch.setattr(module, "diagnose", counted)
    return calls


def test_the_old_container_is_restored_before_a_log_is_diagnosed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World("demo", "here")
    world.daemon().behaviours.append(crashes(SHORT))
    calls = watched(world, monkeypatch)
    outcome = only(replaced(tmp_path, world))
    assert outcome.fate is Fate.ROLLED_BACK
    assert isinstance(outcome.failure, GateFailed)
    assert outcome.failure.cause.startswith(CAUSE)
    last_read = max(n for n, call in enumerate(calls) if call == f"logs {NEW}")
    removed = calls.index(f"remove {NEW}")
    restart = max(n for n, call in enumerate(calls) if call.startswith(("start ", "set_restart ", "rename ")))
    assert last_read < removed < restart < calls.index("diagnose")
    assert world.daemon().by_name(OLD).state == "running"


def test_events_and_texts_are_in_the_order_of_the_steps(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.daemon().behaviours.append(crashes(SHORT))
    result = replaced(tmp_path, world)
    events = [e for e in world.events if isinstance(e, StepFailed | RollbackStarted | RollbackEnded)]
    assert [type(e) for e in events] == [StepFailed, RollbackStarted, RollbackEnded]
    failed = event_line(events[0], PLAIN, {}, 9)
    assert failed.endswith("it exited with code 1")
    shown = result_text(result, 1.0, "", PLAIN, {})
    assert "it exited with code 1; vLLM's last error: ValueError: To serve at least one request" in shown
    assert f"cause  {CAUSE}" in shown
    assert "fix    set args.max_model_len" in shown


def test_a_diagnosis_with_a_bug_in_it_costs_no_more_than_the_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object, **__: object) -> None:
        raise RecursionError("a bug")

    monkeypatch.setattr("cortexctl.engines.vllm.diagnosis.diagnose.diagnose_end", breaks)
    world = World("demo", "here")
    world.daemon().behaviours.append(crashes(SHORT))
    result = replaced(tmp_path, world)
    assert only(result).fate is Fate.ROLLED_BACK
    assert only(result).rollback_problem == ""
    assert result.failures == ["here/tiny: it exited with code 1"]
    assert world.daemon().by_name(OLD).state == "running"


@pytest.mark.parametrize(
    "error",
    [
        DaemonUnreachable("here: the daemon at unix:///x does not return the log of vllm-model-tiny--g2"),
        DaemonRefused("here: cannot read the log of it: the logging driver does not support reading", status=501),
    ],
)
def test_a_log_that_cannot_be_read_is_a_note_and_keeps_nothing_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    world = World("demo", "here")
    world.daemon().behaviours.append(crashes())

    def refuses(*_: object, **__: object) -> Sequence[str]:
        raise error

    monkeypatch.setattr(world.daemon(), "logs", refuses)
    result = replaced(tmp_path, world)
    assert only(result).fate is Fate.ROLLED_BACK
    assert result.failures == [f"here/tiny: it exited with code 1; its log cannot be read: {error}"]
    assert world.daemon().by_name(OLD).state == "running"


def test_a_start_whose_log_cannot_be_read_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World("demo", "here")
    world.prober.unhealthy.add("vllm-model-tiny--g1")
    began, sleep = world.clock.at, world.clock.sleep

    def sleep_and_wake(duration: float) -> None:
        sleep(duration)
        if world.clock.at - began > 60:
            world.prober.unhealthy.clear()

    def refuses(*_: object, **__: object) -> Sequence[str]:
        raise DaemonUnreachable("here: it does not give the log")

    monkeypatch.setattr(world.clock, "sleep", sleep_and_wake)
    monkeypatch.setattr(world.daemon(), "logs", refuses)
    assert world.apply(world.plan(stack(tmp_path, 1024))).exit_code == 0
    monkeypatch.setattr(world.clock, "sleep", sleep)
    world.prober.unhealthy.add(NEW)
    gate = '[models.tiny.gate]\nstartup_timeout = "30s"\n'
    failure = only(world.apply(world.plan(stack(tmp_path, 2048, gate)))).failure
    assert isinstance(failure, GateFailed)
    assert failure.cause.startswith("its log cannot be read (here: it does not give the log); ")


def test_a_failed_rollback_is_explained_too(tmp_path: Path) -> None:
    world = World("demo", "here")
    assert world.apply(world.plan(stack(tmp_path, 1024))).exit_code == 0

    def all_crash(container: FakeContainer) -> None:
        container.state, container.exit_code = "exited", 1
        container.log.append("RuntimeError: no GPU any more")

    world.daemon().behaviours.append(all_crash)
    outcome = only(world.apply(world.plan(stack(tmp_path, 2048))))
    assert outcome.left_behind
    assert "exited with code 1; vLLM's last error: RuntimeError: no GPU any more" in outcome.rollback_problem


def test_the_cause_of_the_gate_stays_if_the_log_shows_none() -> None:
    failed = GateFailed("too slow", log=("INFO fine",), cause="it serves", fix="lower the bound")
    explanation = explained(failed)
    assert isinstance(explanation, GateFailed)
    assert (explanation.message, explanation.cause, explanation.fix) == ("too slow", "it serves", "lower the bound")
    assert explanation.log == failed.log
    other = DaemonRefused("no")
    assert explained(other) is other


# ---- a text of a server is cut to a readable length


def texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [t for v in value.values() for t in texts(v)]
    if isinstance(value, list | tuple):
        return [t for v in value for t in texts(v)]
    return []


def shown(world: World, result: Result, plan: Any) -> list[str]:
    """Every text of a run that people and pipelines receive."""
    own = [getattr(e, f.name) for e in world.events for f in dataclasses.fields(e)]
    as_json = [fields for e in world.events for fields in event_fields(e, plan)]
    lines = [event_line(e, PLAIN, {}, 9) for e in world.events]
    ended = [*result_events(result, 1.0, ""), result_text(result, 1.0, "", PLAIN, {})]
    return texts([*own, *as_json, *lines, *ended])


@pytest.mark.parametrize("where", ["smoke", "refused", "names", "log", "health"])
def test_a_text_of_a_server_is_cut_in_every_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    world = World("demo", "here")

    def refuses(*_: object) -> str:
        raise ProbeFailed(f"status 500: {LONG}")

    match where:
        case "smoke":
            monkeypatch.setattr(world.prober, "smoke", lambda *_: f"{LONG} tokens")
        case "refused":
            monkeypatch.setattr(world.prober, "smoke", refuses)
        case "names":
            world.prober.wrong_names["vllm-model-tiny--g1"] = [LONG]
        case "log":
            world.daemon().behaviours.append(crashes(f"ValueError: {LONG}"))
        case "health":
            monkeypatch.setattr(world.prober, "health", lambda _: LONG)
    plan = world.plan(stack(tmp_path, 2048, '[models.tiny.gate]\nstartup_timeout = "5s"\n'))
    result = world.apply(plan)
    assert (result.exit_code == 0) == (where == "smoke")
    outputs = shown(world, result, plan)
    assert any("cut" in text for text in outputs)
    assert max(map(len, outputs)) <= 10_000
    assert sum(map(len, outputs)) < 300_000
    json.dumps(outputs)
    details = [e.detail for e in world.events if isinstance(e, GateProbe)]
    notes = [e.note for e in world.events if isinstance(e, StepDone)]
    assert max(map(len, [*details, *notes, *result.failures])) <= 2_100
