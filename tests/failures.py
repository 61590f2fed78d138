"""Changes in which one step fails, once: the stories, the failures, and the table of their results.

The table is tests/cases/failures/STORY.txt, a line a case:

    step            | failure | fate        | exit | serves

`step` is the kind of a step, with a number if the story has several of that kind. `serves` names the containers that run
afterwards: `old` or `new` under the serving name, with its name's ending (`new--g2`) while it has another one, and `(no restart)`
while its restart policy is off. `python -m tests.failures` records the table again; read the difference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from cortexctl.desired.stack import Desired
from cortexctl.instance import labels
from cortexctl.plan.model import Plan
from cortexctl.plan.rollback import RollbackTarget, plan_rollback
from cortexctl.plan.steps import KIND_OF, Step
from tests.applying import stack, with_length
from tests.fakes.container import FakeContainer
from tests.fakes.world import World
from tests.reading import model_text
from tests.specs import change_spec

CASES = Path(__file__).parent / "cases" / "failures"
HOUR = 3600.0

METHOD_OF = {
    "pull_image": "pull",
    "ensure_network": "ensure_network",
    "create_container": "create",
    "adopt_container": "adopt",
    "try_reach": "reach",
    "stop_container": "stop",
    "start_container": "start",
    "pass_gate": "state",
    "set_restart": "set_restart",
    "update_container": "update",
    "connect_network": "connect",
    "rename_container": "rename",
    "remove_container": "remove",
    "remove_network": "remove_network",
}
"""Kind of a step -> the daemon's method that it calls first."""


@dataclass(frozen=True)
class Story:
    """A world before a change, and how the change is planned. `after`: the `serves` column when nothing has failed. `is_new`:
    whether a container has what the change wants.
    """

    world: World
    plan: Callable[[], Plan]
    after: str
    is_new: Callable[[FakeContainer], bool]


@dataclass(frozen=True)
class Case:
    """A line of the table."""

    story: str
    step: str
    failure: str
    fate: str
    exit_code: int
    serves: str

    def __str__(self) -> str:
        return f"{self.story}-{self.step}-{self.failure}".replace(" ", "_")


# failures


def _refused(world: World, method: str, call: int) -> None:
    world.daemon().faults.fail(method, call=call)


def _answer_lost(world: World, method: str, call: int) -> None:
    world.daemon().faults.fail(method, call=call, answer_lost=True)


def _away_30s(world: World, method: str, call: int) -> None:
    world.daemon().faults.away(method, call=call, seconds=30)


def _away_1h(world: World, method: str, call: int) -> None:
    world.daemon().faults.away(method, call=call, seconds=HOUR)


def _late_5s(world: World, method: str, call: int) -> None:
    world.daemon().faults.late(method, seconds=5, call=call)


FAILURES: Mapping[str, Callable[[World, str, int], None]] = {
    "refused": _refused,
    "answer lost": _answer_lost,
    "away 30s": _away_30s,
    "away 1h": _away_1h,
    "late 5s": _late_5s,
}
"""How a step fails: refused once; carried out, but the answer is lost; unreachable for less, and for more, time than a
rollback waits; answered late, which fails nothing.
"""
AT_THE_GATE = "unhealthy"
"""Only of the gate: the server does not answer its first request."""


# stories


def _length_is(length: int) -> Callable[[FakeContainer], bool]:
    return lambda container: "--max-model-len" in container.command and str(length) in container.command


def _applied(tmp_path: Path, *lengths: int, more: str = "") -> World:
    world = World("demo", "here")
    for length in lengths:
        assert world.apply(world.plan(stack(tmp_path, with_length(length) + more))).exit_code == 0
    return world


def _planned(world: World, desired: Desired) -> Callable[[], Plan]:
    return lambda: world.plan(desired)


def create(tmp_path: Path) -> Story:
    """A first start, of an image that the host does not have."""
    world = World("demo", "here", images=())
    world.daemon().in_registry["image:v0.32.0"] = "sha256:" + "7" * 64
    return Story(world, _planned(world, stack(tmp_path, with_length(2048))), "new", _length_is(2048))


