"""Commands behind a daemon that lies (tests/attack/liar.py): each ends with a message, and after one undisturbed repeat
the hosts are the same as behind an honest daemon.
"""

from __future__ import annotations

import random
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.attack.commands import check_sane
from tests.attack.finds import Find, Row, kind_of
from tests.attack.kills import compare
from tests.attack.lanes import Lanes
from tests.attack.liar import Liar, lies_of, lying_proxy
from tests.attack.scenes import SCENES, Differs, Ground, Scene, ground

ENDS = {0, 1, 4, 5}
"""Exit codes of a command behind a lying daemon."""


@dataclass(frozen=True)
class Case:
    name: str
    scene: Scene
    seed: str
    longest: float
    again: str
    """The command that repeats the case."""


def case_of(seed: int, number: int, longest: float, scenes: Sequence[Scene] = SCENES) -> Case:
    scene = scenes[
        (number * 5 + 7) % len(scenes)
    ]  # in another order than kills, so that a few of both cover more scenes
    name = f"proxy-{seed}-{number}"
    again = f"python -m tests.attack --only proxy --seed {seed} --case {number} --longest {longest}"
    return Case(f"{name}-{scene.name.replace(' ', '-')}", scene, name, longest, again)


@dataclass(frozen=True)
class Honest:
    """The end state of a scene behind an honest proxy, and its number of requests."""

    host_state: Any
    verdicts: dict[str, int]
    repeat: int
    requests: int
    stays: frozenset[tuple[str, int, str]]
    """The instances that served before and still exist: model, ordinal, turn."""


@dataclass
class Outcome:
    lies: Counter[str] = field(default_factory=Counter)
    codes: Counter[int] = field(default_factory=Counter)
    dead_lock: int = 0
    find: Find | None = None


class References:
    """Honest runs. Each scene is run once."""

    def __init__(self) -> None:
        self._known: dict[str, Honest] = {}
        self._guards: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def of(self, scene: Scene, here: Ground, liar: Liar) -> Honest:
        with self._guards[scene.name]:
            if scene.name not in self._known:
                self._known[scene.name] = _honest(scene, here, liar)
            return self._known[scene.name]


def _honest(scene: Scene, here: Ground, liar: Liar) -> Honest:
    here.clear()
    scene.ready(here)
    before = _there(here)
    liar.arm()
    code, wrote = here.run(*scene.command_on(here))
    requests = len(liar.requests)
    if code:
        raise Differs(f"an honest {scene.name} fails with {code}: {wrote[-1500:]}")
    host_state, verdicts = here.host_state(), here.verdicts()
    stays = frozenset(before & _there(here))
    return Honest(host_state, verdicts, here.run(*scene.command_on(here))[0], requests, stays)


def _there(here: Ground) -> set[tuple[str, int, str]]:
    return {(c["model"], c["ordinal"], c["turn"]) for c in here.host_state()["containers"]}


def play(case: Case, here: Ground, liar: Liar, references: References) -> Outcome:
    outcome = Outcome()
    doing = "an honest run"
    lied: list[str] = []
    try:
        honest = references.of(case.scene, here, liar)
        here.clear()
        case.scene.ready(here)
        others = here.foreign()
        liar.arm(lies_of(random.Random(case.seed), honest.requests, case.longest))
        doing = "the command behind a lying daemon"
        command = case.scene.command_on(here)
        code, wrote = here.end(here.begin(*command), command, timeout=240)
        lied = list(liar.lied)
        outcome.lies.update(line.partition(" at request")[0] for line in lied)
        liar.arm()
        outcome.codes[code] += 1
        _check_ended(code, wrote, here, honest, lied)
        doing = "the repeat"
        outcome.dead_lock = _repeat(case.scene, here, liar, honest)
        compare("somebody else's container was touched", here.foreign(), others)
    except Exception as cause:  # noqa: BLE001 - every exception is a find
        liar.arm()
        files = {name: text.encode() for name, text in here.seen.items()}
        files["case.txt"] = "\n".join([case.again, *lied, ""]).encode()
        outcome.find = Find(
            f"{case.scene.name}: {kind_of(cause)}",
            case.name,
            f"{doing}, {lied}: {type(cause).__name__}: {cause}",
            files,
        )
    return outcome


