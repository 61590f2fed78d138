"""The gate queries the right server, at the container's own address or from inside it, and never another at its port."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cortexctl.desired.stack import Smoke
from cortexctl.engines.vllm.contract import CONTRACT
from cortexctl.errors import NotListening, PathFailed, ProbeFailed
from cortexctl.health.health_check import query_health
from cortexctl.health.prober import HttpProber
from cortexctl.hosts import kernel
from cortexctl.hosts.container_reach import ContainerReach
from cortexctl.hosts.http import get
from cortexctl.hosts.transports.choice import transport_to
from cortexctl.observed.health import Answer, HealthOutcome
from tests.engine.conftest import StackFile
from tests.fakes.ports import reserved_port
from tests.live import REPO, LiveDaemon, Ran
from tests.waiting import AT_MOST

pytestmark = pytest.mark.engine

KEY = "sk-planted-key-of-the-server"
PORT = 28833


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulates a daemon's socket that leads to another machine."""
    monkeypatch.setattr(kernel, "runs_here", lambda _pid, _container: False)


def started(live: LiveDaemon, *arguments: str, options: tuple[str, ...] = ()) -> str:
    """Start a stand-in, and wait until it serves. Returns the container's id."""
    name = f"{live.stack}-server"
    live.run_foreign(name, *options, arguments=("tiny", *arguments))
    live.until_serving(name)
    return str(live.inspect(name)["Id"])


def processes(live: LiveDaemon, container: str) -> list[str]:
    return [
        " ".join(columns)
        for columns in json.loads(get(transport_to(live.docker), f"/containers/{container}/top").body)["Processes"]
    ]


# ---- both kinds of reach


def test_over_its_own_address(live: LiveDaemon) -> None:
    container = started(live, "--api-key", KEY)
    reach, prober = ContainerReach(transport_to(live.docker), container), HttpProber(CONTRACT)
    assert prober.health(reach) == ""
    assert list(prober.served_names(reach, KEY)) == ["tiny"]
    assert prober.smoke(reach, KEY, "generate", "tiny", Smoke()) == "answered with 4 tokens to a chat"
    assert reach.target == f"{live.inspect(container)['NetworkSettings']['IPAddress']}:8000"
    assert not reach.is_slow


@pytest.mark.usefixtures("elsewhere")
def test_from_inside_it(live: LiveDaemon) -> None:
    container = started(live, "--api-key", KEY)
    reach, prober = ContainerReach(transport_to(live.docker), container), HttpProber(CONTRACT)
    assert prober.health(reach) == ""
    assert list(prober.served_names(reach, KEY)) == ["tiny"]
    assert prober.smoke(reach, KEY, "generate", "tiny", Smoke()) == "answered with 4 tokens to a chat"
    assert prober.speed(reach, KEY, "tiny", Smoke()).tokens_per_second > 0
    with pytest.raises(ProbeFailed, match="status 401"):
        prober.served_names(reach, None)
    assert reach.target == "its port 8000, from inside the container"
    assert reach.is_slow


@pytest.mark.usefixtures("elsewhere")
def test_the_exec_has_no_key_on_its_command_line_and_ends_with_its_connection(live: LiveDaemon) -> None:
    container = started(live, "--api-key", KEY)
    alone = processes(live, container)
    with closing(ContainerReach(transport_to(live.docker), container).connect(30)) as stream:
        head = f"GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nConnection: close\r\n\r\n"
        (program,) = live.inspect(container)["ExecIDs"]
        stream.sendall(head.encode())
        assert stream.recv(15) == b"HTTP/1.1 200 OK"
        assert KEY not in get(transport_to(live.docker), f"/exec/{program}/json").body.decode()
    until(lambda: len(processes(live, container)) == len(alone))