def replace_stop_first(tmp_path: Path) -> Story:
    """The old one stops before the new one starts, and a generation too many is removed."""
    keep = "[models.tiny.rollout]\nkeep = 1\n"
    world = _applied(tmp_path, 512, 1024, more=keep)
    return Story(world, _planned(world, stack(tmp_path, with_length(2048) + keep)), "new", _length_is(2048))


def replace_start_first(tmp_path: Path) -> Story:
    """The old one serves until the new one has passed its gate; it is not kept."""
    rollout = '[models.tiny.rollout]\nstrategy = "start_first"\nkeep = 0\n'
    world = _applied(tmp_path, 1024, more=rollout)
    return Story(world, _planned(world, stack(tmp_path, with_length(2048) + rollout)), "new", _length_is(2048))


def update(tmp_path: Path) -> Story:
    """A restart policy and a limit, in place."""
    world = World("demo", "here")
    assert world.apply(world.plan(stack(tmp_path, model_text(memory='"1 GiB"')))).exit_code == 0
    desired = stack(tmp_path, model_text(memory='"2 GiB"', restart='"always"'))
    return Story(world, _planned(world, desired), "new", lambda c: (c.memory, c.restart) == (2 * 2**30, "always"))


def remove(tmp_path: Path) -> Story:
    """A model leaves the stack, with a generation that was kept."""
    other = model_text("other")
    world = World("demo", "here")
    for length in (512, 1024):
        assert world.apply(world.plan(stack(tmp_path, with_length(length), other))).exit_code == 0
    return Story(world, _planned(world, stack(tmp_path, other)), "nothing", lambda _: False)


def destroy(tmp_path: Path) -> Story:
    """All of the stack goes, with its network."""
    world = _applied(tmp_path, 1024)
    desired = stack(tmp_path, with_length(1024))
    return Story(world, lambda: world.plan(desired, destroy=True), "nothing", lambda _: False)


def start(tmp_path: Path) -> Story:
    """One that has stopped is started again and passes its gate."""
    world = _applied(tmp_path, 1024)
    world.daemon().by_name("vllm-model-tiny").state = "exited"
    return Story(world, _planned(world, stack(tmp_path, with_length(1024))), "new", _length_is(1024))


def adopt(tmp_path: Path) -> Story:
    """A container that a person started gets its name, its limit, its restart policy and its network."""
    ignored = {"adopt": '"llm"', "ignore": '["cap_drop", "log", "security_opt"]', "publish": '"127.0.0.1:8001"'}
    desired = stack(tmp_path, model_text(**ignored, memory='"1 GiB"', restart='"always"'))
    world = World("demo", "here")
    spec = change_spec(desired.instances[0].spec, network="bridge", memory=None, restart="no")
    by_hand = {
        "HostConfig": {"CapDrop": None, "SecurityOpt": None, "LogConfig": {"Type": "json-file", "Config": None}},
        "Config": {"StopSignal": ""},
    }
    world.daemon().add_by_hand("llm", spec, by_hand)
    return Story(world, _planned(world, desired), "new", lambda c: (c.memory, c.restart) == (2**30, "always"))


def rollback(tmp_path: Path) -> Story:
    """Back to the generation that was kept."""
    world = _applied(tmp_path, 2048, 1024)
    desired = stack(tmp_path, with_length(1024))
    target = RollbackTarget("here/tiny", 1)
    return Story(world, lambda: plan_rollback(desired, world.observe_for(desired), target), "new", _length_is(2048))


STORIES: Mapping[str, Callable[[Path], Story]] = {
    story.__name__: story
    for story in (
        create,
        replace_stop_first,
        replace_start_first,
        update,
        remove,
        destroy,
        start,
        adopt,
        rollback,
    )
}


