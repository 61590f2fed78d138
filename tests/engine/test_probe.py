"""plan --probe on a real daemon, with images that contain a small package `vllm` of the tests."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cortexctl.desired.stack import Host
from cortexctl.errors import DaemonRefused
from cortexctl.hosts import image_parser
from cortexctl.hosts.read import observe_host
from cortexctl.hosts.transports.choice import connection_to
from cortexctl.instance.labels import PROBE
from cortexctl.observed.parser_verdict import Probed
from tests.engine.conftest import StackFile
from tests.fakes.small_vllm import write
from tests.live import REPO, STAND_IN, LiveDaemon
from tests.waiting import AT_MOST

pytestmark = pytest.mark.engine


def without_others(text: str) -> str:
    """Without the number of unmanaged containers: other tests create and remove theirs meanwhile."""
    return re.sub(r"   \d+ unmanaged, not touched", "", text)


class Image:
    """Images of the stand-in with a small vLLM, under names of this test."""

    def __init__(self, live: LiveDaemon, folder: Path) -> None:
        self.live = live
        self.folder = folder
        self.names: list[str] = []

    def make(self, release: str = "0.32.0", layout: str = "0.33.0", **env: str) -> str:
        write(self.folder / release, layout)
        if release != layout:
            (self.folder / release / f"vllm-{layout}.dist-info" / "METADATA").write_text(
                f"Metadata-Version: 2.1\nName: vllm\nVersion: {release}\n"
            )
        name = f"{self.live.stack}-small:v{release}"
        container = self.live.docker_cli("create", "--label", f"cxt.test={self.live.stack}", STAND_IN)
        self.live.docker_cli("cp", f"{self.folder / release}", f"{container}:/small")
        changes = [f"ENV PYTHONPATH=/small {' '.join(f'{k}={v}' for k, v in env.items())}".rstrip()]
        self.live.docker_cli("commit", *(w for c in changes for w in ("--change", c)), container, name)
        self.live.docker_cli("rm", container)
        self.names.append(name)
        return name


@pytest.fixture
def image(live: LiveDaemon, tmp_path: Path) -> Iterator[Image]:
    probed = Image(live, tmp_path / "images")
    yield probed
    if probed.names:
        live.docker_cli("image", "rm", "-f", *probed.names)


def probes(live: LiveDaemon) -> list[str]:
    return live.docker_cli("ps", "-aq", "--filter", f"label={PROBE}={live.stack}").split()


def wait_for(live: LiveDaemon, count: int) -> None:
    """Wait for this number of probes. A daemon removes an ended container a moment later."""
    until = time.monotonic() + 300
    while len(probes(live)) != count:
        assert time.monotonic() < until
        time.sleep(0.1)


def probe(live: LiveDaemon, image: str, *arguments: str) -> Probed:
    id_ = live.docker_cli("image", "inspect", "--format", "{{.Id}}", image)
    return image_parser.probe_parser(
        connection_to(Host("here", live.docker)), live.stack, id_, "serve", [tuple(arguments)]
    )


def test_an_accepted_command_line_is_one_line_on_stderr(live: LiveDaemon, stack: StackFile, image: Image) -> None:
    stack.write(image=image.make(), more=stack.args(max_model_len=128))
    planned = live.cortexctl("plan", str(stack), "--probe", "--detailed-exitcode")
    assert planned.code == 2, planned.out + planned.err
    assert "it accepts it" in planned.err
    assert without_others(planned.out) == without_others(live.cortexctl("plan", str(stack)).out)
    wait_for(live, 0)
    assert live.containers() == {}


def test_an_argument_that_the_image_refuses_is_an_error_of_the_plan(
    live: LiveDaemon, stack: StackFile, image: Image
) -> None:
    """The catalogue has the argument; this image's parser does not."""
    stack.write(image=image.make(), more=stack.args(block_size=16))
    planned = live.cortexctl("plan", str(stack), "--probe", "--detailed-exitcode")
    assert planned.code == 1
    assert (
        f"Error[CX312] {stack.address}: the parser in {live.stack}-small:v0.32.0 (vLLM 0.32.0) refuses" in planned.out
    )
    assert "block_size = 16" in planned.out
    assert "unrecognized arguments: --block-size 16" in planned.out


def test_another_release_than_that_of_the_stack_is_reported(live: LiveDaemon, stack: StackFile, image: Image) -> None:
    name = image.make("0.31.0")
    live.docker_cli("tag", name, f"{live.stack}-small:v0.32.0")
    image.names.append(f"{live.stack}-small:v0.32.0")
    stack.write(image=f"{live.stack}-small:v0.32.0", more=stack.args(block_size=16))
    planned = live.cortexctl("plan", str(stack), "--probe")
    assert "contains vLLM 0.31.0, but the stack assumes 0.32.0" in planned.err
    assert 'set vllm_version = "0.31.0"' in " ".join(planned.out.split())


