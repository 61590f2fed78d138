"""`cortexctl diagnose`: a container's end, its log and its health together; and a log alone."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cortexctl.errors import SecretUnresolved
from cortexctl.instance import labels
from cortexctl.instance.codec import spec_to_label
from cortexctl.instance.secret import hidden
from cortexctl.instance.spec import SecretRef
from cortexctl.observed.container_state import ContainerState
from cortexctl.observed.health import Answer, HealthOutcome
from cortexctl.observed.owned import OwnedInstance, owned_instances
from cortexctl.operations.diagnose import examine
from cortexctl.operations.instances import newest
from cortexctl.operations.results import Diagnosed
from cortexctl.reach import Reach
from cortexctl.render.diagnosis import diagnosed_json, diagnosed_text
from cortexctl.render.style import Ink
from tests.fakes.container import FakeContainer
from tests.fakes.daemon import FakeDaemon
from tests.forks import ran
from tests.specs import new_spec

CASES = Path(__file__).parent.parent / "cases" / "diagnosis"
TOO_SMALL = (
    "(EngineCore pid=268) ERROR 11-24 00:35:03 [core.py:1510] ValueError: To serve at least one request with the "
    "model's max seq len (16384), (2.25 GiB KV cache is needed, which is larger than the available KV cache memory "
    "(1.55 GiB). Based on the available memory, the estimated maximum model length is 11264."
)
PLAIN = Ink(enabled=False)


@dataclass
class Values:
    """Secrets by name; the others do not resolve."""

    known: dict[str, str] = field(default_factory=dict)
    requested: list[str] = field(default_factory=list)

    def value(self, reference: SecretRef) -> str:
        self.requested.append(reference.name)
        if reference.name not in self.known:
            raise SecretUnresolved(f"{reference.name} is not set")
        return self.known[reference.name]


def spec(*secrets: SecretRef) -> str:
    return spec_to_label(new_spec(image="image:v0.32.0", model="/models/tiny", served_names=("tiny",), secrets=secrets))


def container(daemon: FakeDaemon, name: str, generation: int, spec_label: str = "", **fields: Any) -> FakeContainer:
    marks = {
        **labels.owner_labels("demo"),
        labels.MODEL: "tiny",
        labels.HOST: "here",
        labels.GENERATION: str(generation),
        labels.SPEC: spec_label or spec(),
    }
    return daemon.add(name, labels=marks, **fields)


def instance(daemon: FakeDaemon) -> OwnedInstance:
    return owned_instances(daemon.observed(), "demo")["here/tiny"]


def answering(outcome: HealthOutcome, status: int = 0) -> Callable[[Reach, float, str], Answer]:
    return lambda _reach, _seconds, _path: Answer(outcome, status)


NO_LISTENER = answering(HealthOutcome.REFUSED)


def seen(
    daemon: FakeDaemon, values: Values | None = None, query: Callable[[Reach, float, str], Answer] = NO_LISTENER
) -> Diagnosed:
    one = instance(daemon)
    return examine(one, newest(one), daemon, values or Values(), query)


@pytest.fixture
def daemon() -> FakeDaemon:
    return FakeDaemon("here", "demo")


# which container


def test_the_newest_container_is_diagnosed_whatever_its_role(daemon: FakeDaemon) -> None:
    container(daemon, "vllm-model-tiny", 2, state="running")
    container(daemon, "vllm-model-tiny--g1", 1, state="exited")
    assert seen(daemon).role == "serving"
    container(daemon, "vllm-model-tiny--g3", 3, state="exited", exit_code=1, log=[TOO_SMALL])
    diagnosed = seen(daemon)
    assert (diagnosed.role, diagnosed.generation, diagnosed.container) == ("candidate", 3, "vllm-model-tiny--g3")


def test_without_a_serving_one_the_newest_is_a_candidate(daemon: FakeDaemon) -> None:
    container(daemon, "vllm-model-tiny--g1", 1, state="exited", exit_code=1)
    assert seen(daemon).role == "candidate"


def test_an_older_container_than_the_serving_one_is_retained(daemon: FakeDaemon) -> None:
    container(daemon, "vllm-model-tiny", 2, state="running")
    container(daemon, "vllm-model-tiny--g1", 1, state="exited")
    one = instance(daemon)
    assert examine(one, one.others[0], daemon, Values(), NO_LISTENER).role == "retained"


# the report


def test_a_cause_is_shown_with_its_evidence_and_the_containers_end(daemon: FakeDaemon) -> None:
    log = ["INFO 11-24 00:34:54 [gpu_model_runner.py:5402] Starting to load model /models/tiny...", TOO_SMALL]
    container(daemon, "vllm-model-tiny--g3", 3, state="exited", exit_code=1, log=log)
    diagnosed = seen(daemon)
    assert diagnosed.diagnosis is not None
    assert diagnosed.is_explained
    text = diagnosed_text(diagnosed, PLAIN)
    assert "vllm-model-tiny--g3 (candidate, generation 3) exited with code 1" in text
    assert "it reached: loading weights" in text
    assert "set args.max_model_len = 11264" in text
    assert "| ValueError: To serve at least one request" in text


def test_without_a_known_cause_vllms_last_error_is_shown(daemon: FakeDaemon) -> None:
    log = ["RuntimeError: something that nobody has seen before", "bye"]
    container(daemon, "vllm-model-tiny", 1, state="exited", exit_code=1, log=log)
    diagnosed = seen(daemon)
    assert (diagnosed.diagnosis, diagnosed.is_explained) == (None, False)
    text = diagnosed_text(diagnosed, PLAIN)
    assert "cause  no known cause" in text
    assert "last   RuntimeError: something that nobody has seen before" in text


def test_a_silent_log_and_137_is_a_kill(daemon: FakeDaemon) -> None:
    container(daemon, "vllm-model-tiny", 1, state="exited", exit_code=137)
    diagnosed = seen(daemon)
    assert diagnosed.diagnosis is not None
    assert diagnosed.diagnosis.pattern == "killed"
    assert "| " not in diagnosed_text(diagnosed, PLAIN)


class Stated(FakeDaemon):
    """A fake whose container is in a given state. The log of its earlier run can be read."""

    stated = ContainerState(running=False)
    runs: tuple[Sequence[str], Sequence[str]] = ((), ())

    def state(self, container: str) -> ContainerState:
        return self.stated

    def logs(self, container: str, tail: int, *, this_run: bool = False) -> Sequence[str]:
        before, this = self.runs
        return this if this_run else [*before, *this]


def stated(now: ContainerState, *, before: Sequence[str] = (), this: Sequence[str] = ()) -> Stated:
    daemon = Stated("here", "demo")
    daemon.stated, daemon.runs = now, (before, this)
    container(daemon, "vllm-model-tiny", 1)
    return daemon


def test_a_kill_by_the_kernel_is_the_first_cause() -> None:
    diagnosed = seen(stated(ContainerState(running=False, exit_code=137, oom_killed=True), this=[TOO_SMALL]))
    assert diagnosed.diagnosis is not None
    assert diagnosed.diagnosis.pattern == "memory-limit"
    assert "killed: out of memory" in diagnosed_text(diagnosed, PLAIN)


def test_the_earlier_run_of_a_restarted_container_counts() -> None:
    again = stated(ContainerState(running=True, restarts=3), before=[TOO_SMALL], this=["starting"])
    diagnosed = seen(again)
    assert diagnosed.diagnosis is not None
    assert "restarted 3 times" in diagnosed_text(diagnosed, PLAIN)
    once = stated(ContainerState(running=False, exit_code=1), before=[TOO_SMALL], this=["starting"])
    assert seen(once).diagnosis is None, "the cause of an earlier start is already fixed"


def test_the_daemons_own_error_has_a_cause_too() -> None:
    error = 'could not select device driver "" with capabilities: [[gpu]]'
    diagnosed = seen(stated(ContainerState(running=False, exit_code=128, error=error)))
    assert diagnosed.diagnosis is not None
    assert diagnosed.diagnosis.pattern == "no-toolkit"
    assert error in diagnosed_text(diagnosed, PLAIN)


def test_one_that_still_starts_has_no_cause_and_its_stage() -> None:
    line = "Loading safetensors checkpoint shards:  45% Completed | 5/11 [00:03<00:04,  1.50it/s]"
    diagnosed = seen(stated(ContainerState(running=True), this=[line]))
    assert (diagnosed.diagnosis, diagnosed.is_explained) == (None, False)
    assert "it reached: loading weights 45%" in diagnosed_text(diagnosed, PLAIN)


# health


def test_a_healthy_container_is_healthy_whatever_its_log_contains() -> None:
    diagnosed = seen(
        stated(ContainerState(running=True), this=[TOO_SMALL]),
        query=answering(HealthOutcome.HEALTHY),
    )
    assert diagnosed.is_well
    assert diagnosed.is_explained
    text = diagnosed_text(diagnosed, PLAIN)
    assert "healthy  it serves; there is nothing to fix" in text
    assert "cause" not in text
    assert diagnosed_json(diagnosed)["next"] is None


def test_one_that_runs_and_answers_badly_is_diagnosed() -> None:
    now = ContainerState(running=True)
    diagnosed = seen(stated(now, this=[TOO_SMALL]), query=answering(HealthOutcome.STATUS, 503))
    assert diagnosed.diagnosis is not None
    assert "runs; /health: status 503" in diagnosed_text(diagnosed, PLAIN)


# secrets


def test_no_value_of_a_secret_is_shown(daemon: FakeDaemon) -> None:
    refs = (
        SecretRef("HF_TOKEN", "env", "HF_TOKEN", ""),
        SecretRef("KEY", "env", "KEY", ""),
        SecretRef("VAULT", "command", "x", ""),
    )
    error = "RuntimeError: bad key swordfish, and hf_abcdefghijklmnop"
    container(daemon, "vllm-model-tiny", 1, spec(*refs), state="exited", exit_code=1, log=[error])
    values = Values({"KEY": "swordfish", "VAULT": "never requested"})
    diagnosed = seen(daemon, values)
    shown = diagnosed_text(diagnosed, PLAIN) + json.dumps(diagnosed_json(diagnosed))
    assert "bad key ***, and ***" in shown
    assert "swordfish" not in shown
    assert "hf_abc" not in shown
    assert values.requested == ["HF_TOKEN", "KEY"], "no program is run for it"


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("nothing here", (), "nothing here"),
        ("a key abcd and abc", ("abcd", "abc"), "a key *** and abc"),
        ("one two\nthree", ("two\nthree",), "one ***"),
        ("a line of it: three", ("two\nthree",), "a line of it: ***"),
        ("token='hf_0123456789'", (), "token='***'"),
        ("at https://user:pw@proxy:3128/", (), "at ***"),
    ],
)
def test_hidden(text: str, values: tuple[str, ...], expected: str) -> None:
    assert hidden(text, values) == expected


# the command

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def go(*argv: str, text: str = "") -> subprocess.CompletedProcess[str]:
        return ran("diagnose", *argv, cwd=tmp_path, stdin=text)

    return go


def test_a_log_by_its_file_and_by_stdin(run: Run) -> None:
    path = CASES / "runs" / "truncated.log"
    by_file = run("--log", str(path))
    assert (by_file.returncode, by_file.stderr) == (0, "")
    assert by_file.stdout.startswith(f"{path}\n  cause  a weights file is damaged")
    by_stdin = run("--log", "-", text=path.read_text())
    assert by_stdin.stdout == by_file.stdout.replace(str(path), "stdin")


def test_a_log_without_a_known_cause(run: Run) -> None:
    done = run("--log", "-", text="INFO 11-24 00:34:54 [x.py:1] Starting to load model x\nRuntimeError: never seen\n")
    assert done.returncode == 1
    assert done.stdout == (
        "stdin\n  cause  no known cause\n  last   RuntimeError: never seen\n"
        "  stage  it reached: loading weights\nNext   the whole log is in stdin\n"
    )


def test_json_has_all_keys_always(run: Run) -> None:
    known = json.loads(run("--format", "json", "--log", str(CASES / "runs" / "lfs.log")).stdout)
    unknown = json.loads(run("--format", "json", "--log", "-", text="x\n").stdout)
    assert known.keys() == unknown.keys()
    assert (known["format_version"], known["pattern"]) == (1, "git-lfs-pointer")
    assert known["evidence"] == [
        "safetensors._safetensors_rust.SafetensorError: Error while deserializing header: header too large"
    ]
    assert (unknown["pattern"], unknown["cause"], unknown["evidence"], unknown["last_error"]) == (None, None, [], "x")


def test_a_progress_bar_that_was_drawn_over_itself_is_its_last_state(run: Run) -> None:
    bars = "\r".join(f"Capturing CUDA graphs (decode, FULL): {n:3}%|#| 1/67 [00:02<00:01]" for n in (1, 20, 57))
    assert "capturing graphs 57%" in run("--log", "-", text=bars).stdout


@pytest.mark.parametrize("more", ["x" * 20_000_000, "ValueError: " + "1" * 200_000, "\0" * 5_000_000, "\r" * 5_000_000])
def test_a_log_of_any_size_is_diagnosed_and_what_is_shown_of_it_is_short(run: Run, tmp_path: Path, more: str) -> None:
    path = tmp_path / "huge.log"
    known = (CASES / "runs" / "truncated.log").read_text()
    path.write_text(f"{more}\n{known}")
    done = run("--log", str(path))
    assert done.stdout.startswith(f"{path}\n  cause  a weights file is damaged")
    unknown = run("--log", "-", text=f"the begin\n{more}")
    assert (unknown.returncode, unknown.stderr) == (1, "")
    assert len(unknown.stdout) < 6_000


def test_of_a_log_with_many_lines_the_end_counts(run: Run) -> None:
    known = (CASES / "runs" / "truncated.log").read_text()
    done = run("--log", "-", text="RuntimeError: it failed, and was tried again\n" * 200_000 + known)
    assert done.stdout.startswith("stdin\n  cause  a weights file is damaged")


@pytest.mark.parametrize("argv", [(), ("here/tiny", "--log", "x")])
def test_either_an_address_or_a_log(run: Run, argv: tuple[str, ...]) -> None:
    done = run(*argv)
    assert done.returncode == 1
    assert "give either an address (HOST/MODEL) or --log FILE" in done.stderr


def test_a_file_that_is_not_there(run: Run) -> None:
    done = run("--log", "nowhere.log")
    assert (done.returncode, done.stdout) == (1, "")
    assert "nowhere.log cannot be read: No such file or directory" in done.stderr


def test_a_control_character_in_a_log_is_shown_and_not_obeyed(run: Run) -> None:
    done = run("--log", "-", text="RuntimeError: \x1b[2Jgone\n")
    assert "RuntimeError: \N{SYMBOL FOR ESCAPE}[2Jgone" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
