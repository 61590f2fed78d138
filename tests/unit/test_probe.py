"""plan --probe without a daemon: the queries, the meaning of the answers, and the notes."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from cortexctl.cli.main import run
from cortexctl.desired.stack import Desired, Host
from cortexctl.diagnostics import Severity
from cortexctl.errors import DaemonUnreachable
from cortexctl.hosts import image_parser, temporary
from cortexctl.hosts.transports.choice import connection_to
from cortexctl.instance.labels import PROBE
from cortexctl.observed.container_list import parse_containers
from cortexctl.observed.parser_verdict import CommandLine, ParserVerdict, Probed, parse_probed
from cortexctl.operations.notes import Level, Note
from cortexctl.operations.probe import probe
from cortexctl.plan.model import Plan
from cortexctl.plan.parser_probe import parser_queries
from tests.fakes.dripping import Drip, dripping_daemon
from tests.fakes.world import World
from tests.reading import desired_from

STACK = """stack = "demo"
[hosts.a]
docker = "unix:///a.sock"
[hosts.b]
docker = "unix:///b.sock"

[models.one]
image = "image:v0.32.0"
source = { repo = "org/one" }
hosts = ["a", "b"]
gpus = "none"
[models.one.args]
max_model_len = 2048
[models.one.secrets]
VLLM_API_KEY = { env = "KEY" }

[models.two]
image = "image:v0.32.0"
source = { repo = "org/two" }
hosts = ["a"]
gpus = "none"

