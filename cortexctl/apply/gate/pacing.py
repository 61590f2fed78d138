"""How often a gate checks a container. Pure. All times are in seconds."""

from __future__ import annotations

POLL = 0.25
"""Between checks in the first seconds of a start, and of a failing server. A check costs the daemon 1 ms."""
WATCH_POLL = 0.5
"""Between checks of a longer start, and while `stable_for` passes: many instances may be checked at the same time.
Readiness is noticed within half a second, a death within a second.
"""
FIRST_POLL, POLL_SHARE = 0.1, 0.2
"""Between the first checks of a server that this machine's kernel shows, so that a check costs the daemon nothing; then
a share of the time that the start has taken. So a quick start is noticed quickly.
"""
QUICK_START = 3.0
"""A start that takes longer counts as a longer one."""
SLOW_POLL = 1.0
"""Between checks if each request starts a program in the container, and after a failed route."""


def inspects_every(waited: float) -> float:
    """Between inspections of a container that has been starting for this time."""
    return POLL if waited < QUICK_START else WATCH_POLL


def checks_every(waited: float, *, needs_daemon: bool) -> float:
    """Between checks of its server. `needs_daemon`: whether each of them needs a request to the daemon."""
    most = inspects_every(waited)
    return most if needs_daemon else min(max(FIRST_POLL, POLL_SHARE * waited), most)
