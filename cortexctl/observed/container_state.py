"""The state of a container at one moment."""

from __future__ import annotations

from cortexctl.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class ContainerState:
    """The state of a container at one moment, from inspect. `endpoint` is the address of its server, if it has one."""

    running: bool
    exit_code: int = 0
    oom_killed: bool = False
    restarts: int = 0
    error: str = ""
    endpoint: str = ""
