"""The events of an apply as JSON lines: each is valid by the schema, and none contains a secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from cortexctl.apply.events import GateProbe, HookEnded, HookStarted, Progress
from cortexctl.apply.executor import Fate, Result
from cortexctl.cli.carry_out import carry_out
from cortexctl.cli.run_output import run_output
from cortexctl.desired.hook import Hook, Point
from cortexctl.errors import HookFailed, PlanStale
from cortexctl.hosts.fleet import Connections, DockerDaemons
from cortexctl.operations.apply import Applied
from cortexctl.operations.apply_options import ApplyOptions
from cortexctl.operations.run_log import NO_LOG, EventLines
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.plan.action import Action, ReasonCode
from cortexctl.plan.model import Plan
from cortexctl.plan.steps import TASK_KINDS
from cortexctl.render.apply.events_json import envelope, event_fields, plan_events, refused_event, result_events
from cortexctl.render.schemas import events_schema
from tests.fakes.container import FakeContainer
from tests.fakes.world import World
from tests.reading import desired_from, model_text, stack_text

SCHEMA: dict[str, Any] = json.loads(events_schema())
VALIDATOR = Draft202012Validator(SCHEMA)


def as_lines(plan: Plan, world: World, result: Result, since: int = 0) -> list[dict[str, Any]]:
    """All that `--events` would print, validated."""
    fields = [*plan_events(plan)]
    for event in world.events[since:]:
        fields += event_fields(event, plan)
    fields += result_events(result, 1.5, "cortexctl plan")
    lines = [json.loads(json.dumps(envelope(f, "run1", 1_700_000_000.25))) for f in fields]
    for line in lines:
        VALIDATOR.validate(line)
    return lines


def types(lines: Sequence[dict[str, Any]]) -> list[str]:
    return [f"{line['type']} {line['status']}" if "status" in line else line["type"] for line in lines]


def world_with(tmp_path: Path, length: int, world: World | None = None, more: str = "") -> tuple[World, Plan]:
    path = tmp_path / "stack.toml"
    text = model_text(secrets='{ HF_TOKEN = { env = "T" } }') + f"[models.tiny.args]\nmax_model_len = {length}\n" + more
    path.write_text(stack_text(text, hosts='[hosts.here]\nmodels_dir = "/m"\n'))
    world = world or World("demo", "here")
    world.secrets.values = {"T": "hf-planted"}
    return world, world.plan(desired_from(path, {"T": "hf-planted"}))


def test_it_is_a_schema_and_the_published_one(repo: Path) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert (repo / "schemas" / "events.schema.json").read_text() == events_schema()


def test_the_schema_has_every_value_of_each_enumeration() -> None:
    definitions = SCHEMA["$defs"]
    planned, result = definitions["planned_change"]["properties"], definitions["result"]["properties"]
    assert planned["action"]["enum"] == [a.value for a in Action]
    assert definitions["reason"]["properties"]["code"]["enum"] == [r.value for r in ReasonCode]
    assert definitions["outcome"]["properties"]["outcome"]["enum"] == [f.value for f in Fate]
    assert set(result["counts"]["properties"]) == {f.name.lower() for f in Fate}
    for kind in ("step_start", "step_done", "step_failed"):
        assert definitions[kind]["properties"]["kind"]["enum"] == list(TASK_KINDS)
    assert definitions["hook"]["properties"]["on"]["enum"] == [p.value for p in Point]


def test_a_rollout_from_its_plan_to_its_result(tmp_path: Path) -> None:
    world, plan = world_with(tmp_path, 1024)
    world.apply(plan)
    since = len(world.events)
    world, plan = world_with(tmp_path, 2048, world)
    lines = as_lines(plan, world, world.apply(plan), since)
    shown = [t for t in types(lines) if t not in {"progress", "gate_probe"}]
    assert shown[:2] == ["planned_change", "lock held"]
    assert shown[-2:] == ["lock released", "result"]
    assert [t for t in shown if t.startswith("drain")] == ["drain started", "drain done"]
    assert shown.count("step_start") == shown.count("step_done") == len(plan.steps)
    drain = next(line for line in lines if line["type"] == "drain")
    assert (drain["container"], drain["at_most_seconds"]) == ("vllm-model-tiny", 60)
    assert {line["host"] for line in lines[:-1]} == {"here"}
    assert {line["time"] for line in lines} == {"2023-11-14T22:13:20.250Z"}
    assert (lines[-1]["outcome"], lines[-1]["exit_code"], lines[-1]["counts"]["done"]) == ("done", 0, 1)


def test_a_failing_rollout_reports_the_cause_and_the_rollback(tmp_path: Path) -> None:
    world, plan = world_with(tmp_path, 1024)
    world.apply(plan)
    since = len(world.events)

    def crash(container: FakeContainer) -> None:
        if "4096" in container.command:
            container.state, container.exit_code = "exited", 1
            container.log += ("OSError: Repo id must be …: '/models/nope'", "my token is hf-planted")

    world.daemon().behaviours.append(crash)
    world, plan = world_with(tmp_path, 4096, world)
    lines = as_lines(plan, world, world.apply(plan), since)
    assert [t for t in types(lines) if t.startswith(("rollback", "step_failed"))] == [
        "step_failed", "rollback started", "rollback done",
    ]  # fmt: skip
    cause, result = lines[-2:]
    assert (cause["type"], cause["address"]) == ("diagnostic", "here/tiny")
    assert cause["detail"].startswith("the container has no model at /models/nope")
    assert "my token is ***" in cause["evidence"]
    assert (result["outcome"], result["exit_code"]) == ("failed", 1)
    assert result["changes"][0]["outcome"] == "rolled back"
    assert "hf-planted" not in json.dumps(lines)


def test_a_refused_apply_has_a_result_too() -> None:
    line = envelope(refused_event(PlanStale("it moved", next_step="plan again"), 0.1), "r", 0)
    VALIDATOR.validate(line)
    assert (line["outcome"], line["exit_code"], line["next"]) == ("refused", 4, "plan again")


def test_probes_progress_and_hooks_are_valid_by_the_schema(tmp_path: Path) -> None:
    _, plan = world_with(tmp_path, 1024)
    hook = Hook("drain", Point.PRE_STOP, ("./drain.sh",))
    failed = HookFailed("it failed", output=("a", "b"))
    events = (
        GateProbe("here/tiny", "health", False, "status 503", 1.23456),
        Progress("here/tiny", "loading weights", 3, 0.5),
        HookStarted(hook, "here/tiny", "here"),
        HookEnded(hook, 0.5, "here/tiny", "here"),
        HookEnded(hook, 0.5, "here/tiny", "here", failed.message, failed.output),
    )
    lines = [envelope(f, "r", 0) for e in events for f in event_fields(e, plan)]
    for line in lines:
        VALIDATOR.validate(json.loads(json.dumps(line)))
    assert types(lines) == ["gate_probe", "progress", "hook started", "hook done", "hook failed"]
    assert lines[0]["seconds"] == 1.235
    assert lines[-1]["output"] == ["a", "b"]


WRONG = {
    "no run": lambda line: line.pop("run"),
    "no seconds": lambda line: line.pop("seconds"),
    "a time of here": lambda line: line.update(time="2026-01-01 12:00"),
    "another major version": lambda line: line.update(format_version="2.0"),
    "a status that is none": lambda line: line.update(status="maybe"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_event_is_not_valid(name: str) -> None:
    fields = {"type": "lock", "host": "here", "status": "held"}
    line = envelope(fields, "r", 0)
    VALIDATOR.validate(line)
    WRONG[name](line)
    assert not VALIDATOR.is_valid(line)


def test_a_later_minor_version_may_add_fields_and_types() -> None:
    line = envelope({"type": "lock", "host": "here", "status": "held", "new": 1}, "r", 0)
    VALIDATOR.validate({**line, "format_version": "1.7"})
    VALIDATOR.validate({**line, "format_version": "1.7", "type": "sung"})


def test_a_reader_that_exits_or_never_reads_delays_nothing() -> None:
    for closed in (True, False):
        reading, writing = os.pipe()
        if closed:
            os.close(reading)
        lines = EventLines(writing)
        for _ in range(5000):  # more than a pipe holds
            lines.send({"type": "progress", "stage": "x" * 100})
        if not closed:
            got = os.read(reading, 100)
            assert got.startswith(b'{"type": "progress"')
            os.close(reading)
        lines.close()
        os.close(writing)


@pytest.mark.parametrize("fails", [False, True])
def test_the_exit_code_is_that_of_the_apply_even_if_the_reader_of_stdout_exits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, fails: bool
) -> None:
    world, plan = world_with(tmp_path, 1024)
    world.prober.smoke_fails |= {"vllm-model-tiny--g1"} if fails else set()
    reading, writing = os.pipe()
    os.close(reading)
    monkeypatch.setattr(sys, "stdout", os.fdopen(writing, "w"))
    monkeypatch.setattr("cortexctl.operations.apply._attempt", lambda *_, **_options: Applied(plan, world.apply(plan)))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with run_output("", NO_LOG) as output:
        daemons = DockerDaemons({}, "demo", Path(), Connections())
        code = carry_out(plan, daemons, choice=StackChoice(), approved=True, options=ApplyOptions(), output=output)
    sys.stdout.close()
    assert (code, bool(world.daemon().containers)) == ((1, False) if fails else (0, True))


def test_a_stack_that_cannot_be_read_is_a_result_on_stdout_and_text_on_stderr(tmp_path: Path) -> None:
    (tmp_path / "stack.toml").write_text("stack = 3\n")
    argv = [sys.executable, "-m", "cortexctl", "apply", str(tmp_path / "stack.toml"), "--events", "json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 1
    (line,) = [json.loads(text) for text in done.stdout.splitlines()]
    VALIDATOR.validate(line)
    assert (line["type"], line["outcome"], line["exit_code"]) == ("result", "failed", 1)
    assert "CX104" in done.stderr


def test_an_unwritable_file_of_events_is_an_error_before_any_step(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "cortexctl", "apply", "--events", str(tmp_path / "no" / "file")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 1
    assert "cannot write the events to" in done.stderr
