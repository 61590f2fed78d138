"""Labels, locks and records that another user wrote on a host, and daemons whose answer is not a list.

Every user of a host's daemon can write them, and no command of the fleet may crash because of them.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cortexctl.hosts.lock import this_machine
from cortexctl.instance import labels
from cortexctl.instance.codec import spec_to_label
from cortexctl.observed.record import Applied, HostRecord, Start, record_to_label
from tests.attack.commands import command, in_one_process
from tests.attack.finds import Find, Row, attempt, bounded
from tests.attack.mutators import mutated_json
from tests.fakes.daemon_socket import LIST, row, talking_daemon
from tests.fakes.inspection import inspection
from tests.reading import desired_from, model_text, stack_text

STACK = stack_text(model_text(publish='"127.0.0.1"'))
DIGITS = "9" * 5000
NUMBERS = [DIGITS, "9" * 30, "0" * 5000 + "1", "-1", "+1", " 1", "1.5", "1e9", "Infinity", "NaN", "0x1", "\u0661", "\u00b2", "", "x", str(2**31), str(2**63), str(2**64)]  # fmt: skip
TEXTS = [
    "\x1b[2J\x1b[31mred", "\x1b]0;title\x07", "\x9b31m", "\u202elive\u2066", "\r overwritten", "a\nError: b", "\x00", "<script>alert(1)</script>", "</details>",
    "@org/team #1 ![x](http://evil.example/x)", "`|", "x" * 100_000, "{{ vars.x }}", "::error::x", "\u2028", "' \" \\", "../../etc", "a/b", "",
]  # fmt: skip
NESTED = [
    "[" * 100_000 + "]" * 100_000,
    '{"v":' * 50_000 + "1" + "}" * 50_000,
    "null",
    "[]",
    "{}",
    '"x"',
    "1",
    DIGITS,
    '{"v":1}',
    '{"v":1}x',
    "\ufeff{}",
    "NaN",
]

COMMANDS: list[tuple[str, ...]] = [
    ("plan", "stack.toml"), ("plan", "stack.toml", "--format", "markdown"), ("plan", "stack.toml", "--format", "html"),
    ("plan", "stack.toml", "--format", "json"), ("plan", "stack.toml", "--destroy"), ("plan", "stack.toml", "--only", "drift"),
    ("drift", "stack.toml", "--no-health"), ("drift", "stack.toml", "--no-health", "--format", "json"),
    ("drift", "stack.toml", "--no-health", "--format", "markdown"), ("drift", "stack.toml", "--no-health", "--format", "prometheus"),
    ("drift", "stack.toml", "--no-health", "--deep"), ("status", "stack.toml"), ("status", "stack.toml", "--format", "json"), ("history", "stack.toml"),
    ("history", "stack.toml", "--format", "json"), ("observe", "stack.toml"), ("import", "here", "--stack", "stack.toml"), ("diagnose", "here/tiny", "--stack", "stack.toml"),
    ("diagnose", "here/nothing", "--stack", "stack.toml"),
    ("rollback", "here/tiny", "--stack", "stack.toml"), ("lock", "status", "stack.toml"), ("lock", "release", "stack.toml"),
    ("apply", "stack.toml", "--auto-approve", "--lock-timeout", "0s"), ("destroy", "stack.toml", "--auto-approve", "--lock-timeout", "0s"),
]  # fmt: skip
OF_LOCKS = [line for line in COMMANDS if line[0] in {"lock", "drift", "apply"}]
OF_RECORDS = [line for line in COMMANDS if line[0] in {"plan", "drift", "history", "observe"}]


@dataclass(frozen=True)
class Hostile:
    """What the daemon shows. `rows` replaces its whole answer to the list."""

    name: str
    marks: Mapping[str, str] = field(default_factory=dict)
    lock: Mapping[str, str] | None = None
    record: str | None = None
    rows: Any = None
    changed: Mapping[str, Any] = field(default_factory=dict)
    """Path -> another answer, with whatever else is shown."""
    commands: Sequence[tuple[str, ...]] = tuple(COMMANDS)


def by_hand(seed: int) -> Iterator[Hostile]:
    """Every label with every number or text that is none, in an order by the seed."""
    numbers = [(labels.GENERATION, n) for n in NUMBERS] + [(labels.ORDINAL, n) for n in NUMBERS]
    others = [
        labels.MODEL,
        labels.RUN,
        labels.VERSION,
        labels.AUTHOR,
        labels.REVISION,
        labels.PROTECT,
        labels.ON_REMOVE,
        labels.HOST,
    ]
    cases = [
        Hostile(f"label-{k}-{n}", marks={k: v})
        for n, (k, v) in enumerate([*numbers, *itertools.product(others, TEXTS)])
    ]
    cases += [Hostile(f"spec-{n}", marks={labels.SPEC: text}) for n, text in enumerate([*NESTED, *TEXTS])]
    for key, texts in (
        ("pid", NUMBERS),
        ("started", NUMBERS),
        ("expires", NUMBERS),
        ("who", TEXTS),
        ("machine", TEXTS),
        ("run", TEXTS),
        ("owner", TEXTS),
        ("born", [*TEXTS, *NUMBERS]),
    ):
        cases += [Hostile(f"lock-{key}-{n}", lock={key: text}, commands=OF_LOCKS) for n, text in enumerate(texts)]
    cases += [Hostile(f"record-{n}", record=text, commands=OF_RECORDS) for n, text in enumerate([*NESTED, *TEXTS])]
    cases += [Hostile(f"record-number-{n}", record=text, commands=OF_RECORDS) for n, text in enumerate(_records())]
    random.Random(f"labels-{seed}").shuffle(cases)
    yield from cases


def _records() -> Iterator[str]:
    """A right record with another number in one place."""
    right = _record()
    for match in re.finditer(r'"(?:generation|ordinal)":(1)|"starts":\[\[(\d+\.\d)', right):
        at = match.span(1) if match[1] else match.span(2)
        for number in ("Infinity", "-Infinity", "NaN", "1e999", DIGITS, "9" * 30, "-1", "null", '"x"', "[]"):
            yield right[: at[0]] + number + right[at[1] :]


def lists(seed: int) -> Iterator[Hostile]:
    """Answers to the request for all containers that are not a list of containers."""
    deep: Any = []
    for _ in range(900):
        deep = [deep]
    for number, rows in enumerate(
        [
            {},
            {"message": "x"},
            "x",
            1,
            True,
            [None],
            [1],
            ["x"],
            [[]],
            [{}],
            deep,
            [{"Id": 1}],
            [{"Id": "x", "Names": [None]}],
            1.5,
        ]
    ):
        yield Hostile(f"list-{number}", rows=rows)
    choose = random.Random(f"lists-{seed}")
    for number in range(60):
        yield Hostile(f"list-changed-{number}", rows=mutated_json(choose, [_row({})], choose.choice([1, 1, 2])))


def generated(count: int, seed: int) -> Iterator[Hostile]:
    """Labels of a right container whose JSON is changed anywhere."""
    for number in range(count):
        choose = random.Random(f"labels-{seed}-{number}")
        spec = json.dumps(mutated_json(choose, json.loads(_spec()), choose.choice([1, 1, 2])))
        record = json.dumps(mutated_json(choose, json.loads(_record()), choose.choice([1, 1, 2])))
        if choose.random() < 0.5:
            yield Hostile(f"spec-changed-{number}", marks={labels.SPEC: spec}, commands=OF_RECORDS)
        else:
            yield Hostile(f"record-changed-{number}", record=record, commands=OF_RECORDS)


def changed_answers(count: int, seed: int) -> Iterator[Hostile]:
    """A right container, lock and record, and one answer of the daemon that is changed anywhere."""
    _spec()
    right = answers_of(Hostile("right", lock={}))
    paths = [path for path in sorted(right) if not path.startswith("/v1.41")]
    for number in range(count):
        choose = random.Random(f"answers-{seed}-{number}")
        path = choose.choice(paths)
        answer = mutated_json(choose, [right[path]], choose.choice([1, 1, 2]))
        changed = {path: answer[0] if isinstance(answer, list) and answer else answer}
        yield Hostile(f"answer-{number}", lock={} if number % 2 else None, changed=changed)


_KNOWN: dict[str, str] = {}


def _spec() -> str:
    """The label that an apply of the stack would write."""
    if not _KNOWN:
        with tempfile.TemporaryDirectory() as name:
            (Path(name) / "stack.toml").write_text(STACK)
            spec = desired_from(Path(name) / "stack.toml").instances[0].spec
        applied = Applied("tiny", 1, 1, "run1", spec, (Start(12.5, "/models/tiny"),), (1.5,))
        _KNOWN.update(spec=spec_to_label(spec), record=record_to_label(HostRecord("here", {"here/tiny": applied})))
        _KNOWN["inspection"] = json.dumps(inspection(spec, changes={"Config": {"Tty": False}}))
    return _KNOWN["spec"]


def _record() -> str:
    _spec()
    return _KNOWN["record"]


def _row(marks: Mapping[str, str]) -> dict[str, Any]:
    ours = row(_spec())
    return {**ours, "Labels": {**ours["Labels"], labels.RUN: "run1", **marks}}


def answers_of(case: Hostile) -> dict[str, Any]:
    """Path -> answer of the daemon, with and without the version that docker-py puts before the path."""
    answers: dict[str, Any] = {LIST: case.rows if case.rows is not None else [_row(case.marks)], "/images/json": []}
    lock = {
        "owner": "x",
        "who": "alice",
        "machine": this_machine(),
        "pid": str(os.getpid()),
        "run": "run1",
        "started": "1",
        "expires": "2",
    }
    mine = {"cortexctl.stack": "demo"}
    if case.lock is not None:
        lock_labels = {f"cortexctl.lock.{key}": value for key, value in {**lock, **case.lock}.items()}
        answers["/volumes/cortexctl-lock-demo"] = {"Name": "cortexctl-lock-demo", "Labels": {**mine, **lock_labels}}
        answers["/volumes/cortexctl-lock-demo?force=True"] = {}
        answers["/volumes/create"] = answers["/volumes/cortexctl-lock-demo"]
    record = case.record if case.record is not None else _record()
    answers["/volumes/cortexctl-record-demo"] = {
        "Name": "cortexctl-record-demo",
        "Labels": {**mine, "cortexctl.record": record},
    }
    known = {
        "Id": f"{'tiny':0>64}",
        "Name": "/vllm-model-tiny",
        "State": {"Running": True, "StartedAt": "2026-01-01T00:00:00Z"},
    }
    answers[f"/containers/{'tiny':0>64}/json"] = {**json.loads(_KNOWN["inspection"]), **known}
    answers.update(case.changed)
    versioned = {f"/v1.41{path}": answer for path, answer in answers.items()}
    return {**answers, **versioned, "/version": {"ApiVersion": "1.41", "MinAPIVersion": "1.12", "Version": "20.10.24"}}


def _attack(what: str, cases: Sequence[Hostile], *, quick: bool = False) -> Row:
    """Each command against each case. `quick`: of each case only some commands, others for the next."""
    finds: list[Find] = []
    runs = 0
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name, in_one_process():
        folder = Path(name)
        (folder / "stack.toml").write_text(STACK)
        os.chdir(folder)
        try:
            for number, case in enumerate(cases):
                shown = json.dumps(answers_of(case)).encode()
                with talking_daemon(folder / f"{number}.sock", answers_of(case)) as daemon:
                    for line in case.commands[number % 4 :: 4] if quick else case.commands:
                        runs += 1
                        files = {
                            "daemon.json": shown,
                            "stack.toml": STACK.encode(),
                            "command.txt": " ".join(line).encode(),
                        }
                        with bounded():
                            find = attempt(f"{case.name}--{'-'.join(line)}"[:120], files, _one(line, daemon.url))
                        finds += [find] if find else []
        finally:
            os.chdir(before)
    return Row(what, f"{len(cases)} cases, {runs:,} commands", f"{runs - len(finds):,} ended in words", tuple(finds))


def _one(line: tuple[str, ...], url: str) -> Callable[[], None]:
    def do() -> None:
        command(*line, env={"DOCKER_HOST": url})

    return do


def attack_labels(count: int, seed: int) -> Row:
    """Try up to `count` cases that were written by hand, and `count` generated ones."""
    written = list(by_hand(seed))[:count]
    cases = [*written, *generated(count, seed)]
    return _attack("labels, locks and records by somebody else", cases, quick=count < 200)


def attack_lists(count: int, seed: int) -> Row:
    return _attack("the list of containers answered with something else", list(lists(seed))[:count], quick=count < 50)


def attack_answers(count: int, seed: int) -> Row:
    return _attack("answers of the daemon, changed anywhere", list(changed_answers(count, seed)), quick=True)
