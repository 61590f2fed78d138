"""What apply relies on of a daemon: the fake, a real one and Podman pass the same tests."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

import pytest

from cortexctl.apply.protocols import Daemon
from cortexctl.desired.stack import Host
from cortexctl.errors import DaemonRefused
from cortexctl.hosts.read import observe_host
from cortexctl.hosts.transports.choice import connection_to
from cortexctl.instance import labels
from cortexctl.instance.launch import Launch
from cortexctl.instance.spec import Publish
from cortexctl.observed.host import ObservedContainer, ObservedHost
from cortexctl.observed.lock_holder import LockInfo
from cortexctl.observed.record import Applied, HostRecord, Start
from tests.fakes.daemon import FakeDaemon
from tests.launches import launch_of
from tests.live import STAND_IN, LiveDaemon, live_daemon
from tests.specs import label_of_version_1, new_spec


class Bench(Protocol):
    """A daemon under test, observations of it, and changes by other users."""

    stack: str
    many: int
    """The number of containers that it can create and run in a few seconds."""
    is_podman: bool

    @property
    def daemon(self) -> Daemon: ...

    def observe(self) -> ObservedHost: ...

    def add_foreign(self, name: str, **marks: str) -> None: ...

    def rename_by_hand(self, name: str, new: str) -> None: ...

    def commit(self, name: str, new: str) -> None:
        """Commit a container to an image, and run a container from the image."""


@dataclass
class FakeBench:
    stack: str
    daemon: FakeDaemon
    many: int = 200
    is_podman: bool = False

    def observe(self) -> ObservedHost:
        return self.daemon.observed()

    def add_foreign(self, name: str, **marks: str) -> None:
        self.daemon.add(name, state="running", labels=marks)

    def rename_by_hand(self, name: str, new: str) -> None:
        next(c for c in self.daemon.containers.values() if c.name == name).name = new

    def commit(self, name: str, new: str) -> None:
        self.daemon.commit(name, new)


@dataclass
class RealBench:
    stack: str
    daemon: Daemon
    live: LiveDaemon
    many: int = 8
    is_podman: bool = False

    def observe(self) -> ObservedHost:
        return observe_host(connection_to(Host("here", self.live.docker)))

    def add_foreign(self, name: str, **marks: str) -> None:
        self.live.run_foreign(name, *(word for k, v in marks.items() for word in ("--label", f"{k}={v}")))

    def rename_by_hand(self, name: str, new: str) -> None:
        self.live.docker_cli("rename", name, new)

    def commit(self, name: str, new: str) -> None:
        self.live.commit(name, new)


@pytest.fixture(
    params=[
        "fake",
        pytest.param("real", marks=pytest.mark.engine),
        pytest.param("podman", marks=pytest.mark.engine),
    ]
)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    stack = f"cxt-{secrets.token_hex(3)}"
    if request.param == "fake":
        yield FakeBench(stack, FakeDaemon("here", stack, [STAND_IN]))
        return
    from cortexctl.hosts.act import DockerDaemon

    at = request.getfixturevalue("podman").docker if request.param == "podman" else ""
    with live_daemon(stack, at) as live:
        daemon = DockerDaemon(connection_to(Host("here", live.docker)), stack)
        yield RealBench(stack, daemon, live, 4 if at else 8, is_podman=bool(at))


def launch(bench: Bench, name: str = "m--g1", **env: str) -> Launch:
    spec = new_spec(
        STAND_IN, "tiny", ("tiny",), "0.32.0", env=env, publish=Publish("127.0.0.1"), network=f"{bench.stack}-net"
    )
    return launch_of(bench.daemon, bench.stack, "m", f"{bench.stack}-{name}", spec)


def created(bench: Bench, name: str = "m--g1", **env: str) -> str:
    """Create a container. Returns its full name."""
    wanted = launch(bench, name, **env)
    bench.daemon.ensure_network(wanted.spec.container.network, bench.stack)
    bench.daemon.create(wanted)
    return wanted.name


def seen(bench: Bench, name: str) -> ObservedContainer:
    return next(c for c in bench.observe().containers if c.name == name)


def test_an_image_that_is_there_is_found_by_its_id(bench: Bench) -> None:
    facts = bench.daemon.image(STAND_IN)
    assert facts.availability == "local"
    assert facts.id.startswith("sha256:")


def test_an_image_that_is_nowhere_is_missing_and_no_exception(bench: Bench) -> None:
    facts = bench.daemon.image("localhost:1/not/there:v1")
    assert facts.availability == "missing"
    assert facts.problem


def test_a_created_container_is_listed_with_its_labels_and_does_not_run(bench: Bench) -> None:
    name = created(bench)
    container = seen(bench, name)
    assert container.state == "created"
    assert container.labels[labels.STACK] == bench.stack
    assert container.networks == (f"{bench.stack}-net",)
    assert not bench.daemon.state(name).running


def test_creating_the_same_twice_keeps_the_first(bench: Bench) -> None:
    name = created(bench)
    first = seen(bench, name).id
    bench.daemon.create(launch(bench))
    assert seen(bench, name).id == first


def test_creating_what_an_older_release_has_created_keeps_it(bench: Bench) -> None:
    """An upgrade of cortexctl between two attempts: the label is of another version, and of the same spec."""
    wanted = launch(bench)
    bench.daemon.ensure_network(wanted.spec.container.network, bench.stack)
    old = {**wanted.labels, labels.SPEC: label_of_version_1(wanted.spec)}
    bench.daemon.create(replace(wanted, labels=old))
    first = seen(bench, wanted.name)
    bench.daemon.create(wanted)
    assert (seen(bench, wanted.name).id, seen(bench, wanted.name).labels) == (first.id, first.labels)


def test_creating_another_under_a_taken_name_is_refused(bench: Bench) -> None:
    created(bench)
    with pytest.raises(DaemonRefused):
        bench.daemon.create(launch(bench, OTHER="1"))


@pytest.fixture
def threads_take_turns_often() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("threads_take_turns_often")
def test_steps_side_by_side_get_in_no_other_ones_way(bench: Bench) -> None:
    bench.daemon.ensure_network(launch(bench).spec.container.network, bench.stack)

    def one(number: int) -> int:
        name = f"{bench.stack}-m{number}--g1"
        bench.daemon.create(launch(bench, f"m{number}--g1"))
        bench.daemon.start(name)
        assert bench.daemon.state(name).running
        bench.daemon.rename(name, f"{bench.stack}-m{number}")
        port = seen(bench, f"{bench.stack}-m{number}").ports[0].port
        bench.daemon.stop(name, 5)
        bench.daemon.remove(name)
        return port

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, range(bench.many)))
    assert not [c.name for c in bench.observe().containers if c.name.startswith(bench.stack)]


@pytest.mark.usefixtures("threads_take_turns_often")
def test_of_several_that_want_one_name_at_once_one_gets_it(bench: Bench) -> None:
    bench.daemon.ensure_network(launch(bench).spec.container.network, bench.stack)

    def one(number: int) -> bool:
        try:
            bench.daemon.create(launch(bench, OTHER=str(number)))
        except DaemonRefused:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(one, range(8))) == 1
    assert [c.name for c in bench.observe().containers if c.name.startswith(bench.stack)] == [launch(bench).name]


def test_a_created_container_is_found_by_its_name_after_a_rename_by_another_user(bench: Bench) -> None:
    name = created(bench)
    bench.rename_by_hand(name, f"{name}-elsewhere")
    bench.daemon.start(name)
    assert bench.daemon.state(name).running
    assert bench.daemon.logs(name, 10) is not None
    bench.daemon.stop(name, 1)
    assert seen(bench, f"{name}-elsewhere").state == "exited"
    bench.daemon.rename(name, f"{name}-again")
    bench.daemon.remove(name)
    assert not [c.name for c in bench.observe().containers if c.name.startswith(name)]


TOUCH: list[Callable[[Daemon, str], object]] = [
    lambda daemon, name: daemon.start(name),
    lambda daemon, name: daemon.stop(name, 1),
    lambda daemon, name: daemon.set_restart(name, "always"),
    lambda daemon, name: daemon.update(name, 2**28, None),
    lambda daemon, name: daemon.rename(name, f"{name}-elsewhere"),
    lambda daemon, name: daemon.connect(name, "bridge"),
    lambda daemon, name: daemon.remove(name),
]


def test_a_commit_of_ours_is_not_touched(bench: Bench) -> None:
    """It has all our labels, from its image, and a name in our format."""
    name = created(bench)
    copy = f"{bench.stack}-m--g2"
    bench.commit(name, copy)
    for touch in TOUCH:
        with pytest.raises(DaemonRefused, match="from its image"):
            touch(bench.daemon, copy)
    assert seen(bench, copy).state == "running"


def test_a_commit_of_ours_is_not_taken_for_the_candidate(bench: Bench) -> None:
    name = created(bench)
    bench.commit(name, f"{bench.stack}-m--g2")
    with pytest.raises(DaemonRefused):
        bench.daemon.create(launch(bench, "m--g2"))


def test_start_stop_and_start_again(bench: Bench) -> None:
    name = created(bench)
    bench.daemon.start(name)
    bench.daemon.start(name)
    assert bench.daemon.state(name).running
    assert bench.daemon.endpoint(name).startswith("http://")
    assert seen(bench, name).ports != ()
    logged(bench, name)  # before, it may not receive the signal
    bench.daemon.stop(name, 10)
    bench.daemon.stop(name, 10)
    assert seen(bench, name).state == "exited"
    bench.daemon.start(name)
    assert bench.daemon.state(name).running


def test_stopping_and_removing_what_is_gone_is_done_already(bench: Bench) -> None:
    bench.daemon.stop("no-such-container", 1)
    bench.daemon.remove("no-such-container")


def test_starting_what_is_gone_is_refused(bench: Bench) -> None:
    with pytest.raises(DaemonRefused):
        bench.daemon.start("no-such-container")


def test_a_running_container_can_be_renamed_and_twice_is_once(bench: Bench) -> None:
    name = created(bench)
    bench.daemon.start(name)
    container = seen(bench, name).id
    bench.daemon.rename(name, f"{bench.stack}-m")
    bench.daemon.rename(name, f"{bench.stack}-m")
    bench.daemon.rename(container, f"{bench.stack}-m")
    assert seen(bench, f"{bench.stack}-m").id == container


def test_renaming_to_a_taken_name_is_refused(bench: Bench) -> None:
    one, two = created(bench), created(bench, "m--g2")
    with pytest.raises(DaemonRefused):
        bench.daemon.rename(one, two)


def test_a_running_container_is_removed(bench: Bench) -> None:
    name = created(bench)
    bench.daemon.start(name)
    bench.daemon.remove(name)
    assert name not in {c.name for c in bench.observe().containers}


def test_the_log_of_this_run_has_none_of_the_run_before(bench: Bench) -> None:
    name = created(bench)
    bench.daemon.start(name)
    first = logged(bench, name)
    assert first == list(bench.daemon.logs(name, 1000))[: len(first)], "all of a first run"
    bench.daemon.stop(name, 10)
    before = len(bench.daemon.logs(name, 1000))
    bench.daemon.start(name)
    again = logged(bench, name)
    assert before >= len(first)
    assert len(again) <= len(bench.daemon.logs(name, 1000)) - before


def logged(bench: Bench, name: str) -> list[str]:
    """The container's log of this run. Waits for the first line."""
    for _ in range(1200):
        lines = list(bench.daemon.logs(name, 1000, this_run=True))
        if lines and ("started" in lines[-1] or any("startup complete" in line for line in lines)):
            return lines
        time.sleep(0.1)
    raise AssertionError("the server said nothing")


