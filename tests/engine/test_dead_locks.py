"""A run that is killed at its very end leaves a lock, and nothing to do: the next apply takes it away."""

from __future__ import annotations

import json
import secrets

import pytest

from cortexctl.hosts.lock import this_machine, to_labels
from cortexctl.observed.lock_holder import LockInfo
from tests.engine.conftest import StackFile
from tests.live import LiveDaemon

pytestmark = pytest.mark.engine

GONE, ELSEWHERE = this_machine(), "another#4026531836#another-boot"


@pytest.mark.parametrize(("machine", "stays"), [(GONE, False), (ELSEWHERE, True)])
def test_an_apply_with_nothing_to_do_releases_a_lock_whose_holder_is_provably_gone(
    live: LiveDaemon, stack: StackFile, machine: str, stays: bool
) -> None:
    stack.write()
    assert live.cortexctl("apply", str(stack), "--auto-approve").code == 0
    left = LockInfo(secrets.token_hex(8), "somebody", machine, 2**22 + 7, "run", 1, 4_000_000_000, "1")
    marks = [f"--label={name}={value}" for name, value in to_labels(live.stack, left).items()]
    live.docker_cli("volume", "create", *marks, f"cortexctl-lock-{live.stack}")
    again = live.cortexctl("apply", str(stack), "--auto-approve")
    assert (again.code, "No changes" in again.out) == (0, True)
    assert (f"cortexctl-lock-{live.stack}" in live.everything()["volumes"]) is stays
    shown = live.cortexctl("lock", "status", str(stack)).out
    assert ("free" in shown) is not stays, json.dumps(shown)
