"""The expected time of a host's changes: past starts and forecasts, in their order."""

from __future__ import annotations

from dataclasses import replace

from cortexctl.desired.stack import Desired
from cortexctl.observed.observation import Observed
from cortexctl.observed.record import Applied, HostRecord, Start
from cortexctl.plan.model import Change
from cortexctl.plan.pace import Pace, expected_range, paces
from cortexctl.plan.planner import plan
from cortexctl.render.plan.markdown import plan_markdown
from tests.build_memory import FILES, QWEN, desired, observed, running, spec

NEW = spec(max_model_len=8192)
TWO = desired(a=NEW, b=spec(gpus=(1,), max_model_len=8192))


def pace_of(wanted: Desired, seen: Observed | None = None) -> Pace:
    return paces(plan(wanted, seen or observed()))["gpu-1"]


def ranges(wanted: Desired, seen: Observed | None = None) -> list[tuple[int, int] | None]:
    return [expected_range(change) for change in plan(wanted, seen or observed()).changes]


def test_starts_that_run_together_take_as_long_as_the_longest() -> None:
    (one, other) = ranges(TWO)
    assert one is not None
    assert one == other
    assert pace_of(replace(TWO, parallel_starts=2)).expected == one


def test_starts_one_after_the_other_add_up() -> None:
    """The gate watches the first one while the second one starts."""
    (one, _) = ranges(TWO)
    assert one is not None
    watched = TWO.instances[0].policy.gate.stable_for
    assert watched > 0
    assert pace_of(replace(TWO, parallel_starts=1)).expected == (2 * one[0] - watched, 2 * one[1] - watched)


def test_a_start_without_a_past_one_and_without_a_forecast_has_no_expected_time() -> None:
    unknown = {place: files for place, files in FILES.items() if files is not QWEN}
    assert ranges(TWO, observed(files=unknown)) == [None, None]
    assert pace_of(TWO, observed(files=unknown)).expected is None


def test_one_unknown_start_makes_the_time_of_the_host_unknown() -> None:
    known_and_unknown = desired(a=NEW, b=spec("elsewhere", gpus=(1,), max_model_len=8192))
    known, unknown = ranges(known_and_unknown)
    assert known is not None
    assert unknown is None
    assert pace_of(known_and_unknown).expected is None


def replaced(stops: tuple[float, ...]) -> tuple[Observed, Change]:
    old = spec(max_model_len=4096)
    record = Applied("a", 1, 1, "run1", old, (Start(90.0, old.server.model),), stops)
    seen = replace(observed(running("a", old)), records={"gpu-1": HostRecord("gpu-1", {"gpu-1/a": record})})
    (change,) = plan(desired(a=NEW), seen).changes
    return seen, change


def test_a_recorded_stop_is_part_of_the_time() -> None:
    assert expected_range(replaced((4.0,))[1]) == (94, 94)


def test_a_stop_that_is_not_recorded_takes_up_to_its_bound() -> None:
    assert expected_range(replaced(())[1]) == (90, 90 + NEW.stop_timeout)


def test_the_comment_on_a_pull_request_has_the_time_of_an_outage() -> None:
    seen, _ = replaced((4.0,))
    created = plan(desired(a=NEW), seen)
    assert "`a` goes down on `gpu-1` for about 1m30s, at most 21m without progress" in plan_markdown(created)


def test_the_comment_leaves_an_unknown_time_of_an_outage_out() -> None:
    seen = observed(running("a", spec(max_model_len=4096)), files={})
    assert "`a` goes down on `gpu-1`, at most 21m without progress" in plan_markdown(plan(desired(a=NEW), seen))