def test_the_restart_policy_changes_while_it_runs(bench: Bench) -> None:
    name = created(bench)
    bench.daemon.start(name)
    bench.daemon.set_restart(name, "unless-stopped")
    assert bench.daemon.state(name).running
    assert bench.daemon.in_place(name).restart == "unless-stopped"


@pytest.mark.parametrize("act", ["start", "stop", "remove", "rename", "restart"])
def test_a_foreign_container_is_never_touched(bench: Bench, act: str) -> None:
    name = f"{bench.stack}-theirs"
    bench.add_foreign(name)
    before = seen(bench, name)
    acts = {
        "start": lambda: bench.daemon.start(name),
        "stop": lambda: bench.daemon.stop(name, 1),
        "remove": lambda: bench.daemon.remove(name),
        "rename": lambda: bench.daemon.rename(name, name + "-x"),
        "restart": lambda: bench.daemon.set_restart(name, "no"),
    }
    with pytest.raises(DaemonRefused, match="not a container of the stack"):
        acts[act]()
    assert seen(bench, name) == before


def test_a_foreign_container_that_was_adopted_is_ours_from_then_on(bench: Bench) -> None:
    name, new = f"{bench.stack}-theirs", f"{bench.stack}-ours"
    bench.add_foreign(name)
    id_ = seen(bench, name).id
    bench.daemon.adopt(name)
    bench.daemon.adopt(id_)
    if bench.is_podman:  # `doctor` reports it
        with pytest.raises(DaemonRefused, match="Podman cannot change the limits or the restart policy"):
            bench.daemon.set_restart(id_, "always")
    else:
        bench.daemon.set_restart(id_, "always")
    bench.daemon.rename(id_, new)
    assert bench.daemon.in_place(id_).restart == ("no" if bench.is_podman else "always")
    bench.daemon.stop(id_, 1)
    assert seen(bench, new).state == "exited"
    bench.daemon.start(id_)
    bench.daemon.remove(id_)
    assert new not in {c.name for c in bench.observe().containers}