@pytest.mark.usefixtures("elsewhere")
def test_a_connection_that_is_left_open_ends_if_its_client_is_killed(live: LiveDaemon, tmp_path: Path) -> None:
    container = started(live)
    alone = len(processes(live, container))
    script = f"""
        import sys, time
        from cortexctl.hosts import kernel
        from cortexctl.hosts.container_reach import ContainerReach
        kernel.runs_here = lambda *_: False
        from cortexctl.hosts.transports.choice import transport_to
        stream = ContainerReach(transport_to({live.docker!r}), {container!r}).connect(30)
        print("open", flush=True)
        time.sleep(600)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPO, text=True) as asker:
        assert asker.stdout is not None
        assert asker.stdout.readline() == "open\n"
        assert len(processes(live, container)) == alone + 1
        asker.kill()
    until(lambda: len(processes(live, container)) == alone)


@pytest.mark.usefixtures("elsewhere")
def test_the_causes_of_a_missing_answer_are_distinguished(live: LiveDaemon) -> None:
    container = started(live, "--port", "9000")
    reach = ContainerReach(transport_to(live.docker), container)
    assert query_health(reach, 30, CONTRACT.health).outcome is HealthOutcome.HEALTHY, "its command line names its port"
    silent = f"{live.stack}-silent"
    live.run_foreign(silent, "--entrypoint", "sleep", arguments=("600",))
    assert query_health(
        ContainerReach(transport_to(live.docker), live.inspect(silent)["Id"]), 30, CONTRACT.health
    ) == Answer(HealthOutcome.REFUSED)
    live.docker_cli("stop", "-t", "0", silent)
    with pytest.raises(NotListening, match="does not run"):
        ContainerReach(transport_to(live.docker), live.inspect(silent)["Id"]).connect(30)
    live.docker_cli("rm", silent)
    assert query_health(ContainerReach(transport_to(live.docker), "f" * 64), 30, CONTRACT.health) == Answer(
        HealthOutcome.REFUSED
    )


def test_on_the_hosts_network_no_query_goes_to_another_server_at_its_port(live: LiveDaemon) -> None:
    """On the host's network, all containers share the loopback."""
    with reserved_port() as number:
        port = str(number)
        other, own = f"{live.stack}-other", f"{live.stack}-own"
        live.run_foreign(own, "--network", "host", "--entrypoint", "sh", arguments=("-c", "sleep 600", "--port", port))
        reach = ContainerReach(transport_to(live.docker), live.inspect(own)["Id"])
        live.run_foreign(other, "--network", "host", arguments=("tiny", "--port", port))
        its_own = ContainerReach(transport_to(live.docker), live.inspect(other)["Id"])
        until(lambda: query_health(its_own, 30, CONTRACT.health).outcome is HealthOutcome.HEALTHY)
        assert query_health(reach, 30, CONTRACT.health) == Answer(HealthOutcome.REFUSED)
        with pytest.raises(NotListening, match="no process in its container listens on its port"):
            reach.connect(30)


@pytest.mark.usefixtures("elsewhere")
def test_a_container_without_python_is_a_fault_of_the_reach_and_not_of_its_server(live: LiveDaemon) -> None:
    name = f"{live.stack}-bare"
    live.run_foreign(name, "--env", "PATH=/nowhere", "--entrypoint", "/bin/sleep", arguments=("600",))
    with pytest.raises(PathFailed, match="no python3 can be run in its container to send the request from inside"):
        ContainerReach(transport_to(live.docker), live.inspect(name)["Id"]).connect(30)


# ---- a whole apply, while another server has the port


@dataclass
class Elsewhere:
    """A separate network with only a loopback: the daemon's socket can be reached from it, and its ports cannot."""

    live: LiveDaemon
    pid: int

    def cortexctl(self, *arguments: str, **env: str) -> Ran:
        inside = ["nsenter", f"--net=/proc/{self.pid}/ns/net", sys.executable, "-m", "cortexctl", *arguments]
        environ = {**os.environ, "DOCKER_HOST": self.live.docker, "PYTHONPATH": str(REPO), **env}
        done = subprocess.run(
            inside, capture_output=True, text=True, env=environ, cwd=REPO, check=False, timeout=AT_MOST
        )
        return Ran(done.returncode, done.stdout, done.stderr)


