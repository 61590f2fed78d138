"""One secret, read from every place that a stack can name, and sent back by everybody outside in every encoding: an
daemon's errors, a server's answers and log, a hook's output. It is in nothing that is written or sent.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from cortexctl.cli import apply as apply_command
from cortexctl.cli import carry_out
from cortexctl.cli.main import run
from cortexctl.desired.hook import Hook, Point
from cortexctl.errors import DaemonRefused, ProbeFailed
from cortexctl.hooks.runner import HookRunner
from cortexctl.instance.spec import SecretRef
from tests.encodings import ENCODINGS, leaks
from tests.fakes.daemon_socket import LIST, row, talking_daemon
from tests.fakes.receiver import receiver
from tests.fakes.world import World
from tests.forks import ran
from tests.reading import model_text, stack_text

SECRET = "pL4nt/ed+v=Alu\"e'Zü\nsecond&line<7>"
VARIANTS = {name: encode(SECRET) for name, encode in ENCODINGS.items()}
LEAKY_TEXT = "\n".join(f"ERROR {name}: {text}" for name, text in VARIANTS.items())
"""The output of a server that prints the secret in every encoding."""
BASIC = "Authorization: Basic " + base64.b64encode(f"user:{SECRET}".encode()).decode()


def encodings() -> Iterator[str]:
    """The texts that may be in no output: parts of every encoding, too long for a match by chance."""
    for line in SECRET.split("\n"):
        yield from (line, quote(line, safe=""), quote_plus(line), line.encode().hex(), line.encode().hex().upper())
        yield from (json.dumps(line)[1:-1], repr(line)[1:-1])
    raw = SECRET.encode()
    for shift in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(b"x" * shift + raw).decode()[4:-4]


def search(text: str, where: str) -> None:
    for encoding in encodings():
        piece = leaks(encoding, text, min(12, len(encoding)))
        assert not piece, f"{piece!r} of {encoding!r} in {where}: {text[max(text.find(piece) - 80, 0) :][:200]}"


SECRETS = """{ ENV = { env = "PLANTED" }, FILE = { file = "planted" }, VAR = { var = "planted" }, COMMAND = { command = ["cat", "planted"] }, VLLM_API_KEY = { env = "PLANTED" } }"""
STACK = stack_text(model_text(secrets=SECRETS)) + "[vars.planted]\nsecret = true\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "planted").write_text(SECRET + "\n")
    (tmp_path / "stack.toml").write_text(STACK)
    return tmp_path


ENV = {"PLANTED": SECRET, "CORTEXCTL_VAR_planted": SECRET}


READS = {"plan", "drift", "apply", "rollback"}
"""Commands that read secrets to compare them; what a daemon says to others cannot be searched for what they never knew."""
COMMANDS = [
    *("validate", "validate --format json", "validate --format sarif", "plan", "plan --explain", "plan --format json"),
    *(
        "plan --format markdown",
        "plan --format html",
        "plan --out p.json",
        "plan --against none",
    ),
    *(
        "drift --no-health",
        "drift --no-health --format json",
        "drift --deep --no-health",
        "drift --no-health --format prometheus",
    ),
    *("status", "status --format json", "observe", "observe --out o.json", "logs here/tiny", "logs here/tiny --follow"),
    *(
        "logs here/tiny --raw",
        "logs here/tiny --raw --follow",
        "diagnose here/tiny",
        "diagnose here/tiny --format json",
    ),
    *(
        "args here/tiny",
        "args here/tiny --format json",
        "args here/tiny --format docker",
        "args here/tiny --format compose",
    ),
    *("fit", "lock status", "history", "catalog upgrade --to 0.33.0", "import here"),
    *(
        "apply --auto-approve --events e.json",
        "apply --auto-approve --events json",
        "rollback here/tiny --auto-approve",
    ),
]


@pytest.mark.parametrize("line", COMMANDS)
def test_no_command_shows_a_planted_secret(folder: Path, line: str) -> None:
    """The daemon returns the secret in the log, in errors, and in the state of a container."""
    from cortexctl.instance.codec import spec_to_label
    from cortexctl.stack.load import VariableInputs
    from tests.reading import desired_from

    (folder / "for-its-spec.toml").write_text(STACK.replace('{ command = ["cat", "planted"] }', '{ env = "PLANTED" }').replace('{ file = "planted" }', '{ env = "PLANTED" }'))  # fmt: skip
    spec = (
        desired_from(folder / "for-its-spec.toml", {"PLANTED": SECRET}, inputs=VariableInputs((f"planted={SECRET}",)))
        .instances[0]
        .spec
    )
    ours = row(spec_to_label(spec))
    inspected = {"Id": ours["Id"], "Name": "/vllm-model-tiny", "Image": "sha256:1", "State": {"Running": False, "ExitCode": 1, "Error": LEAKY_TEXT + BASIC},
             "Config": {"Tty": True, "Labels": ours["Labels"], "Env": [f"ENV={SECRET}"], "Cmd": []}, "HostConfig": {}, "Mounts": [],
             "NetworkSettings": {"Networks": {}}}  # fmt: skip
    answers = {
        LIST: [ours],
        "/version": {"ApiVersion": "1.41", "Version": "20.10"},
        **{f"{v}/containers/{ours['Id']}/json": inspected for v in ("", "/v1.41")},
        f"/v1.41/containers/{ours['Id']}/logs": f"{LEAKY_TEXT}\n{BASIC}\nValueError: {LEAKY_TEXT}\n".encode(),
    }
    with talking_daemon(folder / "daemon.sock", answers) as daemon:
        daemon.missing = f"{LEAKY_TEXT} {BASIC}" if line.split(maxsplit=1)[0] in READS else ""
        known = {k: v for k, v in os.environ.items() if not k.startswith(("CORTEXCTL_", "FORCE_COLOR"))}
        done = ran(*line.split(), cwd=folder, env={**known, **ENV, "DOCKER_HOST": daemon.url, "HOME": str(folder)})
    assert "this is a bug" not in done.stderr, done.stderr
    search(done.stdout, f"stdout of {line}")
    search(done.stderr, f"stderr of {line}")
    for file in folder.iterdir():
        if file.is_file() and file.name != "planted":
            search(file.read_text(), file.name)


@dataclass
class Talker:
    """A prober whose server answers with the secret."""

    world: World

    def health(self, endpoint: str) -> str:
        return ""

    def served_names(self, endpoint: str, api_key: str | None) -> Sequence[str]:
        return [LEAKY_TEXT, "tiny"]

    def smoke(self, endpoint: str, api_key: str | None, task: str, model: str, smoke: object) -> str:
        raise ProbeFailed(f"status 500: {LEAKY_TEXT} {BASIC}")


def daemon_with_all(world: World) -> None:
    """Its errors and logs hold it."""
    daemon = world.daemon()
    original = daemon.logs

    def logs(container: str, tail: int, *, this_run: bool = False) -> Sequence[str]:
        return [*original(container, tail, this_run=this_run), *LEAKY_TEXT.split("\n"), BASIC]

    daemon.logs = logs  # type: ignore[method-assign]


@pytest.mark.parametrize("breaks", ["smoke", "daemon"])
@pytest.mark.parametrize("events", ["e.jsonl", "json"])
def test_an_apply_whose_server_sends_it_back_writes_it_nowhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes], breaks: str, events: str
) -> None:
    """The command as it is, over fake daemons: stdout, stderr, events, audit log, and the failed candidate's log file."""
    world = World("demo", "here")
    daemon_with_all(world)
    monkeypatch.chdir(folder)
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    for name, value in ENV.items():
        monkeypatch.setenv(name, value)
    if breaks == "daemon":

        def create(_launch: object) -> None:
            raise DaemonRefused(f"here: cannot create: {LEAKY_TEXT} {BASIC}")

        monkeypatch.setattr(world.daemon(), "create", create)
    monkeypatch.setattr("cortexctl.health.prober.HttpProber", lambda *_: Talker(world))
    monkeypatch.setattr(apply_command, "read_with_releases", lambda reader, *_: reader.read())
    monkeypatch.setattr(carry_out, "open_hosts", lambda *_: nullcontext(world.daemons))
    monkeypatch.setattr(carry_out, "plan_live", lambda desired, _daemons, request: world.plan(desired, request))
    monkeypatch.setattr("cortexctl.operations.adapters.SystemClock", lambda: world.clock)
    monkeypatch.setattr(type(world.daemons), "close", lambda _self: None, raising=False)
    monkeypatch.setattr("cortexctl.operations.apply.learn_from_apply", lambda *_: ())
    code = run(["apply", "--auto-approve", "--events", events])
    out, err = (text.decode() for text in capfdbinary.readouterr())
    assert code == 1, err
    search(out, "stdout")
    search(err, "stderr")
    assert "***" in err or "***" in out
    files = [f for f in folder.iterdir() if f.is_file() and f.name != "planted"]
    assert any(f.name.endswith(".audit.jsonl") for f in files)
    assert breaks != "smoke" or any(f.suffix == ".log" and "***" in f.read_text() for f in files)
    for file in files:
        search(file.read_text(), file.name)
    for container in world.daemon().all():
        search(json.dumps(dict(container.labels), ensure_ascii=False), "labels")
    search(json.dumps([str(e) for e in world.daemon().read_record("demo").applied.values()]), "record")


def test_a_hook_gets_the_failure_but_no_secret(folder: Path) -> None:
    (folder / "says").write_text(LEAKY_TEXT + "\n" + BASIC)
    reference = SecretRef("ENV", "env", "PLANTED", "")
    runner = HookRunner(folder, os.environ, lambda _reference: SECRET, (reference,), lambda: 0.0)
    with pytest.raises(Exception) as failed:
        runner(Hook("h", Point.PRE_APPLY, ("sh", "-c", "cat says; exit 1")), {})
    search("\n".join(failed.value.output), "a hook's output")  # type: ignore[attr-defined]
    with receiver() as other:
        runner(Hook("h", Point.ON_FAILURE, url=f"{other.url}/x"), {"failure": f"status 500: {LEAKY_TEXT} {BASIC}"})
        search(other.got[0].body.decode(), "the body that a hook is sent")
        assert b"***" in other.got[0].body
    runner(
        Hook("h", Point.ON_FAILURE, ("sh", "-c", 'printf %s "$CORTEXCTL_FAILURE" > failure')), {"failure": LEAKY_TEXT}
    )
    search((folder / "failure").read_text(), "the failure that a hook gets")
