"""Plan, drift, diagnose and rollback agree on the part that each container of an instance plays."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from cortexctl.instance.codec import spec_from_label
from cortexctl.instance.labels import GENERATION, SPEC, generation_name, serving_name, undone_name
from cortexctl.instance.spec import Spec
from cortexctl.observed.host import ObservedContainer, ObservedHost
from cortexctl.observed.observation import Observed
from cortexctl.observed.owned import Owned, OwnedInstance, owned_instances
from cortexctl.observed.record import Applied, HostRecord
from cortexctl.observed.roles import beside, is_younger, role_of, roles_of, serving_now
from cortexctl.plan.action import Action, ReasonCode
from cortexctl.plan.drift.finding import Code
from cortexctl.plan.drift.report import find_drift
from cortexctl.plan.model import Change
from cortexctl.plan.planner import plan
from cortexctl.plan.rollback import RollbackTarget, plan_rollback
from tests.build import IMAGE, LOCAL, make_container, make_desired, make_instance, make_spec
from tests.generated import modest

SPECS = (make_spec(), make_spec(drain=1))
STATES = ("running", "exited", "created")
HAND = "renamed-by-hand"


@st.composite
def hosts(draw: st.DrawFn) -> ObservedHost:
    """A host with containers of one instance: under the serving name, under names of generations, or of a person."""
    generations = draw(st.lists(st.integers(1, 6), min_size=1, max_size=5, unique=True))
    serving = draw(st.sampled_from([0, *generations]))
    by_hand = draw(st.sampled_from([0, 0, 0, *(g for g in generations if g != serving)]))
    return ObservedHost("here", tuple(draw(containers(g, g == serving, g == by_hand)) for g in sorted(generations)))


@st.composite
def containers(draw: st.DrawFn, generation: int, serves: bool, by_hand: bool) -> ObservedContainer:
    names = [generation_name("tiny", 1, generation), undone_name("tiny", 1, generation)]
    name = serving_name("tiny") if serves else HAND if by_hand else draw(st.sampled_from(names))
    state = draw(st.sampled_from(STATES[:2] if serves else STATES))
    return make_container(name, state=state, generation=generation, spec=draw(st.sampled_from(SPECS)), own_labels=True)


@dataclass(frozen=True)
class Killed:
    """A host after a kill between the last two renames of a replacement: no container has the serving name. `proven`:
    the generation that passed its gate and runs. `old`: the generation that it replaces; a rollback replaces a newer one.
    """

    host: ObservedHost
    proven: int
    old: int
    applied: Applied | None

    @property
    def instance(self) -> OwnedInstance:
        return instance_on(self.host)

    @property
    def running(self) -> Owned:
        return next(o for o in self.instance.all if o.generation == self.proven)

    @property
    def leftovers(self) -> set[str]:
        """The containers that were created to replace the running one, by number and name, as in every other place."""
        return ids(*(o for o in self.instance.all if is_younger(o, self.running)))

    @property
    def retained(self) -> set[str]:
        return ids(*self.instance.all) - ids(self.running) - self.leftovers


@st.composite
def killed_replacements(draw: st.DrawFn) -> Killed:
    generations = draw(st.lists(st.integers(1, 6), min_size=2, max_size=5, unique=True))
    old = draw(st.sampled_from(generations))
    new = draw(st.sampled_from([g for g in generations if g != old]))
    containers = []
    for g in sorted(generations):
        must_be_undone = g > old or g == old > new  # but for a new generation
        is_undone = (must_be_undone and not (g == new == max(generations))) or draw(st.booleans())
        name = undone_name("tiny", 1, g) if is_undone else generation_name("tiny", 1, g)
        state, spec = "running" if g == new else "exited", draw(st.sampled_from(SPECS))
        containers.append(make_container(name, state=state, generation=g, spec=spec, own_labels=True))
    of = {c.labels[GENERATION]: spec_from_label(c.labels[SPEC]) for c in containers}
    records = [None, Applied("tiny", 1, new, "", of[str(new)], over=old), Applied("tiny", 1, old, "", of[str(old)])]
    return Killed(ObservedHost("here", tuple(containers)), new, old, draw(st.sampled_from(records)))


def instance_on(host: ObservedHost) -> OwnedInstance:
    return owned_instances(host, "demo")["here/tiny"]


def ids(*owned: Owned | None) -> set[str]:
    return {o.container.id for o in owned if o is not None}


@modest
@given(hosts())
def test_every_container_plays_one_part(host: ObservedHost) -> None:
    instance = instance_on(host)
    roles = roles_of(instance, None)
    parts = [roles.serving, roles.candidate, *roles.leftovers, *roles.retained, *roles.duplicates]
    played = [o.container.id for o in parts if o is not None]
    assert sorted(played) == sorted(ids(*instance.all))
    assert {role_of(instance, o) for o in instance.all} <= {"serving", "candidate", "retained"}


@modest
@given(hosts(), st.sampled_from(SPECS), st.booleans())
def test_while_one_serves_all_agree(host: ObservedHost, spec: Spec, replacing: bool) -> None:
    """Which of the young ones a plan continues with is its own decision; that they are young is not."""
    instance = instance_on(host)
    roles = roles_of(instance, None)
    if instance.serving is None or not instance.serving.container.is_running:
        return
    serving = serving_now(spec, instance)
    planned = beside(spec, instance, serving, None, replacing=replacing)
    assert serving is roles.serving is instance.serving
    by_a_person = ids(*roles.duplicates)
    young = ids(roles.candidate, *roles.leftovers)
    assert ids(planned.candidate, *planned.leftovers) - by_a_person == young
    assert ids(*planned.retained) - by_a_person == ids(*roles.retained)
    assert ids(*(o for o in instance.all if role_of(instance, o) == "serving")) == ids(serving)
    called = ids(*(o for o in instance.all if role_of(instance, o) == "candidate"))
    assert called == ids(planned.candidate, *planned.leftovers)


def _is_leftover(change: Change) -> bool:
    return any(r.code is ReasonCode.LEFTOVER for r in change.reasons)


@modest
@given(hosts())
def test_what_drift_calls_a_leftover_a_plan_removes_or_continues_with(host: ObservedHost) -> None:
    desired = make_desired(make_instance())
    observed = Observed((host,), {("here", IMAGE): LOCAL})
    if not any(c.name == serving_name("tiny") and c.is_running for c in host.containers):
        return
    names = {c.name: c.id for c in host.containers}
    reported = {names[f.container] for f in find_drift(desired, observed).findings if f.code is Code.LEFTOVER}
    changes = plan(desired, observed).changes
    removed = {c.detail.leftover.id for c in changes if c.detail.leftover and _is_leftover(c)}
    continued = {c.detail.candidate.id for c in changes if c.detail.candidate is not None}
    assert reported <= removed | continued
    assert (removed | continued) - reported <= {names[HAND]} if HAND in names else removed | continued == reported


@modest
@given(hosts())
def test_a_rollback_returns_only_to_what_is_retained(host: ObservedHost) -> None:
    desired = make_desired(make_instance())
    instance = instance_on(host)
    serving = instance.serving
    if serving is None or not serving.container.is_running:
        return
    plan = plan_rollback(desired, Observed((host,)), RollbackTarget("here/tiny"))
    roles = roles_of(instance, None)
    for change in plan.effective:
        returns = {r.id for r in change.detail.touched} - ids(serving)
        assert returns <= ids(*roles.retained, *roles.duplicates)
        assert all(role_of(instance, o) == "retained" for o in instance.all if o.container.id in returns)


@modest
@given(killed_replacements(), st.sampled_from(SPECS), st.booleans())
def test_after_a_kill_between_the_renames_the_running_one_is_the_candidate(
    killed: Killed, spec: Spec, replacing: bool
) -> None:
    instance = killed.instance
    roles = roles_of(instance, killed.applied)
    assert roles.serving is None
    assert ids(roles.candidate) == ids(killed.running)
    assert (ids(*roles.leftovers), ids(*roles.retained)) == (killed.leftovers, killed.retained)
    assert ids(*(o for o in instance.all if role_of(instance, o) == "retained")) == killed.retained
    serving = serving_now(spec, instance)
    planned = beside(spec, instance, serving, killed.applied, replacing=replacing)
    assert ids(serving, planned.candidate) == ids(killed.running)
    assert (ids(*planned.leftovers), ids(*planned.retained)) == (killed.leftovers, killed.retained)


@modest
@given(killed_replacements(), st.sampled_from(SPECS))
def test_after_a_kill_between_the_renames_a_plan_never_gives_up_the_running_one(killed: Killed, spec: Spec) -> None:
    """It gets the serving name, or it is replaced by the wanted one. Drift reports it as unfinished, and no other."""
    desired = make_desired(replace(make_instance(), spec=spec))
    records = {"here": HostRecord("here", {"here/tiny": killed.applied} if killed.applied else {})}
    observed = Observed((killed.host,), {("here", IMAGE): LOCAL}, records=records)
    name = killed.running.container.name
    findings = find_drift(desired, observed).findings
    names = {c.name: c.id for c in killed.host.containers}
    assert {names[f.container] for f in findings if f.code is Code.LEFTOVER} == killed.leftovers
    assert [f.container for f in findings if f.code is Code.UNFINISHED] == [name]
    assert not {f.code for f in findings} & {Code.RETAINED_RUNS, Code.REMOVED, Code.DUPLICATE}
    (change,) = (c for c in plan(desired, observed).effective if not c.only_tidies)
    continues = killed.running.spec == spec
    part = change.detail.candidate if continues else change.detail.serving
    assert part is not None
    assert part.id == killed.running.container.id
    assert change.action is (Action.CREATE if continues else Action.REPLACE)


@modest
@given(killed_replacements(), st.booleans())
def test_after_a_kill_between_the_renames_a_rollback_resumes_or_replaces_the_running_one(
    killed: Killed, named: bool
) -> None:
    """It resumes a rollback, and rolls back a replacement. The running container keeps its place, or is replaced."""
    generation = killed.proven if named else None
    plan = plan_rollback(
        make_desired(make_instance()), Observed((killed.host,)), RollbackTarget("here/tiny", generation)
    )
    if named or killed.proven < killed.old:
        assert [c.detail.generation for c in plan.effective] == [killed.proven]
    for change in plan.effective:
        returns, serving = change.detail.candidate, change.detail.serving
        assert returns is not None
        resumes = returns.id == killed.running.container.id
        assert resumes or returns.id in killed.retained
        assert (serving.id if serving else None) == (None if resumes else killed.running.container.id)
