"""Hosts that are reached by ssh and by TLS: real daemons, a real sshd, real certificates, each in a network of its own."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from cortexctl.desired.stack import Host, ReachMode
from cortexctl.engines.vllm.contract import CONTRACT
from cortexctl.errors import PathFailed
from cortexctl.health.prober import HttpProber
from cortexctl.hosts.fleet import open_hosts
from tests.engine.hosts import OwnHost, own_hosts, run
from tests.engine.kill_points import kill_after_every_step
from tests.engine.lanes import Lane, Lanes
from tests.engine.remote import (
    TLS_PORT,
    Certificates,
    SshClient,
    SshServer,
    healthy_stub,
    make_key,
    ssh_server,
    tls_front,
)
from tests.fakes.watching import watching_proxy
from tests.forks import Forked, inside
from tests.live import STAND_IN, LiveDaemon, Ran
from tests.waiting import AT_MOST, wait_until

pytestmark = pytest.mark.engine

STACK = """
stack = "remote"

[hosts.gpu-1]
docker = "{docker}"
{tls}

[models.tiny]
image = "{image}"
source = {{ repo = "org/tiny", revision = "1" }}
gpus = "none"
rollout = {{ strategy = "{strategy}", drain = "0s", keep = 1 }}
gate = {{ stable_for = "0s", startup_timeout = "60s" }}

[models.tiny.env]
STANDIN_START_SECONDS = "{start}"
"""


@dataclass
class Site:
    """One host, a controller that reaches it over a cable, and all that belongs to ssh and TLS."""

    controller: str
    host: OwnHost
    certificates: Certificates
    client: SshClient
    server: SshServer
    folder: Path

    @property
    def ssh(self) -> str:
        """Its daemon is not at the usual path."""
        return f"ssh://{self.host.address}{self.host.docker.removeprefix('unix://')}"

    @property
    def tls(self) -> str:
        return f"tcp://{self.host.address}:{TLS_PORT}"

    @property
    def temporary(self) -> Path:
        """Where ssh's private folders are created."""
        return self.folder / "tmp"

    def write(self, docker: str, tls: str = "", *, start: str = "0", strategy: str = "stop_first") -> str:
        path = self.folder / "remote.toml"
        path.write_text(STACK.format(docker=docker, tls=tls, image=STAND_IN, start=start, strategy=strategy))
        return str(path)

    def start(self, *arguments: str) -> Forked:
        output = self.folder / "output"
        return Forked(output, "unix:///nowhere", *arguments, namespace=self.controller)

    def cortexctl(self, *arguments: str) -> Ran:
        code, text = self.start(*arguments).end()
        return Ran(code, text, text)

    def containers(self) -> dict[str, str]:
        rows = self.docker("ps", "--all", "--format", "{{.Names}} {{.State}}").splitlines()
        return dict(row.split() for row in rows)

    def docker(self, *arguments: str) -> str:
        done = subprocess.run(
            ["docker", "-H", self.host.docker, *arguments], capture_output=True, text=True, check=True, timeout=AT_MOST
        )
        return done.stdout

    def is_empty(self) -> bool:
        """Whether no container and no volume is left. Removes them; a busy daemon may refuse for a moment."""
        left = [(("rm", "--force"), name) for name in self.containers()]
        left += [(("volume", "rm"), name) for name in self.docker("volume", "ls", "--quiet").split()]
        for command, name in left:
            with suppress(subprocess.CalledProcessError):
                self.docker(*command, name)
        return not left

    def ssh_processes(self) -> list[int]:
        """Of our own tunnels: their private folders are on the command line."""
        return [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and str(self.temporary).encode() in _command_line(entry)
        ]

    def nothing_is_left(self) -> bool:
        return not self.ssh_processes() and not list(self.temporary.glob("cortexctl-ssh-*"))