STUB = """
import json, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
log = open(sys.argv[2], "a", buffering=1)
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        log.write(f"{self.requestline} {dict(self.headers)}\\n")
        body = json.dumps({"data": [{"id": "tiny"}], "choices": [{"message": {}}], "usage": {"completion_tokens": 1}})
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())
    do_POST = do_GET
    def log_message(self, *args):
        pass
print("up", flush=True)
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@contextmanager
def other_server(live: LiveDaemon, log: Path) -> Iterator[Elsewhere]:
    """A network in which a foreign, healthy server has the port."""
    serve = f'ip link set lo up && exec "{sys.executable}" -c "$0" {PORT} "{log}"'
    command = ["unshare", "--net", "sh", "-c", serve, STUB]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as stub:
        assert stub.stdout is not None
        assert stub.stdout.readline() == "up\n"
        try:
            yield Elsewhere(live, stub.pid)
        finally:
            stub.kill()


def with_key(stack: StackFile) -> str:
    return f'[models.{stack.model}.secrets]\nVLLM_API_KEY = {{ env = "PLANTED_KEY" }}\n'


def test_another_server_at_its_port_is_neither_believed_nor_given_the_key(
    live: LiveDaemon, stack: StackFile, tmp_path: Path
) -> None:
    requests = tmp_path / "requests"
    requests.touch()
    with other_server(live, requests) as there:
        stack.write(publish=f"127.0.0.1:{PORT}", more=with_key(stack), HEALTH_STATUS="500", MODELS="other")
        failed = there.cortexctl("apply", str(stack), "--auto-approve", PLANTED_KEY=KEY)
        assert failed.code == 1, failed.out
        assert "passed its gate" not in failed.err
        assert "status 500" in failed.out
        stack.write(publish=f"127.0.0.1:{PORT}", more=with_key(stack))
        applied = there.cortexctl("apply", str(stack), "--auto-approve", PLANTED_KEY=KEY)
        assert applied.code == 0, applied.out
        assert "from inside the container" in applied.err
        seen = there.cortexctl("status", str(stack), PLANTED_KEY=KEY)
        assert seen.code == 0, seen.out
        live.docker_cli("kill", "--signal", "STOP", stack.serving)
        hung = there.cortexctl("status", str(stack), PLANTED_KEY=KEY)
        assert hung.code == 1
        assert "running, no answer" in hung.out
        drifted = there.cortexctl("drift", str(stack), "--detailed-exitcode", PLANTED_KEY=KEY)
        assert "/health accepts the request and does not answer" in drifted.out
    assert requests.read_text() == "", "it received a request"


def test_a_server_that_cannot_be_reached_keeps_serving(live: LiveDaemon, stack: StackFile, tmp_path: Path) -> None:
    """It cannot be reached at its address, nor from inside: the apply ends before anything is stopped."""
    stack.write()
    assert live.cortexctl("apply", str(stack), "--auto-approve").code == 0
    before = live.inspect(stack.serving)
    live.docker_cli("exec", stack.serving, "/bin/sh", "-c", 'rm "$(command -v python3)"')
    stack.write(more=stack.args(max_model_len=1024))
    with other_server(live, tmp_path / "requests") as there:
        failed = there.cortexctl("apply", str(stack), "--auto-approve")
    assert failed.code == 1
    assert (
        f"the server in {stack.serving} cannot be reached from here, so its replacement could not be checked either"
        in failed.out
    )
    assert "everything is unchanged" in failed.out
    assert "ROLLBACK" not in failed.out
    after = live.inspect(stack.serving)
    assert (after["Id"], after["State"]["StartedAt"]) == (before["Id"], before["State"]["StartedAt"])
    assert live.containers() == {stack.serving: "running"}


def until(holds: Any) -> None:
    """Wait until `holds` returns true, at most two minutes."""
    for _ in range(1200):
        if holds():
            return
        time.sleep(0.1)
    raise AssertionError("the condition never became true")
