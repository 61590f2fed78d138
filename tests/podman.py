"""A Podman of its own for tests: its Docker API, in a network namespace without a way out, on a file system in memory."""

from __future__ import annotations

import os
import resource
import secrets
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cortexctl.errors import DaemonError
from cortexctl.hosts.http import get
from cortexctl.hosts.transports.choice import transport_to
from tests.live import STAND_IN
from tests.waiting import AT_MOST, wait_until

SIZE = 512 * 2**20
"""Bytes of its disk."""
LIMIT = 20_000
"""Open files, and processes."""


@dataclass(frozen=True)
class Podman:
    """`folder` has all its data. The command-line program uses the same data as the service."""

    folder: Path
    namespace: str

    @property
    def docker(self) -> str:
        return f"unix://{self.folder}/podman.sock"

    def argv(self, *arguments: str) -> list[str]:
        """runc, because crun refuses limits of memory on cgroups of both versions."""
        at = [f"--{name}={self.folder / name}" for name in ("root", "runroot", "tmpdir", "network-config-dir")]
        config = f"CONTAINERS_CONF={self.folder / 'containers.conf'}"
        inside = ["nsenter", f"--net=/run/netns/{self.namespace}", "env", config, "podman"]
        return [*inside, *at, "--runtime=runc", "--cgroup-manager=cgroupfs", *arguments]

    def answers(self) -> bool:
        try:
            get(transport_to(self.docker), "/_ping")
        except DaemonError:
            return False
        return True

    def kill_leftovers(self) -> None:
        """For five minutes after each exec, one process waits until it removes the exec's record."""
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                if f"{self.folder}/".encode() in file.read_bytes():
                    os.kill(int(file.parent.name), signal.SIGKILL)


@contextmanager
def own_podman() -> Iterator[Podman]:
    """With the stand-in image. `tests/lab/lab podman` installs what it needs."""
    podman = Podman(Path(tempfile.mkdtemp(prefix="cxt-")), f"cxt-{secrets.token_hex(2)}-p")
    with ExitStack() as ends:
        ends.callback(podman.folder.rmdir)
        _run("mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", str(podman.folder))
        ends.callback(_run, "umount", "--lazy", str(podman.folder))
        _run("ip", "netns", "add", podman.namespace)
        ends.callback(_run, "ip", "netns", "delete", podman.namespace)
        _run("ip", "-n", podman.namespace, "link", "set", "lo", "up")
        (podman.folder / "containers.conf").write_text(_limits())
        with subprocess.Popen(["docker", "save", STAND_IN], stdout=subprocess.PIPE) as saved:
            subprocess.run(podman.argv("load"), stdin=saved.stdout, check=True, capture_output=True)
        with (podman.folder / "log").open("wb") as log:
            service = subprocess.Popen(podman.argv("system", "service", "--time=0", podman.docker), stderr=log)
        ends.callback(podman.kill_leftovers)
        ends.callback(_end, service)
        ends.callback(_run, *podman.argv("rm", "--all", "--force", "--time=0"))
        wait_until(podman.answers)
        yield podman


def _limits() -> str:
    """Podman raises both limits, which a machine may not allow."""
    kinds = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
    most = {name: resource.getrlimit(kind)[1] for name, kind in kinds.items()}
    ours = {name: LIMIT if value == resource.RLIM_INFINITY else min(LIMIT, value) for name, value in most.items()}
    return f"[containers]\ndefault_ulimits = {[f'{name}={value}:{value}' for name, value in ours.items()]}\n"


def _run(*argv: str) -> None:
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=AT_MOST)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"


def _end(service: subprocess.Popen[bytes]) -> None:
    service.terminate()
    service.wait(timeout=AT_MOST)
