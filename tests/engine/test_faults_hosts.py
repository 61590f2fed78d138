"""Faults of whole hosts: the daemon killed, the network cut, the disk full. On separate daemons of the tests."""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from cortexctl.errors import DaemonError
from tests.engine.hosts import OwnHost, own_hosts
from tests.engine.lanes import Lane, Lanes
from tests.engine.remote import SSH_PORT, SshClient, accepts, ssh_server
from tests.fakes.watching import Watched, watching_proxy
from tests.forks import Forked, inside
from tests.live import STAND_IN, LiveDaemon
from tests.waiting import wait_until

pytestmark = pytest.mark.engine

LOCKED, CREATED, STOPPED, STARTED, PROVEN = 1, 2, 3, 4, 5
"""The numbers of a replacement's requests (stop first) that change something. The last comes right after its gate."""


class HostLanes(Lanes):
    """One lane for each host."""

    def __init__(self, folder: Path, ends: ExitStack, controller: str, hosts: list[OwnHost]) -> None:
        super().__init__(folder, ends, width=len(hosts))
        self.controller = controller
        self.hosts = {h.name: h for h in hosts}
        for host in hosts:
            live = LiveDaemon(host.docker, f"cxt-{secrets.token_hex(3)}")
            url, watched = ends.enter_context(watching_proxy(folder / f"{host.name}.sock", host.forwarded))
            here = Lane(live, folder / f"{host.name}.toml", url, watched, namespace=controller, address=host.address)
            here.begin_with_two()
            self._free.append(here)

    def of(self, here: Lane) -> OwnHost:
        return next(h for h in self.hosts.values() if h.address == here.address)


@pytest.fixture(scope="module")
def lanes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostLanes]:
    with ExitStack() as ends:
        controller, hosts = ends.enter_context(own_hosts("a", "b"))
        yield HostLanes(tmp_path_factory.mktemp("hosts"), ends, controller, hosts)


@dataclass(frozen=True)
class Crash:
    """The daemon dies at this request, and starts again a moment later. `code` and `text`: the result of apply."""

    at: int
    answered: bool
    code: int
    text: str
    strategy: str = "stop_first"

    def __str__(self) -> str:
        return f"the daemon dies {'after' if self.answered else 'before'} request {self.at}, {self.strategy}"


CRASHES = [
    Crash(
        CREATED, answered=True, code=0, text="1 replaced"
    ),  # the gate's reach is tried again, because nothing is stopped yet
    Crash(STOPPED, answered=True, code=1, text="serves again"),
    Crash(STARTED, answered=True, code=1, text="serves again"),
    Crash(PROVEN, answered=False, code=5, text="it was left partially applied"),
    Crash(STARTED - 1, answered=True, code=1, text="serves again", strategy="start_first"),
]


def test_the_daemon_is_killed_and_started_in_the_middle(lanes: HostLanes) -> None:
    def crash(here: Lane, case: Crash) -> None:
        before = here.containers()
        host = lanes.of(here)
        restart = threading.Thread(target=host.start_daemon)

        def die() -> None:
            host.kill_daemon()
            restart.start()

        here.want(case.strategy)
        here.watched.arm(case.at, die, answered=case.answered)
        code, output = here.apply(here.plan())
        here.watched.arm()
        restart.join()
        assert (code, case.text in output) == (case.code, True), output
        assert case.code == 0 or "stopped answering" in output, output
        after = here.containers()
        stays = {before[here.serving].id} if case.code == 0 else {s.id for s in before.values()}  # `keep` is 1
        assert stays <= {s.id for s in after.values()}, "a retained container is gone"
        if case.code == 0:
            assert here.serves() not in stays
            before = after
        if case.code == 1:
            assert after == before
            assert here.serves() == before[here.serving].id
        assert here.lock_holder_is_gone() in {None, True}
        here.want()
        here.converge(before)

    lanes.run(CRASHES, crash)


def test_the_disk_is_full(lanes: HostLanes) -> None:
    def fill(here: Lane, at: int) -> None:
        before, began = here.containers(), here.began(here.serving)
        here.want()
        plan = here.plan()
        with ExitStack() as full:
            here.watched.arm(at, lambda: full.enter_context(lanes.of(here).full_disk()), answered=at == LOCKED)
            if at == 0:
                full.enter_context(lanes.of(here).full_disk())
            code, output = here.apply(plan)
            here.watched.arm()
        assert code == 1, output
        assert "no space left on device" in output, output
        assert here.containers() == before
        assert here.began(here.serving) == began, "the serving instance was stopped without need"
        assert here.serves() == before[here.serving].id
        assert here.lock_holder_is_gone() in {None, True}
        here.converge(before)

    lanes.run([LOCKED, 0], fill)


