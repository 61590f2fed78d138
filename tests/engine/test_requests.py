"""Planning a host costs one list request, however many containers run there."""

from __future__ import annotations

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from cortexctl.desired.stack import Desired, Host, Instance
from cortexctl.hosts.act import DockerDaemon
from cortexctl.hosts.transports.choice import connection_to
from cortexctl.instance.labels import serving_name
from cortexctl.instance.launch import Launch
from tests.fakes.sockets import counting_proxy
from tests.launches import launch_of
from tests.live import STAND_IN, LiveDaemon
from tests.reading import desired_from

pytestmark = pytest.mark.engine


def many(live: LiveDaemon, path: Path, number: int) -> Desired:
    """A stack of `number` small models, all of them running. Those of an earlier call stay."""
    models = "".join(
        f'[models.{live.stack}-{i}]\nimage = "{STAND_IN}"\nsource = {{ repo = "org/tiny" }}\ngpus = "none"\n'
        f'shm_size = "1 MiB"\n\n'
        for i in range(number)
    )
    path.write_text(f'stack = "{live.stack}"\n\n[hosts.here]\nnetwork = "{live.stack}-net"\n\n{models}')
    desired = desired_from(path)
    daemon = DockerDaemon(connection_to(live_host(live, desired)), live.stack)
    daemon.ensure_network(f"{live.stack}-net", live.stack)
    present = live.containers()

    def run(instance: Instance) -> None:
        daemon.create(launch(live, daemon, instance))
        daemon.start(serving_name(instance.model))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, [i for i in desired.instances if serving_name(i.model) not in present]))
    return desired


def launch(live: LiveDaemon, daemon: DockerDaemon, instance: Instance) -> Launch:
    return launch_of(daemon, live.stack, instance.model, serving_name(instance.model), instance.spec)


def live_host(live: LiveDaemon, desired: Desired) -> Host:
    return replace(desired.hosts[0], docker=live.docker)


def test_a_no_op_plan_is_one_list_request(live: LiveDaemon, tmp_path: Path) -> None:
    """With 1, 10 and 50 containers."""
    for number in (1, 10, 50):
        many(live, tmp_path / "stack.toml", number)
        assert len(live.containers()) == number
        with counting_proxy(tmp_path / f"proxy-{number}.sock", live.docker) as (url, counted):
            ran = live.cortexctl("plan", str(tmp_path / "stack.toml"), "--detailed-exitcode", DOCKER_HOST=url)
        assert ran.code == 0, ran.out
        assert "No changes." in ran.out
        assert counted == ["GET /containers/json?all=1"]


def test_a_new_container_costs_one_change_of_each_kind_and_one_reading_of_the_lock_a_step(
    live: LiveDaemon, tmp_path: Path
) -> None:
    """Three at the same time. They share the writes of the record if they are proven at the same time."""
    names = [f"{live.stack}-{letter}" for letter in "abc"]
    models = "".join(
        f'[models.{name}]\nimage = "{STAND_IN}"\nsource = {{ repo = "org/tiny" }}\ngpus = "none"\n'
        f'shm_size = "1 MiB"\ngate = {{ stable_for = "0s" }}\n\n'
        for name in names
    )
    stack = tmp_path / "stack.toml"
    stack.write_text(f'stack = "{live.stack}"\n\n[hosts.here]\nnetwork = "{live.stack}-net"\n\n{models}')
    with counting_proxy(tmp_path / "proxy.sock", live.docker) as (url, counted):
        ran = live.cortexctl("apply", str(stack), "--auto-approve", DOCKER_HOST=url)
    assert ran.code == 0, ran.out + ran.err
    acts = (re.sub(r"/v[\d.]+/|[0-9a-f]{64}|name=.*", "", line) for line in counted if line.startswith("POST /v"))
    assert {act: count for act, count in Counter(acts).items() if act.startswith("POST containers")} == {
        "POST containers/create?": 3,
        "POST containers//start": 3,
        "POST containers//update": 3,
        "POST containers//rename?": 3,
    }
    lock = sum("cortexctl-lock" in line and line.startswith("GET") for line in counted)
    steps = 1 + 5 * len(names)
    writes = 4
    assert lock <= steps + writes + 2, counted
    assert sum("/volumes/" in line and not line.startswith("GET") for line in counted) <= 4 * writes + 4


def test_the_whole_log_is_read_of_a_first_run_and_that_of_another_from_its_start(
    live: LiveDaemon, tmp_path: Path
) -> None:
    """A busy daemon notes the start after the first lines."""
    name = serving_name(many(live, tmp_path / "stack.toml", 1).instances[0].model)
    live.docker_cli("rm", "-f", name)
    with counting_proxy(tmp_path / "proxy.sock", live.docker) as (url, counted):
        desired = desired_from(tmp_path / "stack.toml")
        daemon = DockerDaemon(connection_to(replace(desired.hosts[0], docker=url)), live.stack)
        daemon.create(launch(live, daemon, desired.instances[0]))
        daemon.start(name)
        live.until_serving(name)  # only then the signal ends it at once
        daemon.logs(name, 10, this_run=True)
        daemon.stop(name, 10)
        daemon.start(name)
        daemon.logs(name, 10, this_run=True)
    first, again = [line for line in counted if "/logs?" in line]
    assert "since=" not in first
    assert "since=" in again
