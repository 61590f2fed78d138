"""The state of a container at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cortexctl.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class ContainerState:
    """The state of a container at one moment, from inspect."""

    running: bool
    exit_code: int = 0
    oom_killed: bool = False
    restarts: int = 0
    error: str = ""


def parse_state(inspected: Mapping[str, Any]) -> ContainerState:
    """From `GET /containers/ID/json`."""
    state = inspected["State"]
    return ContainerState(
        running=bool(state.get("Running")) and not state.get("Restarting") and not state.get("Paused"),
        exit_code=int(state.get("ExitCode") or 0),
        oom_killed=bool(state.get("OOMKilled")),
        restarts=int(inspected.get("RestartCount") or 0),
        error=state.get("Error") or ("it is paused" if state.get("Paused") else ""),
    )