class CutOff:
    """A host whose cable is cut until another host has finished."""

    def __init__(self, host: OwnHost, is_over: Callable[[], bool]) -> None:
        self._host = host
        self._is_over = is_over
        self._seen = False
        self._waits = threading.Thread(target=self._wait)

    def begin(self) -> None:
        self._host.cut()
        self._waits.start()

    def other_was_done(self) -> bool:
        self._waits.join()
        return self._seen

    def _wait(self) -> None:
        for _ in range(300):
            with suppress(DaemonError, AssertionError):  # during a rename
                self._seen = self._is_over()
            if self._seen:
                break
            time.sleep(0.1)
        self._host.reconnect()


@contextmanager
def way_to(host: OwnHost, kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Watched]]:
    """A URL of the daemon that is watched, and leads through the cable."""
    if kind == "unix":
        with watching_proxy(folder / "a.sock", host.forwarded) as way:
            yield way
        return
    (folder / "client").mkdir()
    client = SshClient(folder / "client")
    monkeypatch.setenv("PATH", f"{client.bin}:{os.environ['PATH']}")
    with (
        watching_proxy(folder / "a.sock", host.docker) as (_, watched),
        ssh_server(host, folder / "sshd", client.key) as server,
    ):
        client.trust(server)
        wait_until(lambda: inside(host.namespace, lambda: accepts(host.address, SSH_PORT)))
        yield f"ssh://{host.address}{folder}/a.sock", watched


@pytest.mark.parametrize(("kind", "cuts"), [("unix", (CREATED, STOPPED, STARTED)), ("ssh", (STOPPED,))])
def test_a_host_that_is_cut_off_for_a_while_continues_and_the_other_does_not_wait(
    lanes: HostLanes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, cuts: tuple[int, ...]
) -> None:
    stack = f"cxt-{secrets.token_hex(3)}"
    a, b = lanes.hosts["a"], lanes.hosts["b"]
    file = tmp_path / "two.toml"

    def apply(turn: int, docker: str) -> Forked:
        file.write_text(
            f'stack = "{stack}"\n\n'
            f'[hosts.a]\ndocker = "{docker}"\naddress = "{a.address}"\nnetwork = "{stack}-net"\n\n'
            f'[hosts.b]\ndocker = "{b.forwarded}"\naddress = "{b.address}"\nnetwork = "{stack}-net"\n\n'
            f'[models.{stack}-m]\nimage = "{STAND_IN}"\nsource = {{ repo = "org/tiny", revision = "1" }}\n'
            f'served_names = ["tiny"]\nhosts = ["a", "b"]\ngpus = "none"\nshm_size = "64 MiB"\npublish = "0.0.0.0"\n\n'
            f'[models.{stack}-m.gate]\nstable_for = "0s"\nstartup_timeout = "60s"\n\n'
            f'[models.{stack}-m.rollout]\nmax_unavailable = 2\ndrain = "0s"\n\n'
            f'[models.{stack}-m.env]\nTURN = "{turn}"\n'
        )
        return Forked(
            tmp_path / "apply.output", docker, "apply", str(file), "--auto-approve", namespace=lanes.controller
        )

    on = {host.name: LiveDaemon(host.docker, stack) for host in (a, b)}
    serving = f"vllm-model-{stack}-m"

    def serves(name: str) -> str:
        inspected = on[name].inspect(serving)
        assert inspected["State"]["Running"]
        assert inspected["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
        return str(inspected["Id"])

    with way_to(a, kind, tmp_path, monkeypatch) as (url, watched):
        code, output = apply(1, url).end()
        assert code == 0, output
        for turn, at in enumerate(cuts, 2):
            old = {name: serves(name) for name in on}
            waits = CutOff(a, lambda old=old: serves("b") != old["b"])  # type: ignore[misc]
            watched.arm(at, waits.begin)
            code, output = apply(turn, url).end(timeout=180)
            watched.arm()
            assert code == 0, output
            assert waits.other_was_done(), "the other host waited for the one that was cut off"
            for name, live in on.items():
                assert serves(name) != old[name]
                retained = live.inspect(f"{serving}--g{turn - 1}")
                assert (retained["Id"], retained["State"]["Status"]) == (old[name], "exited")
                assert not [v for v in live.everything()["volumes"] if v.startswith(f"cortexctl-lock-{stack}")]
        planned = Forked(
            tmp_path / "plan.output", url, "plan", str(file), "--detailed-exitcode", namespace=lanes.controller
        ).end()
        assert planned[0] == 0, planned[1]


def test_no_route_leads_out_of_the_namespaces_of_the_daemons(lanes: HostLanes) -> None:
    """A packet for a container whose bridge was just removed must not take another route."""
    from tests.engine.hosts import run

    for namespace in (lanes.controller, *(h.namespace for h in lanes.hosts.values())):
        routes = json.loads(run("ip", "-n", namespace, "-json", "route"))
        assert not [r for r in routes if r["dst"] == "default"], namespace
