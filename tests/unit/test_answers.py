"""An answer of a daemon has the expected form, or the error is a sentence with the host: never a traceback."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from cortexctl.cli.main import run
from cortexctl.decoding.readers import NotAsExpected
from cortexctl.desired.stack import Host
from cortexctl.errors import CortexctlError, DaemonError
from cortexctl.hosts import read
from cortexctl.hosts.container_reach import ContainerReach
from cortexctl.hosts.read import observe_host
from cortexctl.hosts.transport import Connection
from cortexctl.hosts.transports.choice import connection_to
from cortexctl.instance.codec import spec_to_label
from cortexctl.instance.launch import Launch
from cortexctl.instance.spec import Publish, SecretRef
from cortexctl.observed.container_list import parse_containers, parse_images
from cortexctl.observed.foreign import parse_running
from cortexctl.observed.inspected import parse_image_defaults, parse_inspected
from cortexctl.observed.lock_holder import LockInfo
from cortexctl.observed.record import HostRecord
from tests.fakes.daemon_socket import LIST, row
from tests.fakes.inspection import IMAGE_ENV, inspection
from tests.fakes.raw_socket import raw_daemon
from tests.mutations import mutated
from tests.specs import new_spec

SPEC = new_spec(
    "image:v0.32.0", "/models/tiny", ("tiny",), "0.32.0", publish=Publish("127.0.0.1", 8001),
    secrets=(SecretRef("HF_TOKEN", "env", "HF_TOKEN", "0123456789abcdef"),),
)  # fmt: skip
LABEL = spec_to_label(SPEC)
NO_LISTS: dict[str, bytes] = {
    "null": b"null", "table": b"{}", "message": b'{"message":"no"}', "text": b'"x"', "number": b"5", "true": b"true",
    "list of null": b"[null]", "list of numbers": b"[1]", "list of tables": b"[{}]", "list of lists": b"[[]]",
    "deep": b"[" * 200_000, "deep tables": b'{"a":' * 200_000, "nothing": b"", "cut": b'[{"Id":"1"', "page": b"<html>",
    "digits": b"[" + b"9" * 5000 + b"]", "NaN": b"[NaN]", "latin": b'["\xe9"]', "half": b'[{"Id":"1","State":"\\ud800"}]',
    "id null": b'[{"Id":null}]', "id a number": b'[{"Id":1}]', "id with a line end": b'[{"Id":"1\\r\\nX"}]',
    "names a text": b'[{"Id":"1","Names":"x"}]', "labels a list": b'[{"Id":"1","Labels":["a"]}]',
    "label a number": b'[{"Id":"1","Labels":{"cortexctl.stack":1}}]', "ports a table": b'[{"Id":"1","Ports":{}}]',
    "port a text": b'[{"Id":"1","Ports":[{"PublicPort":"8001"}]}]',
    "networks a list": b'[{"Id":"1","NetworkSettings":{"Networks":[1]}}]',
}  # fmt: skip


@pytest.mark.parametrize("body", NO_LISTS.values(), ids=NO_LISTS)
def test_an_answer_that_is_not_a_list_never_counts_as_no_containers(tmp_path: Path, body: bytes) -> None:
    with raw_daemon(tmp_path / "e.sock", lambda _method, _path: body) as url:
        seen = observe_host(connection_to(Host("here", url)))
    assert not seen.is_reachable
    assert seen.containers == ()
    assert "\n" not in seen.problem
    assert len(seen.problem) < 400


def test_a_list_that_is_empty_is_one() -> None:
    assert parse_containers([]) == ()


def ours(body: bytes, *paths: str) -> Callable[[str, str], bytes]:
    """A daemon with one container of ours. It answers `body` to these paths."""
    good = {
        LIST: json.dumps([row(LABEL)]).encode(),
        "/images/json": b"[]",
        "/_ping": b"OK",
    }

    def answer(_method: str, path: str) -> bytes:
        bare = path.removeprefix("/v1.41")
        return body if any(p in bare for p in paths) else good.get(bare, b"{}")

    return answer


STACK = """stack = "demo"
[hosts.here]
docker = "{}"
models_dir = "/m"
[models.tiny]
image = "image:v0.32.0"
source = {{ path = "tiny" }}
gpus = "none"
memory = "1 GiB"
"""
WORST = ("null", "table", "text", "list of tables", "deep", "digits")
COMMANDS: list[list[str]] = [
    ["plan"], ["plan", "--destroy"], ["drift"], ["drift", "--deep"], ["status"], ["history"], ["observe"], ["lock", "status"],
    ["doctor"], ["doctor", "--probe"], ["lock", "release"], ["apply", "--auto-approve"], ["destroy", "--auto-approve"],
]  # fmt: skip
PATHS = [
    "/containers/json",
    "/containers/",
    "/volumes",
    "/images",
    "/networks",
    "/distribution",
    "/version",
    "/info",
    "/",
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("path", PATHS)
def test_whatever_a_daemon_answers_a_command_ends_in_sentences(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: list[str], path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in WORST:
        with raw_daemon(tmp_path / "e.sock", ours(NO_LISTS[name], path)) as url:
            (tmp_path / "stack.toml").write_text(STACK.format(url))
            code = run([*command])
        output = capsys.readouterr()
        assert code in {0, 1, 2, 4, 5}, name
        assert "Traceback" not in output.err, name
        assert "this is a bug" not in output.err, name


@pytest.mark.parametrize("command", ["plan", "apply"])
def test_a_record_that_cannot_be_read_is_not_an_empty_one_where_it_decides(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """`--only drift` restores the last apply. A record that cannot be read is not a record without an apply."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stack.toml").write_text(STACK.format(f"unix://{tmp_path}/e.sock"))
    options = ["--only", "drift", *(["--auto-approve"] if command == "apply" else [])]
    with raw_daemon(tmp_path / "e.sock", ours(NO_LISTS["text"], "/volumes")):
        code = run([command, *options])
    shown = capsys.readouterr()
    assert code in {1, 4}
    assert "its record cannot be read" in shown.out + shown.err
    assert "No changes" not in shown.out


