"""An apply that dies before its end, on a real daemon: the next run understands its leftovers, and nothing is lost."""

from __future__ import annotations

import signal

import pytest

from tests.engine.conftest import StackFile
from tests.engine.killing import in_the_gate
from tests.live import LiveDaemon
from tests.waiting import AT_MOST

pytestmark = pytest.mark.engine


def killed_in_the_gate(live: LiveDaemon, stack: StackFile, number: signal.Signals, generation: int) -> int:
    """Run apply until its candidate runs, and then send it a signal. Returns the exit code."""
    with in_the_gate(live, stack, generation) as apply:
        apply.send_signal(number)
        apply.communicate(timeout=AT_MOST)
    return apply.returncode


def test_the_next_run_continues_a_killed_replacement(live: LiveDaemon, stack: StackFile) -> None:
    stack.write()
    assert live.cortexctl("apply", str(stack), "--auto-approve").code == 0
    stack.write(START_SECONDS="8")
    killed_in_the_gate(live, stack, signal.SIGKILL, 2)
    assert live.containers() == {stack.serving: "exited", f"{stack.serving}--g2": "running"}
    assert "its holder is gone" in live.cortexctl("lock", "status", str(stack)).out
    planned = live.cortexctl("plan", str(stack))
    assert "continues with the candidate of run" in planned.out
    again = live.cortexctl("apply", str(stack), "--auto-approve")
    assert again.code == 0, again.out + again.err
    assert live.containers() == {stack.serving: "running", f"{stack.serving}--g1": "exited"}
    assert live.cortexctl("plan", str(stack), "--detailed-exitcode").code == 0
    assert live.everything()["volumes"] == [f"cortexctl-record-{live.stack}"]


def test_after_a_kill_the_old_one_serves_again_if_the_new_one_fails(live: LiveDaemon, stack: StackFile) -> None:
    stack.write()
    assert live.cortexctl("apply", str(stack), "--auto-approve").code == 0
    first = live.inspect(stack.serving)["Id"]
    stack.write(START_SECONDS="2", COMPLETION_STATUS="500")
    killed_in_the_gate(live, stack, signal.SIGKILL, 2)
    failed = live.cortexctl("apply", str(stack), "--auto-approve")
    assert failed.code == 1
    assert "generation 1 serves again" in failed.out
    assert live.containers() == {stack.serving: "running"}
    assert live.inspect(stack.serving)["Id"] == first


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_first_signal_lets_the_running_change_finish(
    live: LiveDaemon, stack: StackFile, number: signal.Signals
) -> None:
    stack.write(START_SECONDS="2")
    code = killed_in_the_gate(live, stack, number, 1)
    assert live.containers() == {stack.serving: "running"}
    assert code == 0, "it had nothing else to do"
    assert live.cortexctl("lock", "status", str(stack)).out == "here: free\n"


def test_a_second_signal_ends_it_at_once_and_the_next_run_continues(live: LiveDaemon, stack: StackFile) -> None:
    stack.write()
    assert live.cortexctl("apply", str(stack), "--auto-approve").code == 0
    stack.write(START_SECONDS="600", gate='startup_timeout = "900s"\n')
    with in_the_gate(live, stack, 2) as apply:
        assert apply.stderr is not None
        apply.send_signal(signal.SIGTERM)
        while "Interrupt again to stop at once" not in apply.stderr.readline():
            assert apply.poll() is None
        apply.send_signal(signal.SIGTERM)
        _, err = apply.communicate(timeout=AT_MOST)
    assert (apply.returncode, err.splitlines()[-1]) == (130, f"Next:  cortexctl plan {stack}")
    assert live.containers() == {stack.serving: "exited", f"{stack.serving}--g2": "running"}
    assert "its holder is gone" in live.cortexctl("lock", "status", str(stack)).out
    stack.write()
    assert live.cortexctl("apply", str(stack), "--auto-approve").code == 0
    assert live.containers() == {stack.serving: "running"}
    assert live.cortexctl("plan", str(stack), "--detailed-exitcode").code == 0