[models.old]
image = "image:v0.10.2"
source = { repo = "org/old" }
hosts = ["b"]
gpus = "none"
"""
IMAGES = ("image:v0.32.0", "image:v0.10.2")


class Parsers:
    """Answers every query with the given verdicts. A single verdict counts for every line."""

    def __init__(self, *verdicts: ParserVerdict, problem: str = "") -> None:
        self.verdicts = verdicts
        self.problem = problem
        self.queries: list[tuple[str, str, str, tuple[CommandLine, ...]]] = []

    def probe_parser(self, host: str, image: str, program: str, lines: Sequence[CommandLine]) -> Probed:
        self.queries.append((host, image, program, tuple(lines)))
        if self.problem:
            return Probed(problem=self.problem)
        return Probed(tuple(self.verdicts * len(lines))[: len(lines)])


YES = ParserVerdict(accepted=True, verdict="ok", release="0.32.0")
NO = ParserVerdict(accepted=False, verdict="value", text="argument --max-model-len: invalid value", release="0.32.0")


@pytest.fixture
def world() -> World:
    return World("demo", "a", "b", images=IMAGES)


@pytest.fixture
def desired(tmp_path: Path) -> Desired:
    (tmp_path / "stack.toml").write_text(STACK)
    return desired_from(tmp_path / "stack.toml", {"KEY": "planted"})


def probed(plan: Plan, desired: Desired, parsers: Parsers, notes: list[Note] | None = None) -> Plan:
    return probe(plan, desired, parsers, (notes if notes is not None else list[Note]()).append)


def test_an_image_is_queried_once_for_all_its_instances(world: World, desired: Desired) -> None:
    plan = world.plan(desired)
    parsers = Parsers(YES)
    assert probed(plan, desired, parsers) == plan
    (host, image, program, lines), (_, _, old_program, old_lines) = sorted(parsers.queries, key=lambda a: -len(a[3]))
    assert (host, image, program) == ("a", world.daemon("a").images["image:v0.32.0"], "serve")
    assert [line[0] for line in lines] == ["org/one", "org/two"]
    assert (old_program, old_lines[0][:2]) == ("api_server", ("--model", "org/old"))
    assert "planted" not in str(parsers.queries)
    assert [list(q.lines.values()) for q in parser_queries(plan)] == [[("a/one", "b/one"), ("a/two",)], [("b/old",)]]


def test_existing_instances_are_not_queried(world: World, desired: Desired) -> None:
    world.secrets.values["KEY"] = "planted"
    world.apply(world.plan(desired))
    parsers = Parsers(NO)
    probed(world.plan(desired), desired, parsers)
    assert parsers.queries == []


def test_a_refusal_is_an_error_at_the_argument(world: World, desired: Desired) -> None:
    plan = world.plan(desired)
    notes: list[Note] = []
    diagnostics = [d for d in probed(plan, desired, Parsers(NO, YES), notes).diagnostics if d.rule == "CX312"]
    first = next(d for d in diagnostics if "a/one" in d.summary)
    assert first.severity is Severity.ERROR
    assert first.summary == "a/one, b/one: the parser in image:v0.32.0 (vLLM 0.32.0) refuses the arguments"
    assert first.span is not None
    assert first.span.line_text == "max_model_len = 2048"
    assert first.detail == "its message: argument --max-model-len: invalid value"
    assert not any("accepts" in note.text for note in notes)


def test_another_release_is_the_likely_cause(world: World, desired: Desired) -> None:
    plan = world.plan(desired)
    notes: list[Note] = []
    diagnostics = probed(plan, desired, Parsers(replace(NO, release="0.31.0+cu129")), notes).diagnostics
    helps = [d.help for d in diagnostics if d.rule == "CX312" and "a/one" in d.summary]
    assert 'set vllm_version = "0.31.0"' in helps[0]
    texts = [note.text for note in notes if note.level is Level.NOTE]
    assert any("contains vLLM 0.31.0+cu129, but the stack assumes 0.32.0" in text for text in texts)


def test_an_option_that_no_release_has_is_not_mistaken_for_a_stock_one(world: World, desired: Desired) -> None:
    never = Parsers(replace(NO, text="unrecognized arguments: --no-such-option 3"))
    diagnostics = probed(world.plan(desired), desired, never).diagnostics
    (advice,) = [d.help for d in diagnostics if d.rule == "CX312" and "a/one" in d.summary]
    assert advice.startswith("no stock release has --no-such-option either")


@pytest.mark.parametrize(
    ("parsers", "reason"),
    [
        (
            Parsers(problem="it did not finish within 300 s"),
            "could not check the arguments: it did not finish within 300 s",
        ),
        (Parsers(replace(NO, verdict="unknown", text="FileNotFoundError: x")), "could not decide without a file"),
    ],
)
def test_no_answer_is_a_warning(world: World, desired: Desired, parsers: Parsers, reason: str) -> None:
    plan = world.plan(desired)
    diagnostics = [d for d in probed(plan, desired, parsers).diagnostics if d.rule == "CX313"]
    assert diagnostics
    assert all(d.severity is Severity.WARNING and reason in d.summary for d in diagnostics)


def test_a_daemon_that_stops_answering_is_a_warning(world: World, desired: Desired) -> None:
    class Gone(Parsers):
        def probe_parser(self, host: str, image: str, program: str, lines: Sequence[CommandLine]) -> Probed:
            raise DaemonUnreachable(f"{host}: gone")

    plan = world.plan(desired)
    assert "a: gone" in next(d for d in probed(plan, desired, Gone()).diagnostics if d.rule == "CX313").summary


def test_a_probe_does_not_pull_an_image(world: World, desired: Desired) -> None:
    for daemon in world.daemons.by_host.values():
        daemon.in_registry["image:v0.32.0"] = "sha256:" + "a" * 64
        del daemon.images["image:v0.32.0"]
    plan = world.plan(desired)
    parsers = Parsers(YES)
    diagnostics = [d for d in probed(plan, desired, parsers).diagnostics if d.rule == "CX313"]
    assert [d.summary for d in diagnostics] == [
        f"{address}: the parser in image:v0.32.0 did not check the arguments, because the image is not on {address[0]}"
        for address in ("a/one", "b/one", "a/two")
    ]
    assert [program for _, _, program, _ in parsers.queries] == ["api_server"]


def test_a_probe_is_not_in_the_list_of_containers() -> None:
    row = {"Id": "1", "Names": ["/cortexctl-probe-1"], "State": "running", "Labels": {PROBE: "demo"}}
    assert parse_containers([row]) == ()


@pytest.mark.parametrize("options", [["--observed", "x.json"], ["--against", "none"]])
def test_a_plan_for_review_starts_nothing(
    tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "stack.toml").write_text(STACK)
    assert run(["plan", str(tmp_path / "stack.toml"), "--probe", *options]) == 1
    assert "--probe starts containers on the hosts" in capsys.readouterr().err


LINE = json.dumps({"accepted": True, "verdict": "ok", "text": "", "release": "1", "values": {}})


@pytest.mark.parametrize(
    ("output", "log", "problem"),
    [
        ("", "", "it ended without a verdict and without a message"),
        ("", "a\nlast word\n\n", "it ended without a verdict: last word"),
        (f"{LINE}\n{LINE}\n", "", "it ended without a verdict and without a message"),
        ("no json\n", "", "its answer contains no verdicts"),
        ("[]\n", "", "its answer contains no verdicts"),
        ("3\n", "", "its answer contains no verdicts"),
        ("[" * 100_000, "", "its answer contains no verdicts"),
        ('{"accepted": true}\n', "", "its answer contains no verdicts"),
        ('{"failed": "ImportError:\\n x"}\n', "", "its parser could not be built: ImportError: x"),
    ],
)
def test_an_image_may_answer_anything(output: str, log: str, problem: str) -> None:
    assert parse_probed(output, log, 1) == Probed(problem=problem)


def test_verdicts_are_read() -> None:
    assert parse_probed(LINE + "\n", "noise", 1).verdicts == (ParserVerdict(accepted=True, verdict="ok", release="1"),)


# ---- an image or a daemon that never finishes


class Starts:
    """The part of a daemon's client that a probe uses."""

    def start(self, container: str) -> None:
        pass


