"""The record of what was applied outlives a run that is killed, on a real daemon."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cortexctl.desired.stack import Desired, Host
from cortexctl.hosts import record_store
from cortexctl.hosts.fleet import Connections, DockerDaemons
from cortexctl.hosts.read import record
from cortexctl.hosts.transports.choice import connection_to
from cortexctl.observe.recheck import reread
from cortexctl.observed.lock_holder import LockInfo
from cortexctl.observed.record import Applied, HostRecord, record_to_label
from tests.engine.conftest import StackFile
from tests.live import STAND_IN, LiveDaemon
from tests.specs import new_spec

pytestmark = pytest.mark.engine

APPLIED = Applied("m", 1, 2, "run1", new_spec(STAND_IN, "/models/m", ("m",)))


def test_a_record_that_was_being_written_is_found_and_then_replaced(live: LiveDaemon) -> None:
    """The first volume is gone and the second holds the new record: just there the run was killed."""
    host = Host("here", live.docker)
    daemons = DockerDaemons({"here": host}, live.stack, Path(), Connections())
    daemon = daemons.daemon("here")
    old, new = (HostRecord("here", {"here/m": replace(APPLIED, generation=g)}) for g in (2, 3))
    daemon.write_record(live.stack, old)
    name, meanwhile = record_store.volume_names(live.stack)
    marks = record_store.to_labels(live.stack, record_to_label(new))
    live.docker_cli("volume", "create", *(w for k, v in marks.items() for w in ("--label", f"{k}={v}")), meanwhile)
    assert daemon.read_record(live.stack) == record(connection_to(host), live.stack) == old
    live.docker_cli("volume", "rm", name)
    assert daemon.read_record(live.stack) == record(connection_to(host), live.stack) == new
    daemon.take_lock(live.stack, LockInfo("us", "alice", "ci", 1, "r1", 10, 20))
    desired = Desired(live.stack, "stack.toml", (host,), ())
    again = reread(desired, ["here"], DockerDaemons({"here": host}, live.stack, Path(), Connections()))
    assert again.observed.records == {"here": new}
    daemon.release_lock(live.stack)
    daemon.write_record(live.stack, old)
    assert live.everything()["volumes"] == [name]
    assert daemon.read_record(live.stack) == old
    daemon.write_record(live.stack, HostRecord("here"))
    assert live.everything()["volumes"] == []


def test_what_was_removed_by_hand_comes_back_as_it_was_applied_last(live: LiveDaemon, stack: StackFile) -> None:
    """The record holds the new spec before the container has its serving name, not only at the end of the run."""
    stack.write()
    assert live.cortexctl("apply", str(stack), "--auto-approve").code == 0
    stack.write(TURN="2")
    assert live.cortexctl("apply", str(stack), "--auto-approve").code == 0
    live.docker_cli("rm", "--force", stack.serving)
    drift = live.cortexctl("drift", str(stack), "--detailed-exitcode")
    assert drift.code == 2
    assert "did not finish" not in drift.out
    again = live.cortexctl("apply", str(stack), "--only", "drift", "--auto-approve")
    assert again.code == 0, again.out + again.err
    assert "STANDIN_TURN=2" in live.inspect(stack.serving)["Config"]["Env"]
    assert live.containers() == {stack.serving: "running", f"{stack.serving}--g1": "exited"}
    assert live.cortexctl("drift", str(stack), "--detailed-exitcode").code == 0


@pytest.mark.parametrize("with_the_first", [True, False])
def test_what_a_kill_in_the_middle_of_writing_leaves_is_tidied_by_an_apply_with_nothing_to_do(
    live: LiveDaemon, stack: StackFile, with_the_first: bool
) -> None:
    stack.write()
    assert live.cortexctl("apply", str(stack), "--auto-approve").code == 0
    name, meanwhile = record_store.volume_names(live.stack)
    before = record(connection_to(Host("here", live.docker)), live.stack)
    marks = [f"--label={k}={v}" for k, v in record_store.to_labels(live.stack, record_to_label(before)).items()]
    live.docker_cli("volume", "create", *marks, meanwhile)
    if not with_the_first:
        live.docker_cli("volume", "rm", name)
    again = live.cortexctl("apply", str(stack), "--auto-approve")
    assert (again.code, "No changes" in again.out) == (0, True)
    assert live.everything()["volumes"] == [name]
    assert record(connection_to(Host("here", live.docker)), live.stack) == before