OF_DOCKER: list[Callable[[Any], object]] = [
    lambda daemon: daemon.image("image:v1"),
    lambda daemon: daemon.pull("image:v1", "sha256:" + "1" * 64),
    lambda daemon: daemon.ensure_network("net", "demo"),
    lambda daemon: daemon.remove_network("net", "demo"),
    lambda daemon: daemon.create(Launch("x", "image:v1", ("vllm",), (), SPEC, {})),
    lambda daemon: daemon.start("x"),
    lambda daemon: daemon.stop("x", 1),
    lambda daemon: daemon.set_restart("x", "no"),
    lambda daemon: daemon.update("x", 1, 1.0),
    lambda daemon: daemon.in_place("x"),
    lambda daemon: daemon.rename("x", "y"),
    lambda daemon: daemon.remove("x"),
    lambda daemon: daemon.state("x"),
    lambda daemon: daemon.logs("x", 1, this_run=True),
    lambda daemon: daemon.take_lock("demo", LockInfo("o", "w", "m", 1, "r", 1, 2)),
    lambda daemon: daemon.read_lock("demo"),
    lambda daemon: daemon.release_lock("demo"),
    lambda daemon: daemon.read_record("demo"),
    lambda daemon: daemon.write_record("demo", HostRecord("here")),
    lambda daemon: daemon.adopt("x"),
    lambda daemon: daemon.connect("x", "net"),
]


@pytest.mark.parametrize("call", OF_DOCKER)
def test_whatever_a_daemon_answers_to_an_act_is_an_error_of_that_host(tmp_path: Path, call: Any) -> None:
    from cortexctl.hosts.act import DockerDaemon

    sound = {"/version": b'{"ApiVersion":"1.41"}'}
    for body in NO_LISTS.values():

        def answer(_method: str, path: str, body: bytes = body) -> bytes:
            return sound.get(path, body)

        with raw_daemon(tmp_path / "e.sock", answer) as url:
            daemon = DockerDaemon(connection_to(Host("here", url)), "demo")
            try:
                call(daemon)
            except CortexctlError as cause:
                message = cause.message
            else:
                message = "here: done"
        assert message.startswith("here: ")
        assert "\n" not in message


# answers that are almost right


def chance(number: int) -> random.Random:
    return random.Random(number)


