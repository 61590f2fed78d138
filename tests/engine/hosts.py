"""Hosts of the tests: each has a daemon, in its own network namespace, on a small file system in memory.

cortexctl runs in another namespace, the controller, which has only a cable to each host and no other route. The
daemon's socket is forwarded through the cable, so that cutting the cable cuts everything.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import socketserver
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.sockets import serving_on
from tests.forks import inside
from tests.live import REPO, STAND_IN
from tests.waiting import AT_MOST

LAB = str(REPO / "tests" / "lab" / "lab")
PORT = 2375
SIZE = 256 * 2**20
"""Bytes of a host's disk."""


def run(*argv: str) -> str:
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
    return done.stdout.strip()


@dataclass
class OwnHost:
    """`docker`: the daemon's URL on the host. `forwarded`: its URL through the cable."""

    name: str
    home: Path
    namespace: str
    address: str
    forwarded: str = ""
    dockerd: str = ""
    """More options of its daemon, separated by spaces."""

    @property
    def docker(self) -> str:
        return f"unix://{self.home}/engine/docker.sock"

    def lab(self, *arguments: str) -> None:
        """Run a command of the host's own lab: see tests/lab/README.md."""
        own = {"CORTEXCTL_LAB_HOME": str(self.home), "CORTEXCTL_LAB_NAME": self.namespace, "DOCKER_HOST": self.docker,
               "CORTEXCTL_LAB_DOCKERD": self.dockerd}  # fmt: skip
        done = subprocess.run(
            [LAB, *arguments], env={**os.environ, **own}, capture_output=True, text=True, timeout=AT_MOST, check=False
        )
        assert done.returncode == 0, done.stderr

    def kill_daemon(self) -> None:
        """Kill the daemon like a crash of the machine. After the next start its containers have stopped as well."""
        pid = int((self.home / "engine" / "docker.pid").read_text())
        os.kill(pid, signal.SIGKILL)

    def start_daemon(self) -> None:
        self.lab("daemon")

    def cut(self) -> None:
        """Cut the cable at the host's end: the controller keeps its route, and tries no other."""
        run("ip", "-n", self.namespace, "link", "set", "eth0", "down")

    def reconnect(self) -> None:
        run("ip", "-n", self.namespace, "link", "set", "eth0", "up")

    @contextmanager
    def full_disk(self) -> Iterator[None]:
        filler = self.home / "filler"
        try:
            with filler.open("wb", buffering=0) as file:
                for size in (1 << 24, 1 << 16, 1 << 10):  # in few writes: a request may wait meanwhile
                    with suppress(OSError):
                        while True:
                            file.write(bytes(size))
            yield
        finally:
            filler.unlink(missing_ok=True)


@contextmanager
def own_hosts(*names: str, dockerd: str = "") -> Iterator[tuple[str, list[OwnHost]]]:
    """Yields the controller's namespace, and the hosts."""
    token = secrets.token_hex(2)
    controller = f"cxt-{token}"
    with ExitStack() as ends:
        run("ip", "netns", "add", controller)
        ends.callback(run, "ip", "netns", "delete", controller)
        run("ip", "-n", controller, "link", "set", "lo", "up")
        hosts = [ends.enter_context(_host(name, f"cxt-{token}-{name}", n, dockerd)) for n, name in enumerate(names, 1)]
        pool = ends.enter_context(ThreadPoolExecutor())
        ends.callback(lambda: list(pool.map(lambda host: host.lab("down"), hosts)))
        list(pool.map(_start, hosts))
        for host in hosts:
            near = host.address.removesuffix(".2") + ".1/24"
            cable = (
                "ip",
                "link",
                "add",
                "name",
                f"to-{host.name}",
                "netns",
                controller,
                "type",
                "veth",
                "peer",
                "name",
                "eth0",
            )
            run(*cable, "netns", host.namespace)
            for namespace, link, address in (
                (controller, f"to-{host.name}", near),
                (host.namespace, "eth0", f"{host.address}/24"),
            ):
                run("ip", "-n", namespace, "address", "add", address, "dev", link)
                run("ip", "-n", namespace, "link", "set", link, "up")
            host.forwarded = ends.enter_context(_forwarded(host, controller))
        yield controller, hosts


@contextmanager
def _host(name: str, namespace: str, number: int, dockerd: str) -> Iterator[OwnHost]:
    home = Path(tempfile.mkdtemp(prefix="cxt-"))
    run("mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", str(home))
    try:
        yield OwnHost(name, home, namespace, f"10.79.{number}.2", dockerd=dockerd)
    finally:
        run("umount", "--lazy", str(home))
        shutil.rmtree(home, ignore_errors=True)


def _start(host: OwnHost) -> None:
    host.start_daemon()
    with subprocess.Popen(["docker", "save", STAND_IN], stdout=subprocess.PIPE) as saved:
        subprocess.run(["docker", "-H", host.docker, "load"], stdin=saved.stdout, check=True, capture_output=True)


@contextmanager
def _forwarded(host: OwnHost, controller: str) -> Iterator[str]:
    """Forward a socket on this side to a port of the host, through the cable. Yields the socket's URL."""

    class There(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as daemon:
                daemon.connect(host.docker.removeprefix("unix://"))
                both_ways(self.request, daemon)

    class Here(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with inside(controller, socket.socket) as far:
                far.settimeout(10)
                far.connect((host.address, PORT))
                far.settimeout(None)
                both_ways(self.request, far)

    server = inside(host.namespace, lambda: HostPort((host.address, PORT), There))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        with serving_on(host.home / "forwarded.sock", Here) as url:
            yield url
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class HostPort(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A daemon that is down."""


def both_ways(one: socket.socket, other: socket.socket) -> None:
    backward = threading.Thread(target=_copy, args=(other, one), daemon=True)
    backward.start()
    _copy(one, other)
    backward.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
