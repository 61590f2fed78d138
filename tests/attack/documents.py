"""Stack files, plan files and snapshots that were changed at random: each is read and shown, or refused with a message."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from cortexctl.desired.stack import Desired
from cortexctl.errors import CortexctlError
from cortexctl.observed.host import ObservedHost
from cortexctl.observed.observation import Observed
from cortexctl.observed.snapshot import snapshot_to_json
from cortexctl.operations.review import plan_from_snapshot
from cortexctl.plan.guards import check_desired
from cortexctl.plan.hypothetical import as_if_applied
from cortexctl.plan.model import Plan
from cortexctl.plan.needs import needs
from cortexctl.plan.placement import placed
from cortexctl.plan.planfile import NotAPlan, digest_of, plan_from_json, plan_to_json
from cortexctl.plan.planner import plan
from cortexctl.plan.request import Request
from cortexctl.render.diagnostic import diagnostics_text
from cortexctl.render.plan.html import plan_html
from cortexctl.render.plan.markdown import plan_markdown
from cortexctl.render.plan.terminal import plan_text, refusal_text
from cortexctl.render.sarif import sarif_json
from cortexctl.render.style import Ink
from cortexctl.stack.document import UnreadableDocument, parse_document
from cortexctl.stack.edit.layout import formatted
from cortexctl.stack.load import environments
from tests.attack.commands import command, in_one_process
from tests.attack.finds import Find, Row, attempt, bounded, check_shown
from tests.attack.mutators import mutated_json, mutated_json_text, mutated_toml
from tests.conftest import REPO
from tests.reading import desired_from, observed_from, read

PLAIN = Ink(enabled=False)
SECRETS = {"HF_TOKEN": "hf-planted-in-no-plan"}
PLAN_CASES = sorted(p for p in (REPO / "tests/cases/plan").iterdir() if (p / "observed.json").exists())


def show_plan(shown: Plan) -> None:
    """In all formats, with nothing in them that has an effect."""
    check_shown("a plan as text", plan_text(shown, PLAIN, explain=True) + refusal_text(shown, PLAIN))
    check_shown("a plan as Markdown", plan_markdown(shown))
    check_shown("a plan as HTML", plan_html(shown))
    plan_to_json(shown)


# stack files


@cache
def stack_texts() -> list[str]:
    """Right ones, and those of the cases that are wrong somewhere: a third."""
    right = sorted([*REPO.glob("stacks/*.toml"), *REPO.glob("tests/cases/plan/*/stack.toml")])
    wrong = sorted(REPO.glob("tests/cases/stack/*/stack.toml"))
    files = [*wrong, *right * (2 * len(wrong) // len(right) + 1)]
    return [path.read_bytes().decode("utf-8", "replace") for path in files]


@cache
def stack_values() -> list[Any]:
    """Those of the stacks that are right as TOML."""
    values = []
    for text in stack_texts():
        try:
            values.append(json.loads(json.dumps(parse_document("stack.toml", text).data)))
        except (UnreadableDocument, TypeError):
            continue
    return values


def stack_file(seed: str) -> tuple[str, bytes]:
    """A file name and its content: TOML in six of seven cases, else JSON."""
    choose = random.Random(seed)
    if choose.random() < 0.85:
        return "stack.toml", mutated_toml(choose, stack_texts())
    return "stack.json", mutated_json_text(choose, choose.choice(stack_values()))


def try_stack(path: Path) -> bool:
    """Read, show all that is wrong, lay out, plan. Whether it is valid."""
    valid = False
    for env in ["", *environments(str(path))[:2]]:
        desired, diagnostics = read(path, SECRETS, env)
        check_shown("what is wrong with a stack", diagnostics_text(diagnostics, PLAIN))
        sarif_json(diagnostics, str(path)).encode()
        assert desired is not None or any(d.is_error for d in diagnostics), "a stack is refused without a reason"
        if desired is not None:
            valid = valid or not env
            plan_stack(desired)
    _lay_out(path)
    return valid


def plan_stack(desired: Desired) -> None:
    """Plan against empty hosts, and against hosts that run the stack. A plan must be the same after JSON."""
    desired, unplaced = placed(desired)
    diagnostics_text([*unplaced, *check_desired(desired)], PLAIN)
    empty = Observed(tuple(ObservedHost(h.name, daemon="Docker/20.10.24 (linux)", api="1.41") for h in desired.hosts))
    for observed in (empty, as_if_applied(desired, desired)):
        assert needs(desired, observed, Request()) is not None
        planned = plan(desired, observed, Request())
        show_plan(planned)
        assert plan_from_json(plan_to_json(planned)) == planned, "a plan is not the same after JSON"


def _lay_out(path: Path) -> None:
    """Format the file like `fmt`. The result must have the same content."""
    try:
        text = path.read_bytes().decode("utf-8")
        before = parse_document(str(path), text)
        after = parse_document(str(path), formatted(str(path), text))
    except (UnreadableDocument, CortexctlError, UnicodeDecodeError):
        return
    assert repr(after.data) == repr(before.data), "fmt changed the content of a stack"


# plan files


@cache
def plan_documents() -> list[dict[str, Any]]:
    return [json.loads((case / "plan.json").read_text(encoding="utf-8")) for case in PLAN_CASES]


def plan_file(seed: str) -> bytes:
    """A changed plan file with a valid digest, so that its content is read."""
    choose = random.Random(seed)
    document = mutated_json(
        choose, choose.choice(plan_documents()), choose.choice([1, 1, 2, 3]), ("digest", "format_version")
    )
    document["digest"] = digest_of(document)
    return json.dumps(document, ensure_ascii=choose.random() < 0.5).encode("utf-8", "surrogatepass")


def try_plan(path: Path) -> bool:
    """Read and show a plan file, or refuse it. Returns whether it was accepted."""
    try:
        planned = plan_from_json(path.read_text(encoding="utf-8"))
    except (NotAPlan, UnicodeDecodeError):
        assert command("show", str(path)).code == 1, "a plan file that is refused is shown"
        return False
    show_plan(planned)
    return True


# snapshots


@cache
def snapshots() -> list[tuple[Desired, dict[str, Any]]]:
    pairs = []
    for case in PLAN_CASES:
        options = json.loads((case / "options.json").read_text()) if (case / "options.json").exists() else {}
        desired = desired_from(case / "stack.toml", {**SECRETS, "HF_TOKEN_BEFORE": "x"}, options.get("env", ""))
        pairs.append((desired, json.loads(snapshot_to_json(observed_from(case / "observed.json")))))
    return pairs


def snapshot(seed: str) -> tuple[Desired, bytes]:
    """A stack, and a changed snapshot of its hosts. Texts of labels that are JSON are changed inside as well."""
    choose = random.Random(seed)
    desired, document = choose.choice(snapshots())
    document = mutated_json(choose, document, choose.choice([0, 1, 1, 2, 3]), ("format_version",))
    if choose.random() < 0.4:
        _change_labels(choose, document)
    return desired, json.dumps(document, ensure_ascii=choose.random() < 0.5).encode("utf-8", "surrogatepass")


def _change_labels(choose: random.Random, document: Any) -> None:
    hosts = document.get("hosts") if isinstance(document, dict) else None
    for host in hosts if isinstance(hosts, list) else ():
        containers = host.get("containers") if isinstance(host, dict) else None
        for container in containers if isinstance(containers, list) else ():
            labels = container.get("labels") if isinstance(container, dict) else None
            if isinstance(labels, dict) and labels:
                name = choose.choice(sorted(labels))
                labels[name] = _changed_text(choose, labels[name])
    records = document.get("records") if isinstance(document, dict) else None
    if isinstance(records, dict):
        for host, text in records.items():
            records[host] = _changed_text(choose, text)


def _changed_text(choose: random.Random, text: Any) -> Any:
    try:
        return json.dumps(mutated_json(choose, json.loads(text), 1))
    except (ValueError, TypeError, RecursionError):
        return choose.choice(["", "9" * 5000, "-1", "x" * 10_000, "\x1b[2J", "\u202e", "null", "[]", "\ud800"])


def try_snapshot(desired: Desired, path: Path) -> bool:
    """Planned against and shown, or refused. Whether it was taken."""
    try:
        planned = plan_from_snapshot(desired, str(path), Request(), report=lambda _: None)
    except CortexctlError:
        environment = ("--env", desired.env) if desired.env else ()
        refused = command("plan", desired.path, *environment, "--observed", str(path))
        assert refused.code == 1, "a snapshot that is refused is planned against"
        return False
    show_plan(planned)
    return True


# all of them


def attack_stacks(count: int, seed: int) -> Row:
    def one(name: str, folder: Path) -> tuple[Mapping[str, bytes], Callable[[], bool]]:
        file, content = stack_file(name)
        (folder / file).write_bytes(content)
        return {file: content}, lambda: try_stack(folder / file)

    finds, taken = _each("stacks", count, seed, one)
    what = "stack files, mutated (TOML 85 %, JSON 15 %), read, laid out, rendered as text and SARIF, and where valid planned and rendered"
    return Row(what, f"{count:,} ({taken:,} valid)", f"{count - taken:,} refused or with problems", tuple(finds))


def attack_plans(count: int, seed: int) -> Row:
    def one(name: str, folder: Path) -> tuple[Mapping[str, bytes], Callable[[], bool]]:
        content = plan_file(name)
        (folder / "plan.json").write_bytes(content)
        return {"plan.json": content}, lambda: try_plan(folder / "plan.json")

    finds, taken = _each("plans", count, seed, one)
    what = "plan files, fields mutated, digest set right again, read and rendered"
    return Row(what, f"{count:,} ({count - taken - len(finds):,} refused)", f"{taken:,} shown", tuple(finds))


def attack_snapshots(count: int, seed: int) -> Row:
    def one(name: str, folder: Path) -> tuple[Mapping[str, bytes], Callable[[], bool]]:
        desired, content = snapshot(name)
        (folder / "snapshot.json").write_bytes(content)
        return {"snapshot.json": content, "stack.txt": desired.path.encode()}, lambda: try_snapshot(
            desired, folder / "snapshot.json"
        )

    finds, taken = _each("snapshots", count, seed, one)
    what = "snapshots, fields and labels mutated, planned against and rendered"
    return Row(what, f"{count:,} ({count - taken - len(finds):,} refused)", f"{taken:,} planned", tuple(finds))


Case = Callable[[str, Path], tuple[Mapping[str, bytes], Callable[[], bool]]]
"""A seed and a folder -> the files that were written there, and what to do with them."""


def _each(kind: str, count: int, seed: int, one: Case) -> tuple[list[Find], int]:
    """The finds, and how many of the inputs were taken."""
    finds: list[Find] = []
    taken: list[bool] = []
    with tempfile.TemporaryDirectory() as name, in_one_process():
        for number in range(count):
            case = f"{kind}-{seed}-{number}"
            files, do = one(case, Path(name))
            with bounded():
                find = attempt(case, files, lambda do=do: taken.append(do()))  # type: ignore[misc]
            finds += [find] if find else []
    return finds, sum(taken)
