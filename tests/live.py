"""A real daemon for tests. All objects of a test have its stack's name, and are removed when the test ends."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from cortexctl.desired.stack import Host
from cortexctl.errors import DaemonError
from cortexctl.hosts.http import exchange, get
from cortexctl.hosts.read import observe_host
from cortexctl.hosts.transports.choice import connection_to, transport_to
from tests.forks import ran
from tests.waiting import AT_MOST, wait_until

REPO = Path(__file__).parent.parent
STAND_IN = "cortexctl-lab/vllm/vllm-openai-standin:v0.32.0"
REAL_VLLM = "cortexctl-lab/vllm/vllm-openai:v0.32.0"
MODELS = REPO / ".lab" / "models"
REMOVED = {204, 404}
PATIENCE = 100
"""Tries to remove a network, each with a command of its own, until it counts as one that only the daemon's next start frees."""
AT_ONCE = 5
"""Containers to remove at once: `docker rm` of fifty starts them all together, and blocks a daemon with a slow disk."""
TEST = "cxt.test"
"""The label of containers that play foreign ones. Its value is the stack of the test."""


@dataclass
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str


@dataclass
class LiveDaemon:
    """The lab's daemon, for one stack. `docker` is its URL."""

    docker: str
    stack: str
    foreign: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)

    def cortexctl(self, *arguments: str, timeout: float = AT_MOST, **env: str) -> Ran:
        """Run the command line as a user would, in a process of its own."""
        done = ran(*arguments, cwd=REPO, env={**os.environ, "DOCKER_HOST": self.docker, **env}, timeout=timeout)
        return Ran(done.returncode, done.stdout, done.stderr)

    def containers(self) -> dict[str, str]:
        """Name -> state of the stack's containers."""
        seen = observe_host(connection_to(Host("here", self.docker)))
        return {c.name: c.state for c in seen.containers if c.labels.get("cortexctl.stack") == self.stack}

    def everything(self) -> dict[str, list[str]]:
        """Containers, networks and volumes whose name contains the stack's name: ours, and those that play foreign ones."""
        containers = json.loads(get(transport_to(self.docker), "/containers/json?all=1").body)
        networks = json.loads(get(transport_to(self.docker), "/networks").body)
        volumes = json.loads(get(transport_to(self.docker), "/volumes").body)["Volumes"] or []
        return {
            "containers": sorted(c["Names"][0] for c in containers if self.stack in c["Names"][0]),
            "networks": sorted(n["Name"] for n in networks if self.stack in n["Name"]),
            "volumes": sorted(v["Name"] for v in volumes if self.stack in v["Name"]),
        }

    def inspect(self, name: str) -> Any:
        return json.loads(get(transport_to(self.docker), f"/containers/{name}/json").body)

    def docker_cli(self, *arguments: str) -> str:
        done = subprocess.run(
            ["docker", *arguments],
            capture_output=True,
            text=True,
            timeout=AT_MOST,
            check=True,
            env={**os.environ, "DOCKER_HOST": self.docker},
        )
        return done.stdout.strip()

    def run_foreign(
        self, name: str, *options: str, arguments: Sequence[str] = ("tiny",), image: str = STAND_IN
    ) -> None:
        """Start a container that is not ours. `arguments`: the command line after the image."""
        self.docker_cli("run", "-d", "--name", name, "--label", f"{TEST}={self.stack}", *options, image, *arguments)
        self.foreign.append(name)

    def commit(self, name: str, new: str) -> None:
        """`docker commit` a container, and start a container from the new image. `clean` removes both."""
        image = f"{new}:commit"
        path = f"/commit?container={name}&repo={new}&tag=commit"
        answer = exchange(
            transport_to(self.docker), "POST", path, body=b"{}"
        )  # Podman needs a body; the CLI sends none
        assert answer.status == 201, answer.body
        self.images.append(image)
        self.docker_cli("run", "-d", "--name", new, image)
        self.foreign.append(new)

    def until_serving(self, name: str) -> None:
        """Wait until the log of a container reports that its server is up."""
        path = f"/containers/{name}/logs?stdout=1&stderr=1"
        wait_until(lambda: b"Application startup complete" in get(transport_to(self.docker), path).body)

    def clean(self) -> None:
        """Remove everything that the test created, also containers that were adopted and renamed meanwhile."""
        marks = {("cortexctl.stack", self.stack), (TEST, self.stack)}
        seen = observe_host(connection_to(Host("here", self.docker))).containers
        left = [c.id for c in seen if c.name in self.foreign or marks & set(c.labels.items())]
        for start in range(0, len(left), AT_ONCE):
            self.docker_cli("rm", "-f", "-v", *left[start : start + AT_ONCE])
        if self.images:
            self.docker_cli("rmi", "-f", *self.images)
        for kind in ("network", "volume"):
            wait_until(partial(self._removes_all, kind, count()))

    def delete(self, path: str) -> int:
        """Send a DELETE, which takes a tenth of the time of a `docker` command. Returns the status of the answer."""
        return exchange(transport_to(self.docker), "DELETE", path, timeout=AT_MOST).status

    def _removes_all(self, kind: str, tries: Iterator[int]) -> bool:
        """Whether none is left. A busy daemon counts a removed container as a user of its network for a moment. Docker
        20.10 sometimes counts it for ever, and logs "Fixing inconsistent endpoint_cnt" at its next start: such a
        network, which no container uses, stays.
        """
        leftover = self.docker_cli(kind, "ls", "-q", "--filter", f"name={self.stack}").split()
        with suppress(subprocess.CalledProcessError):
            if leftover:
                self.docker_cli(kind, "rm", *leftover)
        if kind == "network" and next(tries) >= PATIENCE:
            return not any(self.docker_cli("ps", "-aq", "--filter", f"network={id_}").split() for id_ in leftover)
        return not leftover


@contextmanager
def live_daemon(stack: str, docker: str = "") -> Iterator[LiveDaemon]:
    """Yields the daemon: at `docker`, else the lab's. Without a daemon the test fails, and is not skipped: it is part of the run."""
    docker = docker or os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    try:
        get(transport_to(docker), "/_ping")
    except DaemonError as cause:
        raise AssertionError(
            f"no daemon for this test ({cause.message}); run it with: make test, or tests/lab/lab exec pytest …"
        ) from cause
    live = LiveDaemon(docker, stack)
    try:
        yield live
    finally:
        live.clean()
