"""The changes without a new container."""

from __future__ import annotations

from dataclasses import replace

from cortexctl.instance.labels import serving_name
from cortexctl.instance.spec import InPlace
from cortexctl.plan.action import Action
from cortexctl.plan.diff import FieldChange
from cortexctl.plan.planner import plan
from cortexctl.plan.recipes import tasks_of, undo
from cortexctl.plan.steps import (
    SetRestart,
    UpdateContainer,
)
from tests.build import (
    changes_of,
    make_desired,
    make_instance,
    make_observed,
    make_spec,
    serving_container,
)


def test_a_limit_is_changed_in_place_without_downtime() -> None:
    (change,) = changes_of(
        make_instance(memory=2048, cpus=1.5, restart="always"), serving_container(3, spec=make_spec(memory=1024))
    )
    assert (change.action, change.detail.generation, change.cost.down) == (Action.UPDATE, 3, False)
    assert [f.path for f in change.fields] == ["cpus", "memory", "restart"]
    here = f"id-{serving_name('tiny')}"
    assert tasks_of(change) == [SetRestart(here, "always"), UpdateContainer(here, 2048, 1.5)]
    assert undo(change) == []


def test_the_removal_of_a_limit_needs_a_new_container() -> None:
    (change,) = changes_of(make_instance(), serving_container(spec=make_spec(memory=1024)))
    assert change.action is Action.REPLACE


def test_an_inspection_decides_which_settings_are_changed_in_place() -> None:
    here = ("here", f"id-{serving_name('tiny')}")
    wanted = make_instance(memory=2048)
    observed = make_observed(serving_container())
    as_wanted = replace(observed, in_place={here: InPlace(memory=2048)})
    drifted = replace(observed, in_place={here: InPlace(memory=4096)})
    assert plan(make_desired(wanted), as_wanted).effective == ()
    (change,) = plan(make_desired(wanted), drifted).effective
    assert change.fields == (FieldChange("memory", 4096, 2048),)
