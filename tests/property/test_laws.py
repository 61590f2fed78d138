"""The laws, over generated stacks and hosts in memory."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from cortexctl.instance import labels
from cortexctl.instance.codec import spec_from_label, spec_to_label
from cortexctl.instance.labels import is_generation_name
from cortexctl.instance.spec import Spec
from cortexctl.plan.action import Action
from cortexctl.plan.needs import needs
from cortexctl.plan.planfile import plan_from_json, plan_to_json
from cortexctl.plan.planner import plan
from cortexctl.plan.steps import Step
from cortexctl.render.plan.terminal import plan_text
from cortexctl.render.style import Ink
from tests.fakes.container import FakeContainer
from tests.fakes.world import World
from tests.generated import HOSTS, KEYS, PLANTED, SLOTS, Case, cases, modest, specs
from tests.laws import (
    Watch,
    apply_case,
    daemons_of,
    foreign_containers,
    is_own,
    own_containers,
    plan_of,
    run_steps,
    serving_state,
    two_hosts,
    wanted_state,
)


def _cut(steps: Iterable[Step], until: Mapping[str, int]) -> list[Step]:
    """The steps before a run is killed: the first `until[host]` steps of each host."""
    seen = dict.fromkeys(HOSTS, 0)
    done = []
    for step in steps:
        seen[step.host] += 1
        if seen[step.host] <= until[step.host]:
            done.append(step)
    return done


_cuts = st.fixed_dictionaries({h: st.integers(0, 12) for h in HOSTS})


@modest
@given(cases())
def test_a_plan_after_an_apply_is_empty(case: Case) -> None:
    world = two_hosts()
    apply_case(world, case)
    again = plan_of(world, case)
    assert again.effective == ()
    assert again.steps == ()
    assert needs(case.desired, world.observe()).images == ()
    assert serving_state(world) == wanted_state(case)


@modest
@given(cases(), cases())
def test_the_same_two_values_give_the_same_bytes(one: Case, other: Case) -> None:
    world = two_hosts()
    apply_case(world, one)
    observed = world.observe()
    first = plan_to_json(plan(other.desired, observed))
    assert plan_to_json(plan(other.desired, observed)) == first
    again = copy.deepcopy(other.desired)
    assert plan_to_json(plan(again, copy.deepcopy(observed))) == first


@modest
@given(cases(), cases(protect=True), st.booleans())
def test_a_saved_plan_reads_back_as_the_same_value(one: Case, other: Case, destroy: bool) -> None:
    """Also with an error that blocks it: the removal of a protected model."""
    world = two_hosts()
    apply_case(world, one)
    planned = world.plan(other.desired, destroy=destroy)
    assert plan_from_json(plan_to_json(planned)) == planned


@modest
@given(cases(), cases())
def test_one_stack_after_another_leaves_the_second_and_touches_no_other_container(one: Case, other: Case) -> None:
    world = two_hosts()
    before = foreign_containers(world)
    apply_case(world, one)
    apply_case(world, other)
    assert plan_of(world, other).effective == ()
    assert serving_state(world) == wanted_state(other)
    assert foreign_containers(world) == before


@modest
@given(cases(), cases())
def test_retained_containers_are_stopped_and_at_most_as_many_as_configured(one: Case, other: Case) -> None:
    world = two_hosts()
    apply_case(world, one)
    apply_case(world, other)
    apply_case(world, one)
    for instance in one.desired.instances:
        group = [
            c
            for c in world.daemon(instance.host).containers.values()
            if is_own(c)
            and c.labels[labels.MODEL] == instance.model
            and c.labels[labels.ORDINAL] == str(instance.ordinal)
        ]
        retained = [c for c in group if is_generation_name(c.name)]
        assert all(c.state == "exited" and c.restart == "no" for c in retained)
        assert len(retained) <= max(
            instance.policy.keep, *(i.policy.keep for i in other.desired.instances if i.address == instance.address), 1
        )
        generations = [int(c.labels[labels.GENERATION]) for c in group]
        assert len(set(generations)) == len(generations)


@modest
@given(cases(), cases())
def test_destroy_leaves_nothing_of_ours_and_everything_of_others(one: Case, other: Case) -> None:
    world = two_hosts()
    before = foreign_containers(world)
    apply_case(world, one)
    apply_case(world, other)
    planned = world.plan(other.desired, destroy=True)
    assert world.apply(planned).exit_code == 0
    assert own_containers(world) == []
    assert foreign_containers(world) == before
    for daemon in daemons_of(world):
        assert daemon.networks == {}
        assert daemon.volumes == {}
    assert world.plan(other.desired, destroy=True).effective == ()


@settings(modest, max_examples=30)
@given(cases(), cases(least=1), st.lists(_cuts, min_size=1, max_size=3))
def test_a_killed_apply_is_finished_by_the_next_one(one: Case, other: Case, cuts: list[dict[str, int]]) -> None:
    """It is killed after any steps, perhaps more than once. No container ever serves before it has passed its gate."""
    world = two_hosts()
    foreign = foreign_containers(world)
    watch = Watch(world)
    world.secrets.values = dict(one.values)
    first = plan_of(world, one)
    run_steps(world, first, first.steps, watch)
    both = {(i.host, i.model, str(i.ordinal)) for i in one.desired.instances}
    both &= {(i.host, i.model, str(i.ordinal)) for i in other.desired.instances}
    watch.stays = frozenset(both)
    world.secrets.values = dict(other.values)
    for until in cuts:
        planned = plan_of(world, other)
        run_steps(world, planned, _cut(planned.steps, until), watch)
    last = plan_of(world, other)
    run_steps(world, last, last.steps, watch)
    assert serving_state(world) == wanted_state(other)
    assert plan_of(world, other).effective == ()
    assert foreign_containers(world) == foreign
    assert watch.checks > 0


@settings(modest, max_examples=10)
@given(cases(1, 2), cases(1, 2))
def test_an_apply_killed_after_each_of_its_steps_is_finished_by_the_next_one(one: Case, other: Case) -> None:
    """Every prefix of the plan's steps."""
    world = two_hosts()
    world.secrets.values = dict(one.values)
    watch = Watch(world)
    first = plan_of(world, one)
    run_steps(world, first, first.steps, watch)
    world.secrets.values = dict(other.values)
    planned = plan_of(world, other)
    for length in range(len(planned.steps) + 1):
        again = _clone(world)
        watching = Watch(again, gated=set(watch.gated))
        run_steps(again, planned, planned.steps[:length], watching)
        rest = plan_of(again, other)
        run_steps(again, rest, rest.steps, watching)
        assert serving_state(again) == wanted_state(other)
        assert plan_of(again, other).effective == ()


