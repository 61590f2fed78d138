"""Two pipelines apply a stack at once, on a real daemon: the second waits, plans again and is right."""

from __future__ import annotations

import pytest

from tests.engine.conftest import StackFile
from tests.engine.killing import in_the_gate, start_apply
from tests.live import LiveDaemon
from tests.waiting import AT_MOST

pytestmark = pytest.mark.engine


@pytest.mark.parametrize("same", [True, False])
def test_the_second_of_two_applies_plans_again(live: LiveDaemon, stack: StackFile, *, same: bool) -> None:
    stack.write()
    assert live.cortexctl("apply", str(stack), "--auto-approve").code == 0
    stack.write(TURN="2", more=stack.hold)
    with in_the_gate(live, stack, 2) as first:
        if not same:
            stack.write(TURN="3")
        second = start_apply(live, stack, "--lock-timeout", "5m")
        with second:
            assert second.stderr is not None
            while "waiting for" not in (line := second.stderr.readline()):
                assert line, "it ended without the lock"
            stack.go.touch()
            _, errors = second.communicate(timeout=AT_MOST)
        first.communicate(timeout=AT_MOST)
    assert first.returncode == 0
    assert second.returncode == 0, errors
    assert "planning again under the lock" in errors
    assert f"STANDIN_TURN={2 if same else 3}" in live.inspect(stack.serving)["Config"]["Env"]
    assert live.containers()[stack.serving] == "running"
    assert live.cortexctl("plan", str(stack), "--detailed-exitcode").code == 0
    assert live.cortexctl("lock", "status", str(stack)).out == "here: free\n"
