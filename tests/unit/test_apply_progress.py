"""The progress of an apply: how much is done, for how long it has been running, and how long the rest takes."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from cortexctl.apply.events import (
    Event,
    HookEnded,
    HookStarted,
    Progress,
    RollbackEnded,
    RollbackStarted,
    StepDone,
    StepFailed,
    StepStarted,
)
from cortexctl.desired.hook import Hook, Point
from cortexctl.plan.action import Action
from cortexctl.plan.model import Change, Plan
from cortexctl.plan.pace import TimeLeft, paces
from cortexctl.plan.steps import PassGate, Pause, PullImage, StartContainer, Step, Task
from cortexctl.reach import Reach
from cortexctl.render.apply.progress import LiveProgress, PlainProgress
from cortexctl.render.apply.totals import Totals
from cortexctl.render.style import Ink
from cortexctl.text.units import about
from tests.applying import stack
from tests.fakes.world import World
from tests.next_commands import command_line
from tests.reading import model_text
from tests.screen import Screen, real_terminal, shown
from tests.waiting import wait_until

FOUR = ("chat", "embed", "rerank", "vision")
PLAIN = Ink(enabled=False)


def plan_of(folder: Path, names: Sequence[str] = FOUR, past: int | None = 120, limit: int = 2) -> Plan:
    """The creation of these models on one host, each with this number of seconds for past starts."""
    world = World("demo", "here")
    plan = world.plan(stack(folder, "".join(map(model_text, names))))
    changes = tuple(replace(c, cost=replace(c.cost, expected=past)) for c in plan.changes)
    return replace(plan, changes=changes, parallel_starts=limit)


class Run:
    """The progress of a plan on a terminal, with a clock that the test sets."""

    def __init__(self, plan: Plan, columns: int = 100) -> None:
        self.plan, self.now, self.screen = plan, 0.0, Screen(columns)
        lines = self.screen.lines()
        limits = {c.address: 1200 for c in plan.effective}
        width = max(len(s.address or s.host) for s in plan.steps)
        write, clock = self.screen.funnel(lines).write, lambda: self.now
        totals = Totals(plan, clock)
        self.live = LiveProgress(lines, write, PLAIN, plan.container_names, width, totals, clock, limits)

    def step(self, name: str, kind: type[Task]) -> Step:
        return next(s for s in self.plan.steps if s.address == f"here/{name}" and isinstance(s.task, kind))

    def starts(self, name: str, kind: type[Task]) -> None:
        self.live(StepStarted(self.step(name, kind)))

    def ends(self, name: str) -> None:
        """Every step of a change is done."""
        for step in self.plan.steps:
            if step.address == f"here/{name}":
                self.live(StepStarted(step))
                self.live(StepDone(step, 1.0))

    def lines(self, rows: int = 23) -> list[str]:
        """What is drawn now."""
        return [*self.live.lines(os.terminal_size((self.screen.size.columns - 3, rows)))]


def test_each_instance_has_a_line_and_the_last_one_shows_the_whole(tmp_path: Path) -> None:
    run = Run(plan_of(tmp_path))
    run.starts("chat", StartContainer)
    assert run.lines() == [], "nothing in the first second"
    run.now = 1
    assert run.lines() == [
        "[here/chat]    ..   start vllm-model-chat--g1   1s of about 2m",
        "0 of 4 changes done, 1 running   1s, about 4m left",
    ]
    run.live(StepDone(run.step("chat", StartContainer), 0.4))
    run.starts("chat", PassGate)
    run.now = 34
    run.starts("embed", StartContainer)
    run.live(Progress("here/chat", "loading weights 62%", 33.0, 0.62))
    assert run.lines() == [
        "[here/chat]    ..   gate   loading weights 62%  ###############.........   34s of about 2m",
        "[here/embed]   ..   start vllm-model-embed--g1   0s of about 2m",
        "0 of 4 changes done, 2 running   34s, about 4m left",
    ]
    run.now = 120
    run.ends("chat")
    run.ends("embed")
    assert run.lines() == ["2 of 4 changes done   2m, about 2m left"]
    run.now = 250
    run.ends("rerank")
    run.ends("vision")
    assert run.lines() == ["4 of 4 changes done   4m10s"]


def test_a_start_that_takes_longer_than_before_is_not_hidden(tmp_path: Path) -> None:
    run = Run(plan_of(tmp_path, ["chat"]))
    run.starts("chat", StartContainer)
    run.now = 200
    assert run.lines() == [
        "[here/chat]  ..   start vllm-model-chat--g1   3m20s of about 2m",
        "0 of 1 change done, 1 running   3m20s",
    ]


def test_without_past_starts_there_is_a_bound_and_no_estimate(tmp_path: Path) -> None:
    run = Run(plan_of(tmp_path, ["chat"], past=None))
    run.starts("chat", PassGate)
    run.now = 34
    assert run.lines() == [
        "[here/chat]  ..   gate vllm-model-chat--g1   34s, at most 20m without progress",
        "0 of 1 change done, 1 running   34s",
    ]


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (120, "[here/chat]  ..   gate   loading weights 50%  ############............   34s, at most 20m without progress"),
        (80, "[here/chat]  ..   gate   loading weights 50%  ############............   34s"),
        (60, "[here/chat]  ..   gate   loading weights 50%   34s"),
        (42, "[here/chat]  ..   gate   loadi...   34s"),
    ],
)  # fmt: skip
def test_in_a_narrow_window_the_clock_stays(columns: int, line: str, tmp_path: Path) -> None:
    run = Run(plan_of(tmp_path, ["chat"], past=None), columns)
    run.starts("chat", PassGate)
    run.live(Progress("here/chat", "loading weights 50%", 33.0, 0.5))
    run.now = 34
    assert run.lines()[0] == line


def test_a_low_window_shows_the_whole_in_any_case(tmp_path: Path) -> None:
    run = Run(plan_of(tmp_path))
    for name in FOUR:
        run.starts(name, PassGate)
    run.now = 34
    assert [line.partition("  ")[0] for line in run.lines(3)] == ["[here/chat]", "[here/embed]", "0 of 4 changes done, 4 running"]  # fmt: skip
    assert run.lines(1) == ["0 of 4 changes done, 4 running   34s, about 4m left"]


def test_a_failure_ends_the_estimate_and_its_undoing_is_shown(tmp_path: Path) -> None:
    run = Run(plan_of(tmp_path))
    change = run.plan.effective[0]
    run.starts("chat", StartContainer)
    run.starts("chat", PassGate)
    run.now = 60
    run.live(StepFailed(run.step("chat", PassGate), 60.0, "exited 1"))
    run.live(RollbackStarted(change))
    run.live(Progress(change.address, "loading weights", 0.0))
    run.now = 65
    assert run.lines() == [
        "[here/chat]    ..   gate   loading weights   5s",
        "0 of 4 changes done, 1 failed   1m05s",
    ]
    run.live(RollbackEnded(change))
    assert run.lines() == ["0 of 4 changes done, 1 failed   1m05s"]


def test_steps_of_a_host_have_a_line_each_and_so_have_hooks(tmp_path: Path) -> None:
    run = Run(plan_of(tmp_path))
    pulls = [Step(f"pull-{n}", "here", "", (), PullImage(f"image:{n}", "sha256:1")) for n in range(2)]
    hook = Hook("mail", Point.PRE_APPLY)
    started: list[Event] = [*map(StepStarted, pulls), HookStarted(hook)]
    for event in started:
        run.live(event)
    run.now = 34
    assert [" ".join(line.split()) for line in run.lines()] == [
        "[here] .. pull image:0 34s",
        "[here] .. pull image:1 34s",
        "[pre_apply] .. hook pre_apply mail 34s, killed after 30s",
        "0 of 4 changes done 34s, about 4m left",
    ]
    ended: list[Event] = [*(StepDone(p, 1.0) for p in pulls), HookEnded(hook, 1.0)]
    for event in ended:
        run.live(event)
    assert run.lines() == ["0 of 4 changes done   34s, about 4m left"]


def written(plan: Plan, events: Sequence[Event]) -> list[str]:
    """The lines in a file, at 80 seconds."""
    out, seconds = io.StringIO(), iter([0.0])
    progress = PlainProgress(out, PLAIN, plan.container_names, 11, Totals(plan, lambda: next(seconds, 80.0)))
    with progress:
        for event in events:
            progress(event)
    return out.getvalue().splitlines()


def test_in_a_file_every_change_ends_with_the_share_that_is_done(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    lines = written(plan, [StepDone(step, 1.0) for step in plan.steps])
    assert [line for line in lines if "  done " in line] == [
        f"[here/{name}]{' ' * (6 - len(name))}  done {n} of 4 changes   1m20s"
        for n, name in enumerate(FOUR, 1)
    ]  # fmt: skip
    alone = plan_of(tmp_path, ["chat"])
    assert not [line for line in written(alone, [StepDone(step, 1.0) for step in alone.steps]) if "  done " in line]


def apply_on_a_terminal(folder: Path, *options: str) -> str:
    """What was written to a terminal by the apply of one model, whose server answers once its gate is visible."""
    world = World("demo", "here")
    stack(folder, model_text())
    with command_line(world, folder, {}) as line, real_terminal() as terminal:
        healthy = world.prober.health

        def health(reach: Reach) -> str:
            wait_until(lambda: "1 running" in terminal.written() or "--events" in options)
            return healthy(reach)

        world.prober.health = health  # type: ignore[method-assign]
        assert terminal.run("apply", "--auto-approve", *options) == 0
        assert line.plans
        return terminal.written()


def test_an_apply_draws_its_work_and_in_the_end_only_results_are_left(tmp_path: Path) -> None:
    written = apply_on_a_terminal(tmp_path)
    assert "0 of 1 change done, 1 running" in written
    left = shown(written, 80)
    assert "change done" not in left
    assert "  ..  " not in left
    assert "passed its gate" in left
    assert "Done   1 created   in " in left


def test_an_apply_with_events_draws_nothing(tmp_path: Path) -> None:
    written = apply_on_a_terminal(tmp_path, "--events", "json")
    assert '"type":"result"' in written.replace(" ", "")
    assert "\x1b[J" not in written
    assert "change done" not in written


# the time that the rest takes


def left(plan: Plan, ended: Sequence[str] = (), elapsed: Mapping[str, float] | None = None) -> int | None:
    """Seconds, on the host of the plan."""
    by_place = {("here", f"here/{name}"): seconds for name, seconds in (elapsed or {}).items()}
    return TimeLeft(plan).after([("here", f"here/{name}") for name in ended], by_place)


def test_the_rest_is_the_longest_way_through_the_changes_that_have_not_ended(tmp_path: Path) -> None:
    four = plan_of(tmp_path)
    assert left(four) == 235, "two at a time"
    assert left(replace(four, parallel_starts=4)) == 120
    assert left(replace(four, parallel_starts=1)) == 465
    assert left(four, ["chat", "embed"], {"rerank": 50.0}) == 120
    assert left(four, ["chat", "embed", "vision"], {"rerank": 50.0}) == 70
    assert left(four, ["chat", "embed", "vision"], {"rerank": 500.0}) == 0
    assert left(four, FOUR) == 0


@pytest.mark.parametrize(("stable_for", "seconds"), [(0, 480), (5, 465), (60, 300), (119, 123), (120, 120), (600, 120)])
def test_the_time_in_which_a_new_server_is_only_watched_passes_beside_other_starts(
    tmp_path: Path, stable_for: int, seconds: int
) -> None:
    plan = watched_for(plan_of(tmp_path, limit=1), stable_for)
    assert left(plan) == seconds
    assert paces(plan)["here"].expected == (seconds, seconds), "the plan shows the same"


def test_a_watched_server_that_runs_has_left_its_turn(tmp_path: Path) -> None:
    plan = watched_for(plan_of(tmp_path, limit=1), 60)
    assert left(plan, ["chat", "embed"], {"rerank": 30.0}) == 30 + 120
    assert left(plan, ["chat", "embed"], {"rerank": 90.0}) == 120


def test_a_replacement_keeps_its_turn_while_it_is_watched(tmp_path: Path) -> None:
    plan = watched_for(plan_of(tmp_path, limit=1), 60)
    replaced = replace(plan, changes=tuple(replace(c, action=Action.REPLACE) for c in plan.changes))
    assert left(replaced) == 480
    mixed = replace(plan, changes=(replaced.changes[0], *plan.changes[1:]))
    assert left(mixed) == 120 + 60 + 60 + 120


def watched_for(plan: Plan, seconds: int) -> Plan:
    """The same with this `stable_for`."""

    def watched(change: Change) -> Change:
        policy = change.detail.policy
        gate = replace(policy.gate, stable_for=seconds)
        return replace(change, detail=replace(change.detail, policy=replace(policy, gate=gate)))

    return replace(plan, changes=tuple(map(watched, plan.changes)))


def test_one_unknown_start_makes_the_rest_unknown_until_it_has_ended(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    first = replace(plan.changes[0], cost=replace(plan.changes[0].cost, expected=None))
    plan = replace(plan, changes=(first, *plan.changes[1:]))
    assert left(plan) is None
    assert left(plan, [first.model]) == 235


def test_a_pause_between_batches_counts_until_it_is_over(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, ["chat", "embed"])
    last = plan.steps_of(plan.effective[0])[-1]
    pause = Step("pause", "here", "", (last.id,), Pause(30))
    later = [replace(s, after=(*s.after, "pause")) if s.address == "here/embed" else s for s in plan.steps]
    plan = replace(plan, steps=(*later, pause))
    assert left(plan) == 270
    assert left(plan, ["chat"]) == 150
    assert left(plan, ["chat"], {"embed": 20.0}) == 100


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1, "5s"), (47, "45s"), (48, "50s"), (134, "2m10s"), (599, "10m"), (700, "12m"), (4000, "1h07m")],
)
def test_an_estimate_is_rounded(seconds: int, text: str) -> None:
    assert about(seconds) == text