def _command_line(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:  # it has ended
        return b""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    folder = Path(tempfile.mkdtemp(prefix="cxr-"))  # a short path: sockets are in it
    before = dict(os.environ)
    try:
        for name in ("tls", "client", "tmp"):
            (folder / name).mkdir()
        certificates = Certificates(folder / "tls")
        certificates.sign("host", names="IP:10.79.1.2,DNS:gpu-1", usage="serverAuth")
        certificates.sign("client", names="DNS:client", usage="clientAuth")
        client = SshClient(folder / "client")
        os.environ["PATH"] = f"{client.bin}:{os.environ['PATH']}"
        os.environ.pop("SSH_AUTH_SOCK", None)
        os.environ["TMPDIR"] = str(folder / "tmp")
        os.environ["CURL_CA_BUNDLE"] = os.environ["REQUESTS_CA_BUNDLE"] = os.environ["SSL_CERT_FILE"] = "/etc/hostname"
        with ExitStack() as ends:
            controller, [host] = ends.enter_context(own_hosts("a", dockerd=certificates.dockerd("host")))
            server = ends.enter_context(ssh_server(host, folder / "sshd", client.key))
            client.trust(server)
            yield Site(controller, host, certificates, client, server, folder)
    finally:
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def no_containers(site: Site) -> Iterator[None]:
    yield
    wait_until(site.is_empty)


def transports(site: Site) -> dict[str, tuple[str, str]]:
    return {"tls": (site.tls, site.certificates.table("client")), "ssh": (site.ssh, "")}


# ---- the main job


@pytest.mark.parametrize("kind", ["tls", "ssh"])
def test_the_main_job(site: Site, kind: str) -> None:
    docker, tls = transports(site)[kind]
    stack = site.write(docker, tls)
    before = site.server.handshakes()
    planned = site.cortexctl("plan", stack)
    assert "1 to create" in planned.out, planned.out
    applied = site.cortexctl("apply", stack, "--auto-approve")
    assert applied.code == 0, applied.out
    assert site.containers() == {"vllm-model-tiny": "running"}
    assert site.cortexctl("plan", stack, "--detailed-exitcode").code == 0
    assert site.cortexctl("drift", stack, "--detailed-exitcode").code == 0
    status = site.cortexctl("status", stack)
    assert "healthy" in status.out, status.out
    log = site.cortexctl("logs", "gpu-1/tiny", "--stack", stack)
    assert (log.code, "Application startup complete" in log.out) == (0, True), log.out
    site.docker("stop", "--time", "0", "vllm-model-tiny")
    assert site.cortexctl("drift", stack, "--detailed-exitcode").code == 2
    destroyed = site.cortexctl("destroy", stack, "--auto-approve")
    assert destroyed.code == 0, destroyed.out
    assert site.containers() == {}
    commands = 8
    assert site.server.handshakes() - before == (commands if kind == "ssh" else 0), "one connection per command"
    wait_until(site.nothing_is_left)


def test_a_candidate_that_fails_is_replaced_by_the_old_one_over_ssh(site: Site) -> None:
    stack = site.write(site.ssh)
    assert site.cortexctl("apply", stack, "--auto-approve").code == 0
    text = Path(stack).read_text()
    Path(stack).write_text(text.replace("[models.tiny.env]", '[models.tiny.env]\nSTANDIN_COMPLETION_STATUS = "500"'))
    failed = site.cortexctl("apply", stack, "--auto-approve")
    assert (failed.code, "generation 1 serves again" in failed.out) == (1, True), failed.out
    assert site.containers() == {"vllm-model-tiny": "running"}


@pytest.mark.parametrize("kind", ["tls", "ssh"])
def test_doctor_names_the_transport_and_probes_over_it(site: Site, kind: str) -> None:
    docker, tls = transports(site)[kind]
    before = site.server.handshakes()
    report = site.cortexctl("doctor", "--probe", "--stack", site.write(docker, tls))
    assert report.code == 0, report.out
    assert f"{docker} ({'TLS' if kind == 'tls' else 'ssh'}); a request takes" in report.out
    assert "a container gets none: could not select device driver" in report.out
    assert site.server.handshakes() - before == (1 if kind == "ssh" else 0)
    assert site.containers() == {}
    wait_until(site.nothing_is_left)


def test_one_daemon_under_two_urls_is_refused_before_its_first_container(site: Site) -> None:
    """A plan has no evidence yet: neither host has a container."""
    stack = Path(site.write(site.tls, site.certificates.table("client")))
    text = stack.read_text().replace("[models.tiny]", f'[hosts.here]\ndocker = "{site.host.docker}"\n\n[models.tiny]')
    stack.write_text(text.replace('gpus = "none"', 'gpus = "none"\nhosts = ["*"]', 1))
    assert "2 to create" in site.cortexctl("plan", str(stack)).out
    refused = site.cortexctl("apply", str(stack), "--auto-approve", "--lock-timeout", "10m")
    assert refused.code == 4, refused.out
    assert f'hosts "gpu-1" and "here" are the same daemon ({site.tls} and {site.host.docker})' in refused.out
    assert site.containers() == {}
    assert site.docker("volume", "ls", "--quiet") == "", "a lock is left"


# ---- ssh, with faults


def plan_problem(site: Site, docker: str, tls: str = "") -> str:
    planned = site.cortexctl("plan", site.write(docker, tls))
    assert planned.code == 1, planned.out
    assert "Traceback" not in planned.out
    wait_until(site.nothing_is_left)
    return " ".join(planned.out.split())


@contextmanager
def client_configured(site: Site, *lines: str, key: str = "") -> Iterator[None]:
    site.client.configure(*lines, key=key)
    try:
        yield
    finally:
        site.client.configure()


@contextmanager
def known_hosts(site: Site, text: str) -> Iterator[None]:
    before = site.client.known_hosts.read_text()
    site.client.known_hosts.write_text(text)
    try:
        yield
    finally:
        site.client.known_hosts.write_text(before)


def test_a_key_that_the_host_does_not_accept(site: Site) -> None:
    other = site.folder / "other-key"
    make_key(other)
    with client_configured(site, key=str(other)):
        problem = plan_problem(site, site.ssh)
    assert f"no ssh connection to {site.host.address}: it accepts none of our keys (it allows: publickey" in problem
    assert "no ssh agent runs here" in problem
    assert "ssh-add -l" in problem


def test_a_host_key_that_is_not_known(site: Site) -> None:
    with known_hosts(site, ""):
        problem = plan_problem(site, site.ssh)
    assert "its host key is not in known_hosts" in problem


def test_a_host_key_that_changed(site: Site) -> None:
    key = " ".join(site.client.key.with_suffix(".pub").read_text().split()[:2])
    with known_hosts(site, f"{site.host.address} {key}\n"):
        problem = plan_problem(site, site.ssh)
    assert "its host key is not the one in known_hosts" in problem
    assert f"ssh-keygen -R {site.host.address}" in problem


def test_no_ssh_server_and_no_such_host(site: Site) -> None:
    problem = plan_problem(site, f"ssh://{site.host.address}:2222")
    assert "Connection refused" in problem
    assert "Could not resolve hostname gpu-9" in plan_problem(site, "ssh://gpu-9")


def test_no_daemon_at_its_socket(site: Site) -> None:
    problem = plan_problem(site, f"ssh://{site.host.address}/run/nowhere.sock")
    assert f"no Docker daemon at ssh://{site.host.address}/run/nowhere.sock" in problem
    assert f"ssh {site.host.address} docker info" in problem


@contextmanager
def another_server(site: Site, *options: str) -> Iterator[None]:
    """An sshd of other options in the place of the usual one."""
    site.server.stop()
    folder = site.folder / "another"
    try:
        with ssh_server(site.host, folder, site.client.key, *options) as server, known_hosts(site, ""):
            site.client.trust(server)
            yield
    finally:
        shutil.rmtree(folder)
        site.server.start()


@pytest.mark.parametrize(
    "options",
    [
        ("AllowStreamLocalForwarding no",),
        ("DisableForwarding yes",),
        ("DisableForwarding yes", "MaxSessions 1"),
        ("MaxSessions 1",),
    ],
    ids=["no sockets forwarded", "nothing forwarded", "nothing forwarded, one session", "one session"],
)
def test_a_server_that_forbids(site: Site, options: tuple[str, ...]) -> None:
    with another_server(site, *options):
        stack = site.write(site.ssh)
        applied = site.cortexctl("apply", stack, "--auto-approve")
        assert applied.code == 0, applied.out
        assert site.cortexctl("plan", stack, "--detailed-exitcode").code == 0
        kind = "ssh" if options == ("MaxSessions 1",) else "ssh, one program per request"
        assert f"{site.ssh} ({kind}); a request takes" in site.cortexctl("doctor", "--stack", stack).out
    wait_until(site.nothing_is_left)


def test_after_a_kill_no_ssh_is_left(site: Site) -> None:
    stack = site.write(site.ssh, start="8")
    apply = site.start("apply", stack, "--auto-approve")
    wait_until(lambda: site.containers().get("vllm-model-tiny--g1") == "running")
    assert site.ssh_processes()
    apply.kill()
    wait_until(site.nothing_is_left)
    again = site.cortexctl("apply", stack, "--auto-approve")
    assert again.code == 0, again.out
    assert site.containers() == {"vllm-model-tiny": "running"}


@pytest.mark.parametrize("strategy", ["stop_first", "start_first"])
def test_an_apply_outlives_its_ssh_process(site: Site, strategy: str) -> None:
    stack = site.write(site.ssh, strategy=strategy)
    assert site.cortexctl("apply", stack, "--auto-approve").code == 0
    site.write(site.ssh, start="4", strategy=strategy)
    apply = site.start("apply", stack, "--auto-approve")
    wait_until(lambda: site.containers().get("vllm-model-tiny--g2") == "running")
    # the request that started it has its answer once the gate has run a program inside
    wait_until(lambda: site.docker("inspect", "--format", "{{json .ExecIDs}}", "vllm-model-tiny--g2").strip() != "null")
    for process in site.ssh_processes():
        with suppress(ProcessLookupError):  # a request to the ssh process ends by itself
            os.kill(process, 9)
    code, output = apply.end()
    assert code == 0, output
    assert site.containers() == {"vllm-model-tiny": "running", "vllm-model-tiny--g1": "exited"}
    wait_until(lambda: not site.ssh_processes())


# ---- the reach of a server over ssh

KEY = "sk-planted-key-of-the-server"
PORT = 28834
WITH_KEY = f"""
publish = "127.0.0.1:{PORT}"

[models.tiny.secrets]
VLLM_API_KEY = {{ env = "PLANTED_KEY" }}

[models.tiny.env]
"""


def test_a_healthy_server_elsewhere_passes_no_gate_and_gets_no_key(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """One answers at the published port of this machine, and one at that of the host."""
    monkeypatch.setenv("PLANTED_KEY", KEY)
    stack = Path(site.write(site.ssh))
    working = stack.read_text().replace("\n[models.tiny.env]\n", WITH_KEY)
    with (
        healthy_stub(site.controller, "127.0.0.1", PORT) as here,
        healthy_stub(site.host.namespace, site.host.address, PORT) as there,
    ):
        stack.write_text(working + 'STANDIN_COMPLETION_STATUS = "500"\n')
        failed = site.cortexctl("apply", str(stack), "--auto-approve")
        assert (failed.code, "its first request failed" in failed.out) == (1, True), failed.out
        stack.write_text(working)
        applied = site.cortexctl("apply", str(stack), "--auto-approve")
        assert (applied.code, ":8000 over ssh" in applied.out) == (0, True), applied.out
        assert site.cortexctl("status", str(stack)).code == 0
    assert (here, there) == ([], [])


def test_an_address_that_ends_elsewhere_on_the_host_gets_no_request(site: Site) -> None:
    """The host itself has the container's address, as with another daemon's bridge."""
    container = site.docker("run", "--detach", "--name", "server", STAND_IN, "tiny").strip()
    address = site.docker("inspect", "--format", "{{.NetworkSettings.IPAddress}}", container).strip()
    wait_until(lambda: len(targets(site, container, "exec")) == 3)
    loopback = ("ip", "-n", site.host.namespace, "address")
    run(*loopback, "add", f"{address}/32", "dev", "lo")
    try:
        with healthy_stub(site.host.namespace, address, 8000) as stub:
            assert targets(site, container, "auto") == ["its port 8000, from inside the container"] * 3
            with pytest.raises(PathFailed, match=f"its host does not reach it at {address}"):
                targets(site, container, "direct")
        assert stub == []
    finally:
        run(*loopback, "del", f"{address}/32", "dev", "lo")
    assert targets(site, container, "direct") == [f"{address}:8000 over ssh"] * 3


def targets(site: Site, container: str, mode: ReachMode) -> list[str]:
    """The targets of three healthy answers in one run."""
    host = Host("gpu-1", site.ssh, reach=mode)

    def queried() -> list[str]:
        with open_hosts([host], "remote") as hosts:
            reaches = [hosts.reach(host.name, container) for _ in range(3)]
            return [reach.target for reach in reaches if not HttpProber(CONTRACT).health(reach)]

    return inside(site.controller, queried)


def test_a_server_that_forbids_to_forward_ports(site: Site) -> None:
    with another_server(site, "PermitOpen none"):
        stack = site.write(site.ssh, 'reach = "direct"')
        refused = site.cortexctl("apply", stack, "--auto-approve")
        assert (refused.code, site.containers()) == (1, {}), refused.out
        assert "the host's ssh server forbids to forward TCP ports" in refused.out
        assert "fix    set AllowTcpForwarding yes in its sshd_config" in refused.out


# ---- TLS, with faults


def test_a_client_certificate_that_expired(site: Site) -> None:
    site.certificates.sign("expired", names="DNS:client", usage="clientAuth", days=-1)
    problem = plan_problem(site, site.tls, site.certificates.table("expired"))
    assert "refuses our certificate" in problem
    assert "openssl x509 -noout -issuer -enddate" in problem


def test_a_client_certificate_of_another_authority(site: Site) -> None:
    folder = site.folder / "other-authority"
    folder.mkdir()
    other = Certificates(folder)
    other.sign("client", names="DNS:client", usage="clientAuth")
    table = site.certificates.table("client").replace(f"{site.certificates.folder}/client", f"{folder}/client")
    assert "refuses our certificate" in plan_problem(site, site.tls, table)
    problem = plan_problem(site, site.tls, other.table("client"))
    assert f"the certificate of the daemon at {site.tls} is not accepted" in problem


def test_a_daemon_with_a_certificate_for_another_name(site: Site) -> None:
    other = f"tcp://127.0.0.1:{TLS_PORT}"
    with forwarded_port(site):
        problem = plan_problem(site, other, site.certificates.table("client"))
    assert f"the certificate of the daemon at {other} is not accepted" in problem
    assert "or give the daemon a certificate for 127.0.0.1" in problem


@contextmanager
def forwarded_port(site: Site) -> Iterator[None]:
    """The daemon's port at an address of the controller."""
    program = (
        "import socket,threading\n"
        f"server = socket.create_server(('127.0.0.1', {TLS_PORT}))\n"
        "print(flush=True)\n"
        "def copy(a, b):\n"
        "    while data := a.recv(65536): b.sendall(data)\n"
        "    b.close()\n"
        "while True:\n"
        "    near, _ = server.accept()\n"
        f"    far = socket.create_connection(('{site.host.address}', {TLS_PORT}))\n"
        "    for pair in ((near, far), (far, near)):\n"
        "        threading.Thread(target=copy, args=pair, daemon=True).start()\n"
    )
    argv = ["nsenter", f"--net=/run/netns/{site.controller}", "python3", "-c", program]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


def test_no_tls_files_and_no_tls(site: Site) -> None:
    assert "cannot be used without TLS" in plan_problem(site, site.tls)
    table = site.certificates.table("nobody")
    assert "nobody.pem cannot be read (No such file or directory)" in plan_problem(site, site.tls, table)
    refused = plan_problem(site, f"tcp://{site.host.address}:2399", site.certificates.table("client"))
    assert "the port refuses connections" in refused


# ---- killed after every step


class RemoteLanes(Lanes):
    """Four lanes on one host, reached over ssh or TLS."""

    def __init__(self, site: Site, kind: str, folder: Path, ends: ExitStack) -> None:
        super().__init__(folder, ends, width=4)
        for number in range(4):
            live = LiveDaemon(site.host.docker, f"cxt-{secrets.token_hex(3)}")
            proxy = site.folder / f"{live.stack}.sock"
            _, watched = ends.enter_context(watching_proxy(proxy, site.host.docker))
            if kind == "ssh":
                url = f"ssh://{site.host.address}{proxy}"
            else:
                front = tls_front(site.host, site.certificates, "host", proxy, TLS_PORT + 1 + number)
                url = ends.enter_context(front)
            address = site.host.address
            here = Lane(live, folder / f"{live.stack}.toml", url, watched, namespace=site.controller, address=address)
            here.begin_with_two()
            self._free.append(here)


@pytest.mark.parametrize("kind", ["tls", "ssh"])
def test_killed_after_every_step_over(site: Site, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cert", "key"):  # by the names that the docker command uses
        shutil.copy(
            site.certificates.folder / f"client.{'pem' if name == 'cert' else 'key'}", site.folder / f"{name}.pem"
        )
    shutil.copy(site.certificates.folder / "ca.pem", site.folder / "ca.pem")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(site.folder))
    with ExitStack() as ends:
        kill_after_every_step(RemoteLanes(site, kind, tmp_path, ends), "stop_first")
    wait_until(site.nothing_is_left)
