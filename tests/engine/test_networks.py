"""The network that instances are on, where several runs want it at once. Daemons up to 24 make two of one name then."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress

import docker
import docker.errors
import pytest

from cortexctl.desired.stack import Host
from cortexctl.errors import DaemonRefused
from cortexctl.hosts.act import DockerDaemon
from cortexctl.hosts.transports.choice import connection_to
from cortexctl.instance import labels
from tests.launches import launch_of
from tests.live import STAND_IN, LiveDaemon
from tests.specs import new_spec

pytestmark = pytest.mark.engine


@pytest.fixture
def daemon(live: LiveDaemon) -> DockerDaemon:
    return DockerDaemon(connection_to(Host("here", live.docker)), live.stack)


@pytest.fixture
def name(live: LiveDaemon) -> str:
    return f"{live.stack}-net"


def named(live: LiveDaemon, name: str) -> set[str]:
    """Ids of the networks of this name."""
    return set(live.docker_cli("network", "ls", "-q", "--no-trunc", "--filter", f"name=^{name}$").split())


def create(live: LiveDaemon, daemon: DockerDaemon, network: str) -> str:
    """A container on it; its name."""
    spec = new_spec(STAND_IN, "tiny", ("tiny",), "0.32.0", network=network)
    name = f"{live.stack}-m"
    daemon.create(launch_of(daemon, live.stack, "m", name, spec))
    return name


def make_another(live: LiveDaemon, name: str, marks: dict[str, str]) -> None:
    """A second one of this name, if this daemon makes one."""
    api = docker.APIClient(live.docker, version="auto")
    with suppress(docker.errors.APIError):
        api.create_network(name, driver="bridge", check_duplicate=False, labels=marks)
    api.close()


def test_of_several_that_want_it_at_once_all_get_the_same(live: LiveDaemon, daemon: DockerDaemon, name: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert any(pool.map(lambda _n: daemon.ensure_network(name, live.stack), range(8)))
    assert len(named(live, name)) == 1


def test_what_starts_is_on_the_first_one_where_another_run_has_just_made_a_second(
    live: LiveDaemon, daemon: DockerDaemon, name: str
) -> None:
    daemon.ensure_network(name, live.stack)
    first = named(live, name)
    container = create(live, daemon, name)
    make_another(live, name, labels.owner_labels(f"{live.stack}-other"))
    daemon.start(container)
    assert daemon.state(container).running
    assert named(live, name) == first


def test_a_foreign_network_stays_and_the_daemons_message_is_quoted(
    live: LiveDaemon, daemon: DockerDaemon, name: str
) -> None:
    daemon.ensure_network(name, live.stack)
    make_another(live, name, {})
    both = named(live, name)
    daemon.ensure_network(name, live.stack)
    assert named(live, name) == both
    container = create(live, daemon, name)
    refused = pytest.raises(DaemonRefused, match=f"network {name} is ambiguous")
    with refused if len(both) == 2 else nullcontext():
        daemon.start(container)


def test_one_that_a_stopped_container_was_on_stays(live: LiveDaemon, daemon: DockerDaemon, name: str) -> None:
    """It would never start again."""
    daemon.ensure_network(name, live.stack)
    by_hand = f"{live.stack}-by-hand"
    live.run_foreign(by_hand, "--network", name, arguments=("--model", "/models/tiny"))
    live.docker_cli("stop", "-t", "1", by_hand)
    assert not daemon.remove_network(name, live.stack)
    live.docker_cli("start", by_hand)
    live.docker_cli("rm", "-f", by_hand)
    live.foreign.clear()
    assert daemon.remove_network(name, live.stack)
    assert not named(live, name)