def test_an_image_without_a_parser_is_a_warning(live: LiveDaemon, stack: StackFile) -> None:
    stack.write()
    planned = live.cortexctl("plan", str(stack), "--probe", "--detailed-exitcode")
    assert planned.code == 2
    assert "Warning[CX313]" in planned.out
    assert "the image's python3 has no package vllm" in planned.out


def test_the_container_can_do_nothing_but_answer(live: LiveDaemon, image: Image) -> None:
    (verdict,) = probe(live, image.make(), "m", "--permissions", "x").verdicts
    permissions = json.loads(verdict.text.partition(": ")[2])
    assert permissions["interfaces"] == ["lo"]
    assert int(permissions["capabilities"], 16) == 0
    assert permissions["no_new_privileges"] == "1"
    assert (permissions["root"], permissions["tmp"], permissions["folder"]) == (False, True, "/")
    assert permissions["memory"] == [str(image_parser.MEMORY_LIMIT)]
    assert permissions["environment"]["NVIDIA_VISIBLE_DEVICES"] == "void"


def test_no_secret_gets_into_it(live: LiveDaemon, stack: StackFile, image: Image) -> None:
    secret = f'[models.{stack.model}.secrets]\nVLLM_API_KEY = {{ env = "PLANTED" }}\n'
    stack.write(image=image.make(SMALL_VLLM_SLEEP="3"), more=secret)
    argv = [sys.executable, "-m", "cortexctl", "plan", str(stack), "--probe"]
    env = {"DOCKER_HOST": live.docker, "PLANTED": "planted-value", "PATH": "/usr/bin:/bin"}
    pipe = subprocess.PIPE
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell ignores SIGINT
    with subprocess.Popen(argv, cwd=REPO, env=env, stdout=pipe, stderr=pipe, text=True) as run:
        signal.signal(signal.SIGINT, handler)
        wait_for(live, 1)
        inspected = json.dumps(live.inspect(probes(live)[0]))
        out, err = run.communicate(timeout=AT_MOST)
    assert "planted-value" not in inspected + out + err
    assert run.returncode == 0, err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_probe_is_removed_after_its_run_was_interrupted_or_killed(
    live: LiveDaemon, stack: StackFile, image: Image, number: signal.Signals
) -> None:
    """While it exists, no observation of the host contains it."""
    stack.write(image=image.make(SMALL_VLLM_SLEEP="60" if number == signal.SIGINT else "4"))
    argv = [sys.executable, "-m", "cortexctl", "plan", str(stack), "--probe"]
    env = {"DOCKER_HOST": live.docker, "PATH": "/usr/bin:/bin"}
    pipe = subprocess.PIPE
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell ignores SIGINT
    with subprocess.Popen(argv, cwd=REPO, env=env, stdout=pipe, stderr=pipe, text=True) as run:
        signal.signal(signal.SIGINT, handler)
        wait_for(live, 1)
        (there,) = probes(live)
        assert not any(
            c.id.startswith(there) for c in observe_host(connection_to(Host("here", live.docker))).containers
        )
        # A run that is killed before it starts the container leaves it to the next probe.
        until = time.monotonic() + 300
        while not live.inspect(there)["State"]["Running"]:
            assert time.monotonic() < until
        run.send_signal(number)
        _, err = run.communicate(timeout=AT_MOST)
        wait_for(live, 0)
    assert run.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL), err


def test_a_probe_that_does_not_end_is_stopped(live: LiveDaemon, image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    name = image.make(SMALL_VLLM_SLEEP="600")
    monkeypatch.setattr(image_parser, "TIME_LIMIT", 1)
    assert probe(live, name, "m").problem == "it ended without a verdict: its time limit is over"
    monkeypatch.setattr(image_parser, "TIME_LIMIT", 600)
    monkeypatch.setattr(image_parser, "GRACE", -597)
    assert probe(live, name, "m").problem == "it did not finish within 600 s"
    wait_for(live, 0)


def test_a_probe_that_was_never_started_is_removed_with_the_next(
    live: LiveDaemon, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = image.make()
    live.docker_cli("create", "--label", f"{PROBE}={live.stack}", name)
    live.docker_cli("create", "--label", f"{PROBE}=another-{live.stack}", "--label", f"cxt.test={live.stack}", name)
    probe(live, name, "m")
    wait_for(live, 1)  # another run may be about to start the created one
    monkeypatch.setattr(image_parser, "TIME_LIMIT", -1)
    monkeypatch.setattr(image_parser, "GRACE", 60)
    with pytest.raises(DaemonRefused):
        image_parser.probe_parser(
            connection_to(Host("here", live.docker)), live.stack, "no-such-image", "serve", [("m",)]
        )
    wait_for(live, 0)
    left = live.docker_cli("ps", "-aq", "--filter", f"label={PROBE}=another-{live.stack}").split()
    assert len(left) == 1, "another stack's is left alone"
    live.docker_cli("rm", *left)