@pytest.mark.parametrize(
    "drip",
    [
        Drip(b"HTTP/1.1 101 UPGRADED\r\n\r\n", b"\1\0\0\0\0\0\0\1x"),
        Drip(b"HTTP/1.1 101 UPGRADED\r\n", b"X"),
        Drip(b"", b"HTTP/1.1 100 Continue\r\n"),
    ],
    ids=["output", "head", "100 Continue"],
)
def test_an_answer_that_drips_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drip: Drip) -> None:
    for name in ("TIME_LIMIT", "GRACE", "REQUEST_TIMEOUT"):
        monkeypatch.setattr(image_parser, name, 0.25)
    with dripping_daemon(tmp_path / "e.sock", drip) as url:
        with suppress(DaemonUnreachable):
            assert (
                image_parser._answer(Starts(), connection_to(Host("here", url)), "c" * 64, 1).problem
                == "it did not finish within 0.25 s"
            )
        assert not drip.finished()


def test_each_frame_of_an_answer_is_read_once() -> None:
    """Millions of frames of one byte are an answer of allowed size."""
    frames = b"\1\0\0\0\0\0\0\1o" * 900_000 + b"\2\0\0\0\0\0\0\3log" + b"\2\0\0\0\0\0\0\3lo"
    assert temporary.two_streams(frames) == ("o" * 900_000, "loglo")


@pytest.mark.parametrize("offset", [-3600, 0, 3600])
def test_the_age_of_a_leftover_container_is_by_the_daemons_clock(offset: int) -> None:
    """With the clock of this machine, the container that another command is about to start would be removed."""
    now = time.time() + offset
    removed: list[str] = []

    class Api:
        def containers(self, **_: object) -> list[dict[str, object]]:
            return [{"Id": "new", "Created": now - 1}, {"Id": "old", "Created": now - 500}]

        def remove_container(self, container: str, **_: object) -> None:
            removed.append(container)

    temporary.remove_left(Api(), "demo", 120, lambda: now)
    assert removed == ["old"]


def test_the_problem_of_an_image_is_short() -> None:
    assert len(parse_probed("", "x" * 1_000_000, 1).problem) < 3_000
    assert len(parse_probed('{"failed": "' + "x" * 1_000_000 + '"}', "", 1).problem) < 3_000
