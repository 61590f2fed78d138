"""`kill -9` of commands at random moments, one to three times in a row. After one undisturbed repeat, the end state must
be that of an undisturbed run.

A kill happens at a random request that changes something on the daemon (before or after the daemon carries it out), or at
a random time after the first one: most kills hit between the first change and the end, and these are counted.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cortexctl.instance import labels
from tests.attack.commands import check_sane
from tests.attack.finds import Find, Row, kind_of
from tests.attack.lanes import Lanes
from tests.attack.scenes import SCENES, Differs, Ground, Scene, ground
from tests.fakes.watching import Watched, watching_proxy
from tests.forks import Forked

KILLED = -9


@dataclass(frozen=True)
class Kill:
    """`at`: the moment, as a fraction of an undisturbed run's requests, or (`by_time`) of its time after the first one."""

    at: float
    by_time: bool
    answered: bool


@dataclass(frozen=True)
class Case:
    """A scene with its kills, drawn from a seed. `lost`: afterwards a serving instance is removed, and must be restored."""

    name: str
    scene: Scene
    kills: tuple[Kill, ...]
    lost: bool
    again: str
    """The command that repeats the case."""


def case_of(seed: int, number: int, scenes: Sequence[Scene] = SCENES) -> Case:
    choose = random.Random(f"kills-{seed}-{number}")
    scene = scenes[number % len(scenes)]
    kills = [
        Kill(choose.random(), choose.random() < 0.4, choose.random() < 0.5)
        for _ in range(choose.choice([1, 1, 1, 2, 3]))
    ]
    name = f"kills-{seed}-{number}-{scene.name.replace(' ', '-')}"
    again = f"python -m tests.attack --only kills --seed {seed} --case {number}"
    return Case(name, scene, tuple(kills), choose.random() < 0.4, again)


@dataclass(frozen=True)
class Undisturbed:
    """The end state of an undisturbed scene, and its number of requests."""

    host_state: Any
    verdicts: dict[str, int]
    repeat: int
    requests: int
    seconds: float


class References:
    """What undisturbed runs of the scenes come to, each of them made once."""

    def __init__(self) -> None:
        self._known: dict[str, Undisturbed] = {}
        self._guards: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def of(self, scene: Scene, here: Ground, watched: Watched) -> Undisturbed:
        with self._guards[scene.name]:
            if scene.name not in self._known:
                self._known[scene.name] = undisturbed(scene, here, watched)
            return self._known[scene.name]


def undisturbed(scene: Scene, here: Ground, watched: Watched) -> Undisturbed:
    here.clear()
    scene.ready(here)
    began: list[float] = []
    watched.arm(1, lambda: began.append(time.monotonic()))
    command = scene.command_on(here)
    code, wrote = here.end(here.begin(*command), command)
    ended = time.monotonic()
    requests = len(watched.requests)
    watched.arm()
    if code:
        raise Differs(f"an undisturbed {command[0]} fails with {code}: {wrote[-1500:]}")
    here.record_is_right()
    host_state, verdicts = here.host_state(), here.verdicts()
    return Undisturbed(host_state, verdicts, here.run(*command)[0], requests, ended - began[0])


@dataclass
class Outcome:
    """What came of a case."""

    kills: int = 0
    in_the_middle: int = 0
    """Kills that came after the first change and before the end."""
    came_late: int = 0
    lost: int = 0
    dead_lock: int = 0
    """The killed one had done everything but release the lock, and the repeat had nothing to do."""
    find: Find | None = None


def play(case: Case, here: Ground, watched: Watched, references: References) -> Outcome:
    outcome = Outcome()
    doing = "an undisturbed run"
    try:
        reference = references.of(case.scene, here, watched)
        here.clear()
        case.scene.ready(here)
        others = here.foreign()
        for number, kill in enumerate(case.kills):
            _kill(replace(kill, at=kill.at / 2**number), case, here, watched, reference, outcome)
        here.settled()
        doing = "the repeat"
        did = _repeat(case.scene, here, watched, reference)
        doing = f"the state after a repeat with {did} changes on the daemon"
        host_state = here.host_state()
        if not did and here.lock_holder_is_gone():
            outcome.dead_lock = 1
            host_state["volumes"] = [v for v in host_state["volumes"] if v != "cortexctl-lock-STACK"]
        compare("after one repeat, other than undisturbed", host_state, reference.host_state)
        wrong = _wrong_record(here)
        compare("plan and drift judge otherwise than undisturbed", here.verdicts(), reference.verdicts)
        compare("somebody else's container was touched", here.foreign(), others)
        doing = "what is lost"
        mine = [row["Name"][1:] for row in here.rows() if _may_be_lost(row)]
        for name in mine if wrong else random.Random(case.name).sample(mine, min(case.lost, len(mine))):
            outcome.lost += 1
            _lose(name, here)
        if wrong:
            doing = f"the record after a repeat with {did} changes on the daemon"
            raise wrong  # noqa: TRY301 - what follows from it is the worse, and comes first
    except Exception as cause:  # noqa: BLE001 - every exception is a find
        files = {name: text.encode() for name, text in here.seen.items()}
        files["case.txt"] = f"{case.again}\n{case.kills}\n".encode()
        outcome.find = Find(
            f"{case.scene.name}: {kind_of(cause)}", case.name, f"{doing}: {type(cause).__name__}: {cause}", files
        )
    return outcome