def named_steps(plan: Plan) -> dict[str, tuple[Step, str, int]]:
    """Name in the table -> the step, the daemon's method that it calls, and which call of that it is."""
    kinds = [KIND_OF[type(step.task)] for step in plan.steps]
    count: Counter[str] = Counter()
    named = {}
    for step, kind in zip(plan.steps, kinds, strict=True):
        count[kind] += 1
        name = f"{kind} {count[kind]}" if kinds.count(kind) > 1 else kind
        named[name] = (step, METHOD_OF[kind], count[kind])
    return named


def what_serves(story: Story) -> str:
    """The running containers of the model, as the table writes them."""
    serving = labels.serving_name("tiny")
    running = [
        c
        for c in story.world.daemon().all()
        if c.state == "running" and (c.name.startswith(serving) or c.name == "llm")
    ]
    texts = [
        ("new" if story.is_new(c) else "old")
        + (" as llm" if c.name == "llm" else c.name.removeprefix(serving))
        + (" (no restart)" if c.restart == "no" else "")
        for c in running
    ]
    return ", ".join(sorted(texts)) or "nothing"


def expected_cases(plan: Plan) -> Iterator[tuple[str, str]]:
    """Every step and failure that the table must have a line for."""
    for step in named_steps(plan):
        for failure in FAILURES:
            yield step, failure
        if step.startswith("pass_gate"):
            yield step, AT_THE_GATE


def run_case(story: Story, step: str, failure: str) -> tuple[str, int, str]:
    """(fate, exit code, `serves`) of the change when the step fails so."""
    plan = story.plan()
    target, method, call = named_steps(plan)[step]
    if failure == AT_THE_GATE:
        story.world.prober.smoke_fails.add(_name_at_the_gate(plan, target))
    else:
        FAILURES[failure](story.world, method, call)
    result = story.world.apply(plan)
    (change,) = (o for o in result.outcomes if o.change.address.startswith("here/tiny"))
    return str(change.fate), result.exit_code, what_serves(story)


def _name_at_the_gate(plan: Plan, gate: Step) -> str:
    """The name that the container at the gate has then."""
    container = getattr(gate.task, "container", "")
    known = plan.container_names.get(container, container)
    renamed = [
        getattr(s.task, "name", "")
        for s in plan.steps[: plan.steps.index(gate)]
        if getattr(s.task, "container", "") == container and KIND_OF[type(s.task)] == "rename_container"
    ]
    return renamed[-1] if renamed else known


def works_again(world: World) -> None:
    """Let time pass, and end all faults."""
    world.clock.sleep(2 * HOUR)
    world.daemon().faults.clear()
    world.prober.smoke_fails.clear()


def repeat(story: Story) -> int:
    """Time passes, everything works again, and the same command is run once more. Its exit code."""
    story.world.clock.sleep(2 * HOUR)
    story.world.daemon().faults.clear()
    story.world.prober.smoke_fails.clear()
    plan = story.plan()
    return 0 if is_back_already(plan) else story.world.apply(plan).exit_code


def is_back_already(plan: Plan) -> bool:
    """Whether a rollback is refused because it has happened."""
    return any("generation 1 is the serving one" in d.summary for d in plan.diagnostics)


def read_cases() -> list[Case]:
    """The table's lines."""
    cases = []
    for path in sorted(CASES.glob("*.txt")):
        for line in path.read_text(encoding="utf-8").splitlines()[1:]:
            step, failure, fate, code, serves = (part.strip() for part in line.split("|"))
            cases.append(Case(path.stem, step, failure, fate, int(code), serves))
    return cases


def record() -> None:
    """Write the table as things are."""
    for name, make in STORIES.items():
        rows = [("step", "failure", "fate", "exit", "serves")]
        with TemporaryDirectory() as folder:
            for step, failure in expected_cases(make(Path(folder)).plan()):
                fate, code, serves = run_case(make(Path(folder)), step, failure)
                rows.append((step, failure, fate, str(code), serves))
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        lines = [[*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[4]] for row in rows]
        (CASES / f"{name}.txt").write_text("".join(" | ".join(line) + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    record()
