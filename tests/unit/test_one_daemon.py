"""Two hosts of a stack that are one daemon under two URLs. The daemon's id alone shows nothing: clones share it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cortexctl.apply.locking import Locks
from cortexctl.desired.stack import Host
from cortexctl.errors import DaemonRefused, LockHeld, Refused
from cortexctl.hosts.fleet import open_hosts
from cortexctl.observe.gather import observe_for_plan
from cortexctl.plan.request import Request
from tests.applying import TWO_HOSTS, lock_info, stack
from tests.fakes.daemon_socket import LIST, talking_daemon
from tests.fakes.world import World
from tests.reading import desired_from, model_text, stack_text

EVERYWHERE = '["*"]'
INFO = {"ID": "7TRN:IPZB", "Name": "gpu-1"}


def world_of_one_daemon() -> World:
    """Both hosts have the same containers, of others, and one identity."""
    world = World("demo", "one", "two")
    world.daemon("one").add("nginx", state="running")
    world.daemon("one").add("postgres", state="exited")
    world.daemon("two").containers = world.daemon("one").containers
    world.daemon("two").identity = world.daemon("one").identity
    return world


def rules_of(world: World, folder: Path, request: Request = Request()) -> list[str]:  # noqa: B008 - it is immutable
    plan = world.plan(stack(folder, model_text(hosts=EVERYWHERE), hosts=TWO_HOSTS), request)
    return [d.rule for d in plan.diagnostics if d.is_error]


def test_the_same_containers_and_identity_are_one_daemon(tmp_path: Path) -> None:
    world = world_of_one_daemon()
    plan = world.plan(stack(tmp_path, model_text(hosts=EVERYWHERE), hosts=TWO_HOSTS))
    (problem,) = [d for d in plan.diagnostics if d.is_error]
    assert problem.rule == "CX213"
    assert problem.summary == (
        'hosts "one" and "two" are the same daemon (unix:///run/one.sock and unix:///run/two.sock): they have the same '
        "containers"
    )


def test_a_clone_has_another_name(tmp_path: Path) -> None:
    world = world_of_one_daemon()
    world.daemon("two").identity = "another name"
    assert rules_of(world, tmp_path) == []


def test_daemons_of_one_identity_with_other_containers_are_two(tmp_path: Path) -> None:
    """They run on one machine."""
    world = world_of_one_daemon()
    world.daemon("two").containers = dict(world.daemon("two").containers)
    world.daemon("two").add("redis", state="running")
    assert rules_of(world, tmp_path) == []


def test_two_hosts_without_containers_are_not_compared(tmp_path: Path) -> None:
    world = world_of_one_daemon()
    world.daemon("one").containers.clear()
    assert rules_of(world, tmp_path) == []


@pytest.mark.parametrize("request_", [Request(destroy=True), Request(host=("one",))])
def test_a_destroy_or_a_plan_of_one_host_is_not_refused(tmp_path: Path, request_: Request) -> None:
    assert rules_of(world_of_one_daemon(), tmp_path, request_) == []


@pytest.mark.parametrize(("second", "requests"), [("a", ["/info", "/info"]), ("b", [])])
def test_the_identity_is_read_only_if_the_containers_are_the_same(
    tmp_path: Path, second: str, requests: list[str]
) -> None:
    def listed(letter: str) -> list[dict[str, object]]:
        return [{"Id": letter * 64, "Names": ["/nginx"], "State": "running", "Labels": {}}]

    with (
        talking_daemon(tmp_path / "one.sock", {LIST: listed("a"), "/info": INFO}) as one,
        talking_daemon(tmp_path / "two.sock", {LIST: listed(second), "/info": INFO}) as two,
    ):
        hosts = "".join(
            f'[hosts.{n}]\ndocker = "{d.url}"\nmodels_dir = "/m"\n\n' for n, d in (("one", one), ("two", two))
        )
        path = tmp_path / "stack.toml"
        path.write_text(stack_text(model_text(hosts=EVERYWHERE, enabled="false"), hosts=hosts))
        desired = desired_from(path)
        with open_hosts(desired.hosts, desired.owner) as daemons:
            observed = observe_for_plan(desired, daemons)
        assert [r for r in one.requests + two.requests if r != LIST] == requests
        assert observed.identities == ({"one": "7TRN:IPZB gpu-1", "two": "7TRN:IPZB gpu-1"} if requests else {})


# ---- proven under the locks


def world_without_evidence() -> World:
    """One daemon under two names, with no containers and (like Podman) another id at each request."""
    world = World("demo", "one", "two")
    one, two = world.daemon("one"), world.daemon("two")
    two.containers, two.volumes, two.networks, two.records = one.containers, one.volumes, one.networks, one.records
    assert one.identity != two.identity
    return world


def test_an_apply_to_one_daemon_under_two_urls_changes_nothing(tmp_path: Path) -> None:
    world = world_without_evidence()
    plan = world.plan(stack(tmp_path, model_text(hosts=EVERYWHERE), hosts=TWO_HOSTS))
    assert {c.host for c in plan.effective} == {"one", "two"}
    with pytest.raises(Refused) as refused:
        world.apply(plan)
    assert (refused.value.exit_code, isinstance(refused.value, LockHeld)) == (4, False)
    assert refused.value.message == (
        'hosts "one" and "two" are the same daemon (unix:///run/one.sock and unix:///run/two.sock): the lock that this '
        "run took on the first is also the lock of the second; nothing was changed"
    )
    assert refused.value.next_step == "keep one of them in the stack"
    assert world.daemon("one").containers == {}
    assert world.daemon("one").volumes == {}, "the lock is released"


def test_it_is_refused_at_once_and_not_waited_for(tmp_path: Path) -> None:
    world = world_without_evidence()
    plan = world.plan(stack(tmp_path, model_text(hosts=EVERYWHERE), hosts=TWO_HOSTS))
    taking = Locks(plan, world.daemons, lock_info("us", 0), world.clock, lambda _h, _n: True, patience=600)
    began = world.clock.at
    with taking.hold("one"), pytest.raises(Refused, match="are the same daemon"), taking.hold("two"):
        pass
    assert world.clock.at == began
    assert taking.waited_for == []


def test_the_same_lock_of_another_run_on_a_clone_is_no_proof(tmp_path: Path) -> None:
    """A copied disk has the lock of the run that held it then."""
    world = World("demo", "one", "two")
    plan = world.plan(stack(tmp_path, model_text(hosts=EVERYWHERE), hosts=TWO_HOSTS))
    for name in ("one", "two"):
        world.daemon(name).volumes["cortexctl-lock-demo"] = lock_info("another@one", 0)
    with pytest.raises(LockHeld, match="has been applying the stack"):
        world.apply(plan)
    taking = Locks(plan, world.daemons, lock_info("us", 0), world.clock, lambda _h, _n: True)
    with taking.hold("one"), taking.hold("two"):
        assert [world.daemon(n).volumes["cortexctl-lock-demo"].owner for n in ("one", "two")] == ["us@one", "us@two"]


def test_a_plan_that_is_renewed_under_the_locks_keeps_them(tmp_path: Path) -> None:
    world = World("demo", "one", "two")
    plan = world.plan(stack(tmp_path, model_text(hosts=EVERYWHERE), hosts=TWO_HOSTS))
    first, second = (Locks(plan, world.daemons, lock_info("us", 0), world.clock, lambda _h, _n: False) for _ in "12")
    with first.hold("one"), first.hold("two"), second.hold("one"), second.hold("two"):
        assert second.still_ours("one")


def test_one_daemon_without_changes_on_the_second_host_is_refused_by_the_next_plan(tmp_path: Path) -> None:
    """The containers of the first host are not the second one's to remove."""
    world = world_without_evidence()
    desired = stack(tmp_path, model_text(hosts='["one"]'), hosts=TWO_HOSTS)
    assert world.apply(world.plan(desired)).exit_code == 0
    plan = world.plan(desired)
    assert [d.rule for d in plan.diagnostics if d.is_error] == ["CX404"]
    assert plan.effective == ()


def test_a_daemon_may_have_no_identity(tmp_path: Path) -> None:
    with talking_daemon(tmp_path / "d.sock", {}) as daemon, open_hosts([Host("one", daemon.url)], "demo") as hosts:
        assert hosts.identity("one") is None
        daemon.answers["/info"] = {**INFO, "ID": ""}
        assert hosts.identity("one") is None
        daemon.answers["/info"] = ["nothing"]
        with pytest.raises(DaemonRefused):
            hosts.identity("one")
