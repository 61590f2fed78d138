"""Applies that are killed at a known moment."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from tests.engine.conftest import StackFile
from tests.live import REPO, LiveDaemon


def start_apply(live: LiveDaemon, stack: StackFile, *options: str) -> subprocess.Popen[str]:
    """Start an apply. Its stderr is a pipe."""
    return subprocess.Popen(
        [sys.executable, "-m", "cortexctl", "apply", str(stack), "--auto-approve", *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPO,
        env={**os.environ, "DOCKER_HOST": live.docker},
    )


def in_the_gate(live: LiveDaemon, stack: StackFile, generation: int) -> subprocess.Popen[str]:
    """Start an apply, and wait until its candidate runs."""
    apply = start_apply(live, stack)
    candidate = f"{stack.serving}--g{generation}"
    for _ in range(1200):
        if live.containers().get(candidate) == "running":
            break
        time.sleep(0.1)
    else:
        apply.kill()
        raise AssertionError("the candidate never ran")
    return apply