def _check_ended(code: int, wrote: str, here: Ground, honest: Honest, lied: Sequence[str]) -> None:
    """Check that the command ended with a message, and lost nothing. The exit code may be 0 only if the end state is the
    wanted one. A 404 must be believed, so only the repeat may correct its effects.
    """
    check_sane(code, wrote)
    if code not in ENDS:
        raise Differs(f"exit code {code}: {wrote[-1500:]}")
    host_state = here.settled()
    if lost := honest.stays - _there(here):
        raise Differs(f"an old instance is lost: {sorted(lost)}")
    if code == 0 and not any(line.startswith("404") for line in lied):
        # A record that cannot be written is not a failure: half of a record may be left until the repeat.
        left = {**host_state, "volumes": [v for v in host_state["volumes"] if v != "cortexctl-recording-STACK"]}
        compare("done, and other than wanted", _without_lock(left), honest.host_state)


def _repeat(scene: Scene, here: Ground, liar: Liar, honest: Honest) -> int:
    """Run the command again, undisturbed, and check the end state. Returns 1 if the repeat had nothing to do and left a
    dead lock.
    """
    command = scene.command_on(here)
    liar.arm()
    code, wrote = here.run(*command)
    if code and not (code == honest.repeat and not scene.can_be_repeated):
        raise Differs(f"the repeat fails with {code}: {wrote[-1500:]}")
    did = [line for line in liar.requests if not line.startswith(("GET", "HEAD"))]
    host_state = here.host_state()
    dead = not did and here.lock_holder_is_gone()
    compare("after one repeat, other than wanted", _without_lock(host_state) if dead else host_state, honest.host_state)
    here.record_is_right()
    compare("plan and drift judge otherwise than undisturbed", here.verdicts(), honest.verdicts)
    return int(dead)


def _without_lock(host_state: dict[str, Any]) -> dict[str, Any]:
    return {**host_state, "volumes": [v for v in host_state["volumes"] if v != "cortexctl-lock-STACK"]}


@contextmanager
def _lane(folder: Path) -> Iterator[tuple[Ground, Liar]]:
    with ground(folder, lying_proxy) as (here, liar):
        yield here, liar


def attack_proxy(
    faults: int,
    seed: int,
    folder: Path,
    lanes: int = 2,
    longest: float = 8.0,
    until: Callable[[], bool] = lambda: False,
    case: int | None = None,
) -> Row:
    """`longest`: the most seconds of one lie. `case`: run only the case with this number."""
    references = References()
    lied = 0
    guard = threading.Lock()

    def enough() -> bool:
        return lied >= faults or until()

    def run(lane: tuple[Ground, Liar], case: Case) -> Outcome:
        nonlocal lied
        outcome = play(case, *lane, references)
        with guard:
            lied += outcome.lies.total()
        return outcome

    cases = [case_of(seed, number, longest) for number in (range(faults) if case is None else [case])]
    outcomes = Lanes(lambda: _lane(folder), lanes).run(cases, run, enough)
    finds = tuple(o.find for o in outcomes if o.find)
    kinds = sum((o.lies for o in outcomes), Counter[str]())
    codes = sum((o.codes for o in outcomes), Counter[int]())
    tried = f"{lied} faults of {len(kinds)} kinds in {len(outcomes)} commands ({sum(bool(o.lies) for o in outcomes)} of them hit)"
    ended = ", ".join(f"{n} with {code}" for code, n in sorted(codes.items()))
    passed = f"{len(outcomes) - len(finds)} of {len(outcomes)} as undisturbed after one repeat (ended {ended})"
    if dead := sum(o.dead_lock for o in outcomes):
        passed += f"; {dead} dead locks left where the repeat had nothing to do"
    return Row("a daemon that lies, through a proxy: " + ", ".join(KINDS_TEXT), tried, passed, finds)


KINDS_TEXT = (
    "drops, 404, 409, 500 before or after the action", "other, broken, truncated or deep JSON", "half a head", "wrong lengths",
    "endless 100 Continue", "dripping", "delays",
)  # fmt: skip
