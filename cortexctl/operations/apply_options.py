"""The user's choices for carrying out a plan. A module of its own: every command loads it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ApplyOptions:
    """How a plan is carried out. `lock_timeout`: seconds to wait for another run. `max_failures`: instead of the
    plan's.
    """

    parallelism: int = 32
    lock_timeout: float = 0
    max_failures: int | None = None
    allow_unreachable: bool = False
