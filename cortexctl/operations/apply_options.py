"""The user's choices for carrying out a plan. A module of its own: every command loads it."""

from __future__ import annotations

from cortexctl.dataclass import dataclass
from cortexctl.text.invocation import Options

PARALLELISM = 32
ALLOW_UNREACHABLE = ("--allow-unreachable",)


@dataclass(frozen=True, slots=True)
class ApplyOptions:
    """How a plan is carried out. `lock_timeout`: seconds to wait for another run. `max_failures`: instead of the
    plan's.
    """

    parallelism: int = PARALLELISM
    lock_timeout: float = 0
    max_failures: int | None = None
    allow_unreachable: bool = False

    @property
    def options(self) -> Options:
        """Those that are not the default, in their original form, for the next apply."""
        parallelism = [("--parallelism", str(self.parallelism))] if self.parallelism != PARALLELISM else []
        lock_timeout = [("--lock-timeout", f"{self.lock_timeout:g}s")] if self.lock_timeout else []
        max_failures = [("--max-failures", str(self.max_failures))] if self.max_failures is not None else []
        return (*parallelism, *lock_timeout, *max_failures)
