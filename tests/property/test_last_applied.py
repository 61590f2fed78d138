"""`--only drift` restores the spec that was applied last, after any killed runs and any manual changes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from cortexctl.apply.events import Event, RollbackEnded, StepDone
from cortexctl.desired.stack import Desired
from cortexctl.instance.spec import Spec
from cortexctl.observed.observation import Observed
from cortexctl.plan.action import Action
from cortexctl.plan.drift.finding import Kind
from cortexctl.plan.drift.report import find_drift
from cortexctl.plan.model import Change, Plan
from cortexctl.plan.request import Request
from cortexctl.plan.rollback import RollbackTarget, plan_rollback
from cortexctl.plan.steps import PassGate
from tests.fakes.container import FakeContainer
from tests.fakes.killed import killed_after
from tests.fakes.world import World
from tests.generated import modest
from tests.reading import desired_from, model_text, stack_text

MODELS = ("a", "b")
CRASHES = 9
"""A length with which no server starts."""
ONLY_DRIFT = Request(only="drift")


@dataclass
class Story:
    """A host, its stack by lengths of its models, and the lengths that were applied last.

    A length is applied if its container has passed its gate, or if an apply of it has finished: a killed apply can leave
    the old container in service, and an apply of the old length then only removes the candidate.
    """

    strategy: str
    folder: Path
    world: World = field(default_factory=lambda: World("demo", "here"))
    lengths: dict[str, int] = field(default_factory=lambda: dict.fromkeys(MODELS, 1))
    last: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.world.daemon().behaviours.append(_crash_if_it_must)

    @property
    def desired(self) -> Desired:
        path = self.folder / "stack.toml"
        path.write_text(stack_text("".join(self._model(n) for n in MODELS), hosts='[hosts.here]\nmodels_dir = "/m"\n'))
        return desired_from(path)

    def _model(self, name: str) -> str:
        rollout = f'[models.{name}.rollout]\nstrategy = "{self.strategy}"\n\n'
        return f"{model_text(name)}[models.{name}.args]\nmax_model_len = {self.lengths[name]}\n\n{rollout}"

    def run(self, plan: Plan, calls: int | None) -> bool:
        """Carries out the plan, or only its first `calls` calls. Returns whether its changes were all made."""
        assert [d.summary for d in plan.diagnostics if d.is_error] == []
        if not plan.effective:
            return False
        seen, is_finished = len(self.world.events), False
        with killed_after(self.world, calls):
            is_finished = self.world.apply(plan, parallelism=1).exit_code == 0
        for event in self.world.events[seen:]:
            self._record_event(plan, event)
        return is_finished

    def _record_event(self, plan: Plan, event: Event) -> None:
        if isinstance(event, StepDone) and isinstance(event.step.task, PassGate):
            change = next(c for c in plan.changes if c.address == event.step.address)
            self.last[change.model] = _length(_spec_after(change))
        if isinstance(event, RollbackEnded) and event.change.action is Action.REPLACE and not event.problem:
            self.last[event.change.model] = _length(event.change.detail.before)

    def apply(self, a: int, b: int, calls: int | None) -> None:
        self.lengths = {"a": a, "b": b}
        if self.run(self.world.plan(self.desired), calls):
            self.last = {"a": a, "b": b}

    def roll_back(self, model: str, calls: int | None) -> None:
        desired = self.desired
        plan = plan_rollback(desired, self.observed(), RollbackTarget(f"here/{model}"))
        if not plan.has_errors:
            self.run(plan, calls)

    def only_drift(self, calls: int | None) -> None:
        self.run(self.world.plan(self.desired, ONLY_DRIFT), calls)

    def change_by_hand(self, does: str, number: int) -> None:
        """Stops or removes one of the containers."""
        daemon = self.world.daemon()
        there = sorted(daemon.all(), key=lambda c: c.name)
        if there and does == "remove":
            del daemon.containers[there[number % len(there)].id]
        elif there:
            there[number % len(there)].state = "exited"

    def observed(self) -> Observed:
        return replace(self.world.observe(), records={"here": self.world.daemon().read_record("demo")})

    def serves(self) -> dict[str, int]:
        names = {f"vllm-model-{m}": m for m in MODELS}
        return {
            names[c.name]: int(c.command[c.command.index("--max-model-len") + 1])
            for c in self.world.daemon().all()
            if c.name in names and c.state == "running"
        }


def _crash_if_it_must(container: FakeContainer) -> None:
    if container.command[container.command.index("--max-model-len") + 1] == str(CRASHES):
        container.state, container.exit_code = "exited", 1


def _spec_after(change: Change) -> Spec | None:
    return change.detail.after if change.action in {Action.CREATE, Action.REPLACE} else change.detail.before


def _length(spec: Spec | None) -> int:
    assert spec is not None
    return int(spec.server.args["max_model_len"])


_calls = st.none() | st.integers(0, 24)
_lengths = st.sampled_from([1, 2, 3, CRASHES])
_chapters = st.one_of(
    st.builds(lambda a, b, calls: lambda s: s.apply(a, b, calls), _lengths, _lengths, _calls),
    st.builds(lambda model, calls: lambda s: s.roll_back(model, calls), st.sampled_from(MODELS), _calls),
    st.builds(lambda calls: lambda s: s.only_drift(calls), _calls),
    st.builds(
        lambda does, n: lambda s: s.change_by_hand(does, n), st.sampled_from(["remove", "stop"]), st.integers(0, 5)
    ),
)


@settings(modest, max_examples=80)
@given(st.sampled_from(["stop_first", "start_first"]), st.lists(_chapters, min_size=2, max_size=9), _lengths, _lengths)
@example("start_first", [lambda s: s.apply(1, 2, 4), lambda s: s.apply(1, 1, None)], 1, 1)
@example("start_first", [lambda s: s.apply(1, 2, 4), lambda s: s.only_drift(7), lambda s: s.apply(1, 1, 3)], 1, 2)
def test_only_drift_restores_the_spec_that_was_applied_last(
    strategy: str, chapters: list[Callable[[Story], None]], a: int, b: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        story = Story(strategy, Path(folder))
        story.apply(1, 1, None)
        for chapter in chapters:
            chapter(story)
        story.lengths = {"a": a, "b": b}
        story.only_drift(None)
        assert story.serves() == story.last
        assert story.world.plan(story.desired, ONLY_DRIFT).effective == ()
        findings = find_drift(story.desired, story.observed()).findings
        assert [f for f in findings if f.kind is Kind.DRIFT] == []
