"""A container at one moment."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ContainerState:
    """A container at a moment, from inspect. `endpoint` is where its server can be reached, if anywhere."""

    running: bool
    exit_code: int = 0
    oom_killed: bool = False
    restarts: int = 0
    error: str = ""
    endpoint: str = ""
