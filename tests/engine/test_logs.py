"""Candidates that write more than anybody reads: a verdict comes all the same, and the old one is back."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cortexctl.desired.stack import Host
from cortexctl.hosts.act import DockerDaemon
from cortexctl.hosts.log import LONGEST_LINE, LONGEST_TAIL
from cortexctl.hosts.transports.choice import connection_to
from tests.engine.conftest import StackFile
from tests.live import REPO, STAND_IN, LiveDaemon
from tests.waiting import AT_MOST

pytestmark = pytest.mark.engine

WRITES = """\
#!/usr/bin/env python3
import os, sys
piece, times = {piece!r}, {times}
sys.stderr.buffer.write(b"the begin of the log\\n")
for _ in range(times):
    sys.stderr.buffer.write(piece)
sys.stderr.buffer.write(b"\\nValueError: the end of the log\\n")
sys.stderr.buffer.flush()
os._exit(1)
"""
MIB = 1 << 20
LOGS = {
    "a line of 500 MB": (b"x" * MIB, 500),
    "NULs": (b"\0" * MIB, 20),
    "carriage returns": (b"\r" * MIB, 30),
    "digits": (b"ValueError: " + b"7" * MIB, 1),
    "many lines": (b"ERROR it failed\n" * (MIB // 16), 20),
}


@pytest.fixture
def hostile(live: LiveDaemon, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The stand-in's image with another program under the name of vLLM."""
    piece, times = LOGS[request.param]
    program = tmp_path / "vllm"
    program.write_text(WRITES.format(piece=piece, times=times))
    program.chmod(0o755)
    image, name = f"{live.stack}-hostile:v0.32.0", f"{live.stack}-hostile"
    live.docker_cli("create", "--name", name, STAND_IN)
    try:
        live.docker_cli("cp", str(program), f"{name}:/usr/local/bin/vllm")
        live.docker_cli("commit", name, image)
    finally:
        live.docker_cli("rm", "-f", name)
    yield image
    live.clean()
    live.docker_cli("rmi", "-f", image)


@pytest.mark.parametrize("hostile", LOGS, indirect=True)
def test_whatever_a_candidate_writes_the_old_one_comes_back(live: LiveDaemon, stack: StackFile, hostile: str) -> None:
    stack.write()
    assert live.cortexctl("apply", str(stack), "--auto-approve").code == 0
    stack.write(image=hostile)
    limited = ["bash", "-c", 'ulimit -v 3000000; exec "$0" -m cortexctl "$@"']
    failed = subprocess.run(
        [*limited, sys.executable, "apply", str(stack), "--auto-approve"],
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=AT_MOST,
        check=False,
    )
    output = failed.stdout + failed.stderr
    assert failed.returncode == 1, output[-2_000:]
    assert "it exited with code 1" in output
    assert "generation 1 serves again" in output
    assert len(output) < 30_000
    assert live.containers() == {stack.serving: "running"}


@pytest.mark.parametrize("hostile", LOGS, indirect=True)
def test_its_log_is_read_with_bounds(live: LiveDaemon, hostile: str) -> None:
    name = f"{live.stack}-writes"
    live.run_foreign(name, "--log-opt", "max-size=50m", "--log-opt", "max-file=3", image=hostile)
    live.docker_cli("wait", name)
    daemon = DockerDaemon(connection_to(Host("here", live.docker)), live.stack)
    lines = daemon.logs(name, 5000)
    one_by_one = list(daemon.log_lines(name, 5000))
    followed = list(daemon.follow(name, 5000))
    assert lines[-1] == one_by_one[-1] == "ValueError: the end of the log"
    assert "ValueError: the end of the log" in followed[-1]
    assert max(map(len, lines)) <= LONGEST_LINE
    assert max(map(len, one_by_one)) <= LONGEST_LINE
    assert sum(map(len, lines)) <= LONGEST_TAIL + 1_000
    assert max(map(len, "".join(followed).splitlines())) <= LONGEST_LINE + 20
