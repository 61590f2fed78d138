"""A foreign container from a commit of ours, on a real daemon: every apply leaves it alone, and names it."""

from __future__ import annotations

import pytest

from tests.engine.conftest import GATE, StackFile
from tests.live import LiveDaemon, Ran

pytestmark = pytest.mark.engine


def did(live: LiveDaemon, *arguments: str) -> Ran:
    ran = live.cortexctl(*arguments)
    assert ran.code == 0, ran.out + ran.err
    return ran


def keep(stack: StackFile, number: int) -> None:
    text = stack.path.read_text()
    stack.path.write_text(text.replace('drain = "2s"', f'drain = "2s"\nkeep = {number}'))


def running(live: LiveDaemon, name: str) -> bool:
    return bool(live.inspect(name)["State"]["Running"])


def test_a_commit_of_ours_outlives_replacement_rollback_removal_and_destroy(live: LiveDaemon, stack: StackFile) -> None:
    stack.write()
    did(live, "apply", str(stack), "--auto-approve")
    copy, other = f"{stack.stack}-debugging", f"vllm-model-{stack.model}--g77"
    live.commit(stack.serving, copy)
    live.commit(stack.serving, other)
    first = {name: live.inspect(name)["Id"] for name in (copy, other)}

    planned = did(live, "plan", str(stack), "--detailed-exitcode")
    for name in (copy, other):
        assert f"the container {name} got this stack's labels from its image" in planned.out + planned.err
    assert "1 managed container" in planned.out
    assert copy in did(live, "status", str(stack)).out
    assert copy in live.cortexctl("drift", str(stack), "--no-health").out

    stack.write(OTHER="1")
    did(live, "apply", str(stack), "--auto-approve")
    did(live, "rollback", stack.address, "--stack", str(stack), "--auto-approve")
    stack.write(OTHER="2")
    keep(stack, 0)
    did(live, "apply", str(stack), "--auto-approve")
    assert set(live.containers()) == {stack.serving, copy, other}
    assert {name: live.inspect(name)["Id"] for name in first} == first

    live.docker_cli("rename", stack.serving, f"{stack.serving}-by-hand")
    assert "renamed" in did(live, "apply", str(stack), "--auto-approve").out, "its labels are its own: it is put right"
    did(live, "destroy", str(stack), "--auto-approve")
    assert set(live.containers()) == {copy, other}
    assert running(live, copy)
    assert running(live, other)


def test_a_stack_whose_image_is_a_commit_of_ours_works(live: LiveDaemon, stack: StackFile) -> None:
    stack.write()
    did(live, "apply", str(stack), "--auto-approve")
    baked = f"{stack.stack}-baked:v0.32.0"
    live.docker_cli("commit", stack.serving, baked)
    live.images.append(baked)
    stack.write(image=baked, gate=GATE)
    did(live, "apply", str(stack), "--auto-approve")
    assert did(live, "plan", str(stack), "--detailed-exitcode").code == 0
    did(live, "destroy", str(stack), "--auto-approve")
    assert live.containers() == {}
