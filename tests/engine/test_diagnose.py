"""`cortexctl diagnose` on a real daemon with the stand-in: the ends of its containers, seen from outside."""

from __future__ import annotations

import json
import time

import pytest

from tests.engine.conftest import StackFile
from tests.live import LiveDaemon
from tests.waiting import wait_until

pytestmark = pytest.mark.engine

NO_ROOM = (
    "(EngineCore pid=268) ERROR 11-24 00:35:03 [core.py:1510] ValueError: Free memory on device cuda:0 (7.34/15.49 GiB) "
    "on startup is less than desired GPU memory utilization (0.8, 12.39 GiB). Decrease GPU memory utilization or reduce "
    "GPU memory used by other processes."
)


def until_it_exits(live: LiveDaemon, name: str) -> None:
    for _ in range(1200):
        if live.inspect(name)["State"]["Status"] == "exited":
            return
        time.sleep(0.1)
    raise AssertionError(f"{name} still runs")


def test_a_healthy_instance_then_one_that_failed_then_one_that_was_killed(live: LiveDaemon, stack: StackFile) -> None:
    stack.write(LOG=NO_ROOM, START_SECONDS="5")
    assert live.cortexctl("apply", str(stack), "--auto-approve").code == 0
    where = ("--stack", str(stack))

    healthy = live.cortexctl("diagnose", stack.address, *where)
    assert healthy.code == 0, healthy.err
    assert f"{stack.serving} (serving, generation 1) runs; /health: healthy" in healthy.out
    assert "it serves; there is nothing to fix" in healthy.out, "whatever its log says"

    live.docker_cli("update", "--restart", "no", stack.serving)
    live.docker_cli("kill", "-s", "KILL", stack.serving)
    until_it_exits(live, stack.serving)
    killed = live.cortexctl("diagnose", stack.address, *where)
    assert (killed.code, "it was killed from outside" in killed.out) == (0, True), (
        "it served after the error in its log"
    )

    live.docker_cli("start", stack.serving)
    wait_until(lambda: live.cortexctl("logs", stack.address, *where).out.count("ValueError: Free memory") == 2)
    live.docker_cli("kill", "-s", "KILL", stack.serving)  # long before it serves again
    until_it_exits(live, stack.serving)
    known = live.cortexctl("diagnose", stack.address, *where)
    assert known.code == 0, known.err
    assert "exited with code 137" in known.out
    assert "fix    set args.gpu_memory_utilization = 0.47" in known.out
    assert "    | ValueError: Free memory on device cuda:0 (7.34/15.49 GiB)" in known.out
    assert f"cortexctl plan {stack} --target {stack.address}" in known.out

    as_json = json.loads(live.cortexctl("diagnose", stack.address, *where, "--format", "json").out)
    assert (as_json["of"], as_json["role"], as_json["exit_code"]) == (stack.address, "serving", 137)
    assert (as_json["oom_killed"], as_json["pattern"]) == (False, "not-enough-free")


def test_a_silent_death_is_explained_by_its_exit_code_and_an_unknown_one_is_not_guessed(
    live: LiveDaemon, stack: StackFile
) -> None:
    stack.write()
    assert live.cortexctl("apply", str(stack), "--auto-approve").code == 0
    live.docker_cli("update", "--restart", "no", stack.serving)
    live.docker_cli("kill", "-s", "KILL", stack.serving)
    until_it_exits(live, stack.serving)
    killed = live.cortexctl("diagnose", stack.address, "--stack", str(stack))
    assert killed.code == 0, killed.err
    assert "it was killed from outside, and its log shows no reason" in killed.out

    stack.write(LOG="RuntimeError: never seen before", CRASH_AFTER_SECONDS="5")
    applied = live.cortexctl("apply", str(stack), "--auto-approve")
    assert applied.code == 0, applied.err + applied.out
    live.docker_cli("update", "--restart", "no", stack.serving)
    until_it_exits(live, stack.serving)
    unknown = live.cortexctl("diagnose", stack.address, "--stack", str(stack))
    assert unknown.code == 1
    assert "cause  no known cause" in unknown.out
    assert "the whole log: cortexctl logs" in unknown.out


def test_an_address_without_a_container_names_those_that_there_are(live: LiveDaemon, stack: StackFile) -> None:
    stack.write()
    done = live.cortexctl("diagnose", stack.address, "--stack", str(stack))
    assert done.code == 1
    assert f"{stack.address} has no container; known: none" in done.err