def _clone(world: World) -> World:
    again = two_hosts()
    for daemon, new in zip(daemons_of(world), daemons_of(again), strict=True):
        new.containers = copy.deepcopy(daemon.containers)
        new.images = dict(daemon.images)
        new.networks = copy.deepcopy(daemon.networks)
    again.secrets.values = dict(world.secrets.values)
    return again


@modest
@given(cases(least=1), st.sets(st.integers(0, 9)))
def test_a_stopped_container_is_started_again_and_not_replaced(case: Case, stopped: set[int]) -> None:
    world = two_hosts()
    apply_case(world, case)
    ids = {c.id for c in own_containers(world)}
    down = [c for n, c in enumerate(own_containers(world)) if n in stopped]
    for container in down:
        container.state, container.exit_code = "exited", 0
    planned = plan_of(world, case)
    assert [c.action for c in planned.effective] == [Action.START] * len(down)
    apply_case(world, case)
    assert {c.id for c in own_containers(world)} == ids
    assert serving_state(world) == wanted_state(case)


@settings(modest, max_examples=60)
@given(st.integers(0, len(SLOTS) - 1).flatmap(lambda slot: specs(slot, dict.fromkeys(KEYS, PLANTED[0]))))
def test_a_spec_reads_back_from_its_label(spec: Spec) -> None:
    text = spec_to_label(spec)
    assert spec_from_label(text) == spec
    assert spec_to_label(spec_from_label(text)) == text


@modest
@given(cases(least=1), cases(least=1))
def test_no_secret_is_in_a_plan_a_label_an_argument_or_an_event(one: Case, other: Case) -> None:
    world = two_hosts()
    shown: list[str] = []
    for case in (one, other):
        world.secrets.values = dict(case.values)
        planned = plan_of(world, case)
        shown += [plan_to_json(planned), plan_text(planned, Ink(enabled=False), explain=True), repr(planned)]
        shown.append(repr(world.apply(planned)))
        shown += [repr((c.labels, c.command)) for c in own_containers(world)]
    shown += [repr(event) for event in world.events]
    assert not any(value in text for text in shown for value in PLANTED)


@modest
@given(cases(least=1))
def test_no_secret_is_in_a_failure_even_if_the_server_logs_it(case: Case) -> None:
    world = two_hosts()
    world.secrets.values = dict(case.values)

    def talk(container: FakeContainer) -> None:
        container.log = [f"ERROR {name} is {value}" for name, value in container.environment.items()]
        container.state, container.exit_code = "exited", 1

    for daemon in daemons_of(world):
        daemon.behaviours.append(talk)
    result = world.apply(plan_of(world, case))
    assert result.exit_code != 0
    failures = [o.failure for o in result.outcomes if o.failure is not None]
    assert failures
    shown = [repr(vars(f)) + str(f) for f in failures] + [repr(e) for e in world.events] + [repr(result)]
    assert not any(value in text for text in shown for value in PLANTED)
