"""The network that instances are on, where several runs want it at once. Engines up to 24 make two of one name then."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress

import docker
import docker.errors
import pytest

from cortexctl.desired.stack import Host
from cortexctl.errors import EngineRefused
from cortexctl.hosts.act import DockerEngine
from cortexctl.instance import labels
from cortexctl.instance.spec import ContainerSpec
from tests.launches import launch_of
from tests.live import STAND_IN, LiveEngine

pytestmark = pytest.mark.engine


@pytest.fixture
def engine(live: LiveEngine) -> Iterator[DockerEngine]:
    engine = DockerEngine(Host("here", live.docker), live.stack)
    yield engine
    engine.close()


@pytest.fixture
def name(live: LiveEngine) -> str:
    return f"{live.stack}-net"


def named(live: LiveEngine, name: str) -> set[str]:
    """Ids of the networks of this name."""
    return set(live.docker_cli("network", "ls", "-q", "--no-trunc", "--filter", f"name=^{name}$").split())


def create(live: LiveEngine, engine: DockerEngine, network: str) -> str:
    """A container on it; its name."""
    spec = ContainerSpec(STAND_IN, "tiny", ("tiny",), "0.32.0", network=network)
    name = f"{live.stack}-m"
    engine.create(launch_of(engine, live.stack, "m", name, spec))
    return name


def make_another(live: LiveEngine, name: str, marks: dict[str, str]) -> None:
    """A second one of this name, if this engine makes one."""
    api = docker.APIClient(live.docker, version="auto")
    with suppress(docker.errors.APIError):
        api.create_network(name, driver="bridge", check_duplicate=False, labels=marks)
    api.close()


def test_of_several_that_want_it_at_once_all_get_the_same(live: LiveEngine, engine: DockerEngine, name: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert any(pool.map(lambda _n: engine.ensure_network(name, live.stack), range(8)))
    assert len(named(live, name)) == 1


def test_what_starts_is_on_the_first_one_where_another_run_has_just_made_a_second(
    live: LiveEngine, engine: DockerEngine, name: str
) -> None:
    engine.ensure_network(name, live.stack)
    first = named(live, name)
    container = create(live, engine, name)
    make_another(live, name, labels.owner_labels(f"{live.stack}-other"))
    engine.start(container)
    assert engine.state(container).running
    assert named(live, name) == first


def test_one_of_somebody_elses_making_stays_and_the_engine_is_quoted(
    live: LiveEngine, engine: DockerEngine, name: str
) -> None:
    engine.ensure_network(name, live.stack)
    make_another(live, name, {})
    both = named(live, name)
    engine.ensure_network(name, live.stack)
    assert named(live, name) == both
    container = create(live, engine, name)
    refused = pytest.raises(EngineRefused, match=f"network {name} is ambiguous")
    with refused if len(both) == 2 else nullcontext():
        engine.start(container)


def test_one_that_a_stopped_container_was_on_stays(live: LiveEngine, engine: DockerEngine, name: str) -> None:
    """It would never start again."""
    engine.ensure_network(name, live.stack)
    by_hand = f"{live.stack}-by-hand"
    live.run_foreign(by_hand, "--network", name, words=("--model", "/models/tiny"))
    live.docker_cli("stop", "-t", "1", by_hand)
    assert not engine.remove_network(name, live.stack)
    live.docker_cli("start", by_hand)
    live.docker_cli("rm", "-f", by_hand)
    live.foreign.clear()
    assert engine.remove_network(name, live.stack)
    assert not named(live, name)
