"""The record of a host after an apply, and its use by the next plan."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cortexctl.errors import DaemonRefused
from cortexctl.observed import record as record_module
from cortexctl.observed.observation import Observed
from cortexctl.observed.record import (
    REMEMBERED,
    Applied,
    HostRecord,
    RecordEncoder,
    Start,
    record_from_label,
    record_to_label,
)
from cortexctl.plan.action import Action, ReasonCode
from cortexctl.plan.drift.finding import Code
from cortexctl.plan.drift.report import find_drift
from cortexctl.plan.model import Plan
from cortexctl.plan.request import Request
from cortexctl.plan.rollback import RollbackTarget, plan_rollback
from cortexctl.render.plan.phrases import cost_text
from tests.applying import crash, stack, with_length
from tests.fakes.container import FakeContainer
from tests.fakes.faults import ALWAYS
from tests.fakes.killed import killed_after
from tests.fakes.world import World
from tests.reading import model_text
from tests.specs import new_spec

NAMES = ("stopped", "removed", "renamed", "cut")
SPEC = new_spec("image:v0.32.0", "/models/tiny", ("tiny",), args={"max_model_len": 8})


def recorded(world: World, host: str = "here") -> HostRecord:
    return world.daemon(host).read_record(world.stack)


def test_a_record_reads_back_as_it_was_written() -> None:
    applied = Applied("tiny", 2, 3, "run7", SPEC, (Start(31.5, "/models/tiny"),), (2.0,), (1.2, 3.0))
    record = HostRecord("here", {"here/tiny.2": applied})
    assert record_from_label("here", record_to_label(record)) == record


def test_an_entry_that_stays_the_same_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[str] = []
    to_dict = record_module._to_dict

    def noted(applied: Applied) -> dict[str, Any]:
        encoded.append(applied.model)
        return to_dict(applied)

    monkeypatch.setattr(record_module, "_to_dict", noted)
    encoder, one, two = RecordEncoder(), *(Applied(name, 1, 1, "run1", SPEC) for name in ("one", "two"))
    encoder.label(HostRecord("here", {"here/one": one}))
    both = HostRecord("here", {"here/two": two, "here/one": one})
    text = encoder.label(both)
    assert encoded == ["one", "two"]
    assert text == record_to_label(both)
    assert record_from_label("here", text) == both
    again = replace(one, generation=2)
    assert encoder.label(HostRecord("here", {"here/one": again})) == record_to_label(
        HostRecord("here", {"here/one": again})
    )


@pytest.mark.parametrize(
    "text", ["", "null", "[]", '{"v":2,"applied":[]}', '{"v":1}', '{"v":1,"applied":[{}]}', "[" * 9999]
)
def test_an_unreadable_record_counts_as_none(text: str) -> None:
    assert record_from_label("here", text) == HostRecord("here")


def test_an_apply_records_the_applied_specs_and_its_durations(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, with_length(1024))))
    applied = recorded(world).applied["here/tiny"]
    assert (applied.generation, applied.run, applied.spec.server.args) == (1, "run1", {"max_model_len": 1024})
    assert [s.model for s in applied.starts] == ["/models/tiny"]
    assert applied.starts[0].seconds >= 5  # the gate's stable_for is part of it
    assert applied.stops == ()


def test_a_replacement_expects_the_measured_time_and_never_guesses(tmp_path: Path) -> None:
    world = World("demo", "here")
    first = world.plan(stack(tmp_path, with_length(1024)))
    assert cost_text(first.changes[0]) == "ready in at most 20m without progress"
    world.apply(first)
    (change,) = world.plan(stack(tmp_path, with_length(2048))).changes
    assert (change.cost.starts, change.cost.stops) == (1, 0)
    assert cost_text(change).startswith(
        f"down about {change.cost.expected}s plus the time to stop (1 past start), at most"
    )
    world.apply(world.plan(stack(tmp_path, with_length(2048))))
    (change,) = world.plan(stack(tmp_path, with_length(4096))).changes
    assert (change.cost.starts, change.cost.stops) == (2, 1)
    assert "plus the time to stop" not in cost_text(change)
    world.daemon().records.clear()
    (change,) = world.plan(stack(tmp_path, with_length(4096))).changes
    assert change.cost.expected is None
    assert "unknown: no past start is recorded" in cost_text(change)


def test_starts_of_other_weights_say_nothing(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, model_text())))
    (change,) = world.plan(stack(tmp_path, model_text(source='{ path = "much-larger" }'))).changes
    assert (change.action, change.cost.expected) == (Action.REPLACE, None)


def test_an_apply_records_the_rate_at_which_a_start_read_its_weights(tmp_path: Path) -> None:
    world = World("demo", "here")

    def slow(container: FakeContainer) -> None:
        world.prober.unhealthy.add(container.name)
        container.log += ["Loading weights took 6.00 seconds", "Model loading took 15.0 GiB memory and 9.1 seconds"]

    def healthy(duration: float) -> None:
        sleep(duration)
        if world.clock.at > began + 20:
            world.prober.unhealthy.clear()

    sleep, began = world.clock.sleep, world.clock.at
    world.clock.sleep = healthy  # type: ignore[method-assign]
    world.daemon().behaviours.append(slow)
    world.apply(world.plan(stack(tmp_path, with_length(1024))))
    assert recorded(world).applied["here/tiny"].rates == (2.5,)
    assert recorded(world).rates == (2.5,)
    world.apply(world.plan(stack(tmp_path, with_length(2048))))
    assert recorded(world).rates == (2.5,)


@pytest.mark.parametrize("rate", ["0", "-1", "1e9", "true", '"1"', "NaN"])
def test_a_rate_that_no_disk_has_makes_a_record_unreadable(rate: str) -> None:
    applied = Applied("tiny", 1, 3, "run7", SPEC, rates=(2.5,))
    label = record_to_label(HostRecord("here", {"here/tiny": applied}))
    assert record_from_label("here", label.replace("2.5", rate)) == HostRecord("here")


def test_a_record_of_an_earlier_release_has_no_rates() -> None:
    record = HostRecord("here", {"here/tiny": Applied("tiny", 1, 3, "run7", SPEC)})
    assert '"rates"' not in record_to_label(record)
    assert record_from_label("here", record_to_label(record)).rates == ()


def test_only_the_last_starts_are_remembered(tmp_path: Path) -> None:
    world = World("demo", "here")
    for length in range(1, REMEMBERED + 4):
        world.apply(world.plan(stack(tmp_path, with_length(length))))
    applied = recorded(world).applied["here/tiny"]
    assert len(applied.starts) == len(applied.stops) == REMEMBERED


def test_a_start_and_a_restart_count_and_a_failed_one_does_not(tmp_path: Path) -> None:
    world = World("demo", "here")
    desired = stack(tmp_path, model_text())
    world.apply(world.plan(desired))
    world.daemon().by_name("vllm-model-tiny").state = "exited"
    world.apply(world.plan(desired))
    world.apply(world.plan(desired, Request(restart=("tiny",))))
    applied = recorded(world).applied["here/tiny"]
    assert (len(applied.starts), len(applied.stops)) == (3, 1)
    world.daemon().behaviours.append(crash())
    world.apply(world.plan(stack(tmp_path, with_length(7))))
    assert recorded(world).applied["here/tiny"] == applied


def test_a_removed_model_leaves_the_record_and_a_moved_one_keeps_its_entry(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, model_text(), model_text("other"))))
    was = recorded(world).applied["here/tiny"]
    moved = 'moved = [{ from = "tiny", to = "small" }]\n'
    text = moved + model_text("small", source='{ path = "tiny" }')
    path = tmp_path / "stack.toml"
    path.write_text('stack = "demo"\n' + moved + '[hosts.here]\nmodels_dir = "/m"\n\n' + text.removeprefix(moved))
    from tests.reading import desired_from

    desired = desired_from(path)
    world.apply(world.plan(desired))
    applied = recorded(world).applied
    assert set(applied) == {"here/small"}
    assert (applied["here/small"].starts, applied["here/small"].generation) == (was.starts, 1)
    assert world.plan(desired).effective == ()


def test_destroy_leaves_no_record(tmp_path: Path) -> None:
    world = World("demo", "here")
    desired = stack(tmp_path, model_text())
    world.apply(world.plan(desired))
    world.apply(world.plan(desired, destroy=True))
    assert world.daemon().records == {}


def test_a_partial_apply_keeps_the_record_of_other_models(tmp_path: Path) -> None:
    world = World("demo", "here")
    desired = stack(tmp_path, with_length(8), model_text("other"))
    world.apply(world.plan(desired))
    changed = stack(tmp_path, with_length(9), model_text("other"))
    world.apply(world.plan(changed, Request(target=("tiny",))))
    assert set(recorded(world).applied) == {"here/tiny", "here/other"}


def test_a_record_that_was_lost_is_filled_in_by_the_next_apply(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, with_length(8), model_text("other"))))
    world.daemon().records.clear()
    world.apply(world.plan(stack(tmp_path, with_length(9), model_text("other"))))
    applied = recorded(world).applied
    assert set(applied) == {"here/tiny", "here/other"}
    assert applied["here/other"].starts == ()


@pytest.mark.parametrize("what", ["settle_record", "read_record", "write_record"])
def test_the_record_is_written_although_the_daemon_refuses_once(tmp_path: Path, what: str) -> None:
    """Otherwise the record would be older than the serving container."""
    world = World("demo", "here")
    assert world.apply(world.plan(stack(tmp_path, with_length(1024)))).exit_code == 0
    usual = getattr(world.daemon(), what)
    refusals = iter([True])

    def once(*arguments: object) -> object:
        if next(refusals, False):
            raise DaemonRefused("busy", status=500)
        return usual(*arguments)

    plan = world.plan(stack(tmp_path, with_length(2048)))
    setattr(world.daemon(), what, once)
    assert world.apply(plan).exit_code == 0
    applied = world.daemon().read_record("demo").applied
    assert [a.generation for a in applied.values()] == [2]
    assert next(refusals, False) is False


def test_a_record_that_cannot_be_written_fails_nothing(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.daemon().faults.fail("write_record", times=ALWAYS, error=DaemonRefused("no space left on device", status=500))
    assert world.apply(world.plan(stack(tmp_path, model_text()))).exit_code == 0


def test_a_removed_container_is_created_as_the_next_generation(tmp_path: Path) -> None:
    world = World("demo", "here")
    desired = stack(tmp_path, model_text())
    world.apply(world.plan(desired))
    world.daemon().containers.clear()
    (change,) = world.plan(desired).changes
    assert (change.action, change.reasons[0].code, change.reasons[0].detail) == (Action.CREATE, ReasonCode.GONE, "run1")
    assert change.detail.generation == 2


def test_only_drift_restores_the_applied_specs_and_nothing_else(tmp_path: Path) -> None:
    """Every kind of drift at once, beside pending changes of the stack."""
    world = World("demo", "here")
    was = [
        with_length(8),
        model_text("limited", memory='"1 GiB"'),
        *(model_text(n) for n in NAMES),
        model_text("leaves"),
    ]
    world.apply(world.plan(stack(tmp_path, *was)))
    here = world.daemon()
    here.by_name("vllm-model-limited").memory = 4096
    here.by_name("vllm-model-stopped").state = "exited"
    here.remove("vllm-model-removed")
    here.by_name("vllm-model-renamed").name = "somebody"
    here.by_name("vllm-model-cut").networks.clear()
    now = [
        with_length(16),
        model_text("limited", memory='"1 GiB"', shm_size='"3 GiB"'),
        *(model_text(n, shm_size='"3 GiB"') for n in (*NAMES, "new")),
    ]
    desired = stack(tmp_path, *now)
    plan = world.plan(desired, Request(only="drift"))
    assert {c.model: c.action for c in plan.effective} == {
        "stopped": Action.START,
        "removed": Action.CREATE,
        "renamed": Action.MOVE,
        "cut": Action.UPDATE,
        "limited": Action.UPDATE,
    }
    assert world.apply(plan).exit_code == 0
    assert world.plan(desired, Request(only="drift")).effective == ()
    as_before = world.plan(stack(tmp_path, *was))
    assert [(c.model, [f.path for f in c.fields]) for c in as_before.effective] == []
    pending = {c.model: c.action for c in world.plan(desired).effective}
    assert pending.pop("new") is Action.CREATE
    assert pending.pop("leaves") is Action.REMOVE
    assert set(pending.values()) == {Action.REPLACE}


def test_only_drift_reverts_a_limit_but_not_one_that_was_applied_meanwhile(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, model_text(memory='"1 GiB"'))))
    world.apply(world.plan(stack(tmp_path, model_text(memory='"2 GiB"'))))
    desired = stack(tmp_path, model_text(memory='"2 GiB"'))
    assert world.plan(desired, Request(only="drift")).effective == ()
    world.daemon().by_name("vllm-model-tiny").memory = 3 * 2**30
    (change,) = world.plan(desired, Request(only="drift")).effective
    assert [(f.path, f.before) for f in change.fields] == [("memory", 3 * 2**30)]


def killed_at_its_last_record(world: World, plan: Plan) -> None:
    """A run that is killed just before it writes the record for the last time."""
    duplicate = World("demo", "here")
    duplicate.daemon().containers = copy.deepcopy(world.daemon().containers)
    duplicate.daemon().records = dict(world.daemon().records)
    duplicate.apply(plan)
    assert duplicate.daemon().calls[-1].startswith("write_record")
    with killed_after(world, len(duplicate.daemon().calls) - 1):
        world.apply(plan)


def length_of(world: World, name: str = "vllm-model-tiny") -> str:
    command = world.daemon().by_name(name).command
    return command[command.index("--max-model-len") + 1]


def two(first: int, second: int) -> list[str]:
    return [
        with_length(first),
        model_text("other") + f"[models.other.args]\nmax_model_len = {second}\n\n",
    ]


@pytest.mark.parametrize("killed", [*range(3, 22), None])
def test_only_drift_restores_what_a_killed_run_had_applied(tmp_path: Path, killed: int | None) -> None:
    """The run is killed at any call while two models are replaced. It is repeated, and then each is removed by hand."""
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, *two(1, 1))))
    desired = stack(tmp_path, *two(2, 2))
    with killed_after(world, killed):
        world.apply(world.plan(desired))
    repeated = world.plan(desired)
    if repeated.effective:
        assert world.apply(repeated).exit_code == 0
    for name in ("vllm-model-tiny", "vllm-model-other"):
        world.daemon().remove(name)
        plan = world.plan(desired, Request(only="drift"))
        assert [r.code for c in plan.effective for r in c.reasons] == [ReasonCode.GONE]
        assert world.apply(plan).exit_code == 0
        assert length_of(world, name) == "2"
    assert "vllm-model-tiny--g1" in {c.name for c in world.daemon().all()}


def test_only_drift_restores_the_last_spec_although_the_killed_run_was_never_repeated(tmp_path: Path) -> None:
    """The run is killed just before its last record: the next plan is empty, so no other run writes one."""
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, with_length(1))))
    desired = stack(tmp_path, with_length(2))
    killed_at_its_last_record(world, world.plan(desired))
    assert world.plan(desired).effective == ()
    assert find_drift(desired, seen_with_records(world)).findings == ()
    world.daemon().remove("vllm-model-tiny")
    (finding,) = find_drift(desired, seen_with_records(world)).findings
    assert (finding.code, finding.path) == (Code.REMOVED, "container")
    assert world.apply(world.plan(desired, Request(only="drift"))).exit_code == 0
    assert length_of(world) == "2"


def test_the_labels_of_serving_containers_correct_a_stale_record(tmp_path: Path) -> None:
    """The record of an earlier release, which did not record killed runs."""
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, *two(1, 1))))
    old = world.daemon().records["demo"]
    world.apply(world.plan(stack(tmp_path, *two(2, 1))))
    world.daemon().records["demo"] = old
    desired = stack(tmp_path, *two(2, 2))
    world.apply(world.plan(desired))
    applied = recorded(world).applied["here/tiny"]
    assert (applied.generation, applied.run, applied.spec.server.args) == (2, "run2", {"max_model_len": 2})
    world.daemon().remove("vllm-model-tiny")
    world.apply(world.plan(desired, Request(only="drift")))
    assert length_of(world) == "2"


def test_a_retained_generation_is_never_continued_although_it_has_the_desired_spec(tmp_path: Path) -> None:
    """The stack changed to another text and back: the first container is retained, and not a candidate."""
    world = World("demo", "here")
    for length in (1, 2, 1):
        world.apply(world.plan(stack(tmp_path, with_length(length))))
    world.daemon().remove("vllm-model-tiny")
    desired = stack(tmp_path, with_length(1))
    for request in (Request(only="drift"), Request()):
        (change,) = world.plan(desired, request).effective
        assert (change.action, change.detail.candidate, change.detail.generation) == (Action.CREATE, None, 4)
        assert [r.code for r in change.reasons] == [ReasonCode.GONE]
    assert world.apply(world.plan(desired, Request(only="drift"))).exit_code == 0
    assert {"vllm-model-tiny--g1", "vllm-model-tiny--g2"} <= {c.name for c in world.daemon().all()}


def test_drift_reports_no_retained_generation_as_unfinished(tmp_path: Path) -> None:
    world = World("demo", "here")
    for length in (1, 2):
        world.apply(world.plan(stack(tmp_path, with_length(length))))
    world.daemon().remove("vllm-model-tiny")
    findings = find_drift(stack(tmp_path, with_length(2)), seen_with_records(world)).findings
    assert [(f.code, f.container) for f in findings] == [(Code.REMOVED, "")]


@pytest.mark.parametrize("calls", range(2, 10))
def test_a_killed_rollback_is_continued_and_takes_no_second_container(tmp_path: Path, calls: int) -> None:
    """The container that it started holds the port and the GPUs: another of the same spec could not start beside it."""
    world = World("demo", "here")
    for length in (1, 2):
        world.apply(world.plan(stack(tmp_path, with_length(length))))
    first = stack(tmp_path, with_length(1))
    with killed_after(world, calls):
        world.apply(plan_rollback(first, world.observe(), RollbackTarget("here/tiny")))
    runs = [c.name for c in world.daemon().all() if c.state == "running"]
    plan = world.plan(first)
    if runs == ["vllm-model-tiny--g1"]:
        assert [(c.action, c.detail.generation) for c in plan.effective if c.action is Action.REPLACE] in (
            [(Action.REPLACE, 1)],
            [],
        )
    assert world.apply(plan).exit_code == 0 if plan.effective else True
    assert length_of(world) == "1"
    assert len([c for c in world.daemon().all() if c.state == "running"]) == 1
    assert find_drift(first, seen_with_records(world)).findings == ()


def test_a_container_that_a_killed_run_removed_is_not_created_again(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, *two(1, 1))))
    plan = world.plan(stack(tmp_path, with_length(1)))
    with killed_after(world, len(plan.steps) + 1):
        world.apply(plan)
    assert [c.name for c in world.daemon().all()] == ["vllm-model-tiny"]
    assert world.plan(stack(tmp_path, *two(1, 1)), Request(only="drift")).effective == ()


def test_settings_that_a_killed_run_changed_in_place_are_the_applied_ones(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, model_text(memory='"1 GiB"'))))
    plan = world.plan(stack(tmp_path, model_text(memory='"2 GiB"')))
    with killed_after(world, len(plan.steps) + 1):
        world.apply(plan)
    assert world.daemon().by_name("vllm-model-tiny").memory == 2 * 2**30
    later = stack(tmp_path, model_text(memory='"3 GiB"'))
    assert world.plan(later, Request(only="drift")).effective == ()


def test_a_record_that_went_ahead_of_a_killed_run_reads_back() -> None:
    record = HostRecord("here", {"here/tiny": Applied("tiny", 1, 3, "run7", SPEC, over=2)})
    assert record_from_label("here", record_to_label(record)) == record
    assert '"over"' not in record_to_label(HostRecord("here", {"here/tiny": Applied("tiny", 1, 3, "run7", SPEC)}))


def test_a_run_whose_lock_was_released_writes_no_record_over_another_ones(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, with_length(1))))
    before = world.daemon().records["demo"]
    world.daemon().behaviours.append(lambda _c: world.daemon().release_lock("demo"))
    result = world.apply(world.plan(stack(tmp_path, with_length(2))))
    assert result.exit_code != 0
    assert world.daemon().records["demo"] == before


def seen_with_records(world: World) -> Observed:
    return replace(world.observe(), records={"here": recorded(world)})