def test_a_container_of_another_stack_is_never_adopted(bench: Bench) -> None:
    bench.add_foreign(f"{bench.stack}-theirs", **{labels.STACK: "another"})
    with pytest.raises(DaemonRefused):
        bench.daemon.adopt(f"{bench.stack}-theirs")
    with pytest.raises(DaemonRefused):
        bench.daemon.adopt(f"{bench.stack}-not-there")


def test_a_network_is_created_once_and_removed_when_no_container_is_on_it(bench: Bench) -> None:
    name = f"{bench.stack}-net"
    created(bench)
    bench.daemon.ensure_network(name, bench.stack)
    container = seen(bench, f"{bench.stack}-m--g1")
    bench.daemon.start(container.id)
    bench.daemon.remove_network(name, bench.stack)
    assert seen(bench, container.name).networks == (name,)
    bench.daemon.remove(container.id)
    bench.daemon.remove_network(name, bench.stack)
    bench.daemon.remove_network(name, bench.stack)


def test_the_lock_is_the_first_ones_until_it_is_released(bench: Bench) -> None:
    ours = LockInfo("us", "alice", "ci", 1, "r1", 10, 20)
    theirs = LockInfo("them", "bob", "ci", 2, "r2", 11, 21)
    assert bench.daemon.read_lock(bench.stack) is None
    assert bench.daemon.take_lock(bench.stack, ours) == ours
    assert bench.daemon.take_lock(bench.stack, theirs) == ours
    assert bench.daemon.read_lock(bench.stack) == ours
    bench.daemon.release_lock(bench.stack)
    bench.daemon.release_lock(bench.stack)
    assert bench.daemon.take_lock(bench.stack, theirs) == theirs
    bench.daemon.release_lock(bench.stack)