def _kill(kill: Kill, case: Case, here: Ground, watched: Watched, reference: Undisturbed, outcome: Outcome) -> None:
    command = case.scene.command_on(here)
    running: list[Forked] = []
    ready = threading.Event()

    def now() -> bool:
        ready.wait(30)
        running[0].kill()
        return False

    def later() -> None:
        timer = threading.Timer(kill.at * reference.seconds * 0.8, now)  # the last part is the end of the process
        timer.daemon = True
        timer.start()

    if kill.by_time:
        watched.arm(1, later)
    else:
        watched.arm(1 + int(kill.at * reference.requests), now, answered=kill.answered)
    running.append(here.begin(*command))
    ready.set()
    code, wrote = here.end(running[0], command)
    came = len(watched.requests)
    watched.arm()
    if code == KILLED:
        outcome.kills += 1
        outcome.in_the_middle += 1 if came > 1 or kill.answered or kill.by_time else 0
    else:
        outcome.came_late += 1
        check_sane(code, wrote)


def _repeat(scene: Scene, here: Ground, watched: Watched, reference: Undisturbed) -> int:
    """Once, undisturbed: how many requests of it changed something. Where the killed ones had done all, there may be
    nothing left that this command does.
    """
    command = scene.command_on(here)
    watched.arm()
    code, wrote = here.run(*command)
    if code == 0 or (not scene.can_be_repeated and code == reference.repeat):
        return len(watched.requests)
    raise Differs(f"the repeat fails with {code}: {wrote[-1500:]}")


def compare(what: str, now: Any, wanted: Any) -> None:
    """Compare two states.

    Raises:
        Differs: with the surplus and the missing parts

    """
    if now != wanted:
        raise Differs(
            f"{what}: {_difference(now, wanted)}\n\nfound {json.dumps(now, indent=1)}\n\nwanted {json.dumps(wanted, indent=1)}"
        )


def _difference(now: Any, wanted: Any) -> str:
    if isinstance(now, dict) and isinstance(wanted, dict):
        parts = []
        for key in sorted({*now, *wanted}):
            a, b = now.get(key), wanted.get(key)
            if isinstance(a, list) and isinstance(b, list):
                parts += [f"{key} more {x}" for x in a if x not in b] + [f"{key} missing {x}" for x in b if x not in a]
            elif a != b:
                parts.append(f"{key} is {a}, not {b}")
        return "; ".join(parts)[:400] or "a number of equal ones"
    return f"{now}, not {wanted}"


def _wrong_record(here: Ground) -> Differs | None:
    try:
        here.record_is_right()
    except Differs as cause:
        return cause
    return None


def _may_be_lost(row: Any) -> bool:
    """Whether a container serves and was created by cortexctl. An adopted one cannot be created again."""
    is_serving = row["State"]["Running"] and not labels.is_generation_name(row["Name"])
    return is_serving and labels.SPEC in (row["Config"]["Labels"] or {})


def _lose(name: str, here: Ground) -> None:
    """Remove a serving container, and check that an apply creates the last applied generation again, and no older one."""
    turn = _turn(here.live.inspect(name))
    here.live.docker_cli("rm", "-f", name)
    code, wrote = here.run("apply", str(here.path), "--auto-approve", "--only", "drift")
    if code:
        raise Differs(f"a lost one does not come back, exit {code}: {wrote[-1500:]}")
    rows = {row["Name"][1:]: row for row in here.rows()}
    if name not in rows or not rows[name]["State"]["Running"]:
        raise Differs("a lost one is not there after apply --only drift")
    if (now := _turn(rows[name])) != turn:
        raise Differs(f"apply --only drift brings another generation back: {now}, served was {turn}")


def _turn(row: Any) -> str:
    return next((str(v) for v in row["Config"]["Env"] if v.startswith("TURN=")), "")


@contextmanager
def _lane(folder: Path) -> Iterator[tuple[Ground, Watched]]:
    with ground(folder, watching_proxy) as (here, watched):
        yield here, watched


def attack_kills(
    kills: int,
    seed: int,
    folder: Path,
    lanes: int = 2,
    until: Callable[[], bool] = lambda: False,
    case: int | None = None,
) -> Row:
    """Run the scenes in turn until `kills` kills have hit. `case`: run only the case with this number."""
    cases = [case_of(seed, number) for number in (range(2 * kills) if case is None else [case])]
    references = References()
    hit = 0
    guard = threading.Lock()

    def enough() -> bool:
        return hit >= kills or until()

    def run(lane: tuple[Ground, Watched], case: Case) -> Outcome:
        nonlocal hit
        outcome = play(case, *lane, references)
        with guard:
            hit += outcome.kills
        return outcome

    outcomes = Lanes(lambda: _lane(folder), lanes).run(cases, run, enough)
    tried = (
        f"{hit} kills in {sum(t.kills > 0 for t in outcomes)} commands ({sum(t.kills > 1 for t in outcomes)} hit more than once), "
        f"{sum(t.in_the_middle for t in outcomes)} between the first change and the end; {sum(t.came_late for t in outcomes)} ended before the kill"
    )
    finds = tuple(t.find for t in outcomes if t.find)
    passed = f"{len(outcomes) - len(finds)} of {len(outcomes)} as undisturbed after one repeat; {sum(t.lost for t in outcomes)} times one was lost after it"
    if dead := sum(t.dead_lock for t in outcomes):
        passed += f"; {dead} dead locks left where the repeat had nothing to do"
    what = "`kill -9` at a random moment, 1-3 times in a row, over " + " / ".join(s.name for s in SCENES)
    return Row(what, tried, passed, finds)