def test_rows_that_are_almost_right_are_read_or_refused() -> None:
    good = [row(LABEL, Ports=[{"IP": "0.0.0.0", "PublicPort": 8001}]), row(LABEL, "other")]
    images = [{"Id": "sha256:1", "RepoTags": ["a:b"], "RepoDigests": None}]
    read = refused = 0
    for number in range(600):
        for parse, document in ((parse_containers, good), (parse_images, images)):
            try:
                parse(json.loads(json.dumps(mutated(document, chance(number)))))
                read += 1
            except NotAsExpected:
                refused += 1
    assert read > 100
    assert refused > 100


def inspected() -> dict[str, Any]:
    raw = inspection(SPEC, {"HF_TOKEN": "value"}, {})
    return {
        **raw, "Id": "1" * 64, "Name": "/vllm-model-tiny", "Image": "sha256:1", "RestartCount": 0,
        "State": {"Running": True, "ExitCode": 0},
        "NetworkSettings": {
            "Ports": {"8000/tcp": [{"HostIp": "", "HostPort": "8001"}]}, "Networks": {"n": {"IPAddress": "1.2.3.4"}},
        },
    }  # fmt: skip


def test_an_inspection_that_is_almost_right_is_read_or_an_error_of_that_host(tmp_path: Path) -> None:
    image = {"Id": "sha256:1", "RepoTags": ["a:b"], "Config": {"Env": list(IMAGE_ENV), "Labels": None, "Volumes": None}}
    container = parse_containers([row(LABEL)])[0]
    documents = {"container": inspected(), "image": image}
    lock = threading.Lock()

    def answer(_method: str, path: str) -> bytes:
        with lock:
            return json.dumps(documents["image" if path.startswith("/images/sha") else "container"]).encode()

    with raw_daemon(tmp_path / "e.sock", answer) as url:
        host = Host("here", url)
        for number in range(400):
            documents["container"] = mutated(inspected(), chance(number))
            documents["image"] = mutated(image, chance(-number))
            for query in (
                lambda host: read.in_place(host, container.id),
                lambda host: read.image_labels(host, "sha256:1"),
                lambda host: read.deep(host, {container.id: (container, SPEC)}, "demo"),
                lambda host: read.inspect(host, container, SPEC, "demo"),
                lambda host: endpoint(host, container.id),
                lambda host: read.local_image(host, "sha256:1"),
                lambda host: read.record(host, "demo"),
                lambda host: read.held_lock(host, "demo"),
                read.local_images,
                observe_host,
            ):
                with suppress(DaemonError):
                    query(connection_to(host))
            try:
                inspection = read.inspect_all(connection_to(host), [container])[container.id]
            except DaemonError:
                continue
            parse_running(inspection.container, inspection.image or {})
            parse_inspected(inspection.container, SPEC, parse_image_defaults(inspection.image or {}), "demo")


def endpoint(at: Connection, container: str) -> str:
    reach = ContainerReach(at.transport, container)
    with suppress(CortexctlError):
        reach.connect(60).close()
    return reach.endpoint


TWO_HOSTS = """stack = "demo"
[hosts.gone]
docker = "{}"
[hosts.here]
docker = "{}"
[models.tiny]
image = "image:v0.32.0"
source = {{ repo = "org/tiny" }}
gpus = "none"
hosts = ["*"]
"""


def test_a_lock_can_be_released_whatever_it_contains_and_if_another_host_is_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    requests: list[str] = []

    def answer(method: str, path: str) -> bytes:
        requests.append(f"{method} {path}")
        return b'{"ApiVersion":"1.41"}' if path == "/version" else NO_LISTS["deep"] if "volumes" in path else b"OK"

    with raw_daemon(tmp_path / "e.sock", answer) as url, raw_daemon(tmp_path / "gone.sock", lambda *_: b"null") as gone:
        (tmp_path / "stack.toml").write_text(TWO_HOSTS.format(gone, url))
        code = run(["lock", "release", str(tmp_path / "stack.toml")])
    output = capsys.readouterr()
    assert code == 1
    assert output.out == "here: released (its holder cannot be read)\n"
    assert "gone: cannot read its version" in output.err
    assert "Traceback" not in output.err
    assert any(a.startswith("DELETE ") and "cortexctl-lock-demo" in a for a in requests)