def test_the_record_is_what_was_written_last_and_empty_is_none(bench: Bench) -> None:
    spec = new_spec(STAND_IN, "/models/m", ("m",), args={"max_model_len": 8})
    applied = Applied("m", 1, 2, "run1", spec, (Start(31.5, "/models/m"),), (2.0,))
    assert bench.daemon.read_record(bench.stack) == HostRecord("here")
    for generation in (2, 3):
        record = HostRecord("here", {"here/m": replace(applied, generation=generation)})
        bench.daemon.write_record(bench.stack, record)
        assert bench.daemon.read_record(bench.stack) == record
    assert bench.daemon.read_record(f"{bench.stack}-of-others") == HostRecord("here")
    for _ in range(2):
        bench.daemon.write_record(bench.stack, HostRecord("here"))
    assert bench.daemon.read_record(bench.stack) == HostRecord("here")


def test_a_container_is_put_back_on_its_network_once(bench: Bench) -> None:
    name = f"{bench.stack}-other"
    created(bench)
    bench.daemon.ensure_network(name, bench.stack)
    container = seen(bench, f"{bench.stack}-m--g1")
    for _ in range(2):
        bench.daemon.connect(container.id, name)
    bench.daemon.start(container.id)
    assert name in seen(bench, container.name).networks
    bench.daemon.remove(container.id)
    bench.daemon.remove_network(name, bench.stack)


def test_a_foreign_container_is_never_connected(bench: Bench) -> None:
    bench.add_foreign(f"{bench.stack}-foreign")
    bench.daemon.ensure_network(f"{bench.stack}-net", bench.stack)
    with pytest.raises(DaemonRefused):
        bench.daemon.connect(f"{bench.stack}-foreign", f"{bench.stack}-net")
