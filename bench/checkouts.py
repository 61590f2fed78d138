"""The checkouts of cortexctl that are measured, each with its own environment and caches."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from bench.measuring import PASSED, Command
from bench.recording import BEFORE, NOW

REPO = Path(__file__).parent.parent
NO_CACHE = {"CORTEXCTL_NO_CACHE": "1"}


@dataclass(frozen=True, slots=True)
class Checkout:
    """`who`: NOW or BEFORE. `bin`: of its virtual environment. `home`: an empty folder for its caches."""

    who: str
    bin: Path
    home: Path

    def cortexctl(
        self, *arguments: str, exit_codes: frozenset[int] = PASSED, cached: bool = False, limit: float = 300.0
    ) -> Command:
        """`cached`: with the resolved stack in the user's cache, if it is there already."""
        env = clean_environment(self.home) | ({} if cached else NO_CACHE)
        return Command((str(self.bin / "cortexctl"), *arguments), env, exit_codes, limit, self.home)

    def python(self, *arguments: str, limit: float = 300.0) -> Command:
        return Command((str(self.bin / "python"), *arguments), clean_environment(self.home), limit=limit)


def clean_environment(home: Path) -> dict[str, str]:
    """The same for all programs: nothing of the caller's settings but the path and the daemon."""
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", "NO_COLOR": "1"}
    env |= {f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("CACHE", "STATE", "DATA", "CONFIG")}
    return env | ({"DOCKER_HOST": os.environ["DOCKER_HOST"]} if "DOCKER_HOST" in os.environ else {})


def checkouts(before: Path | None, work: Path) -> list[Checkout]:
    """This checkout and, by the folder of its programs, the one to compare with."""
    bins = {NOW: REPO / ".venv" / "bin"} | ({BEFORE: before} if before else {})
    measured = [Checkout(who, folder, work / who) for who, folder in bins.items()]
    for checkout in measured:
        checkout.home.mkdir()
    return measured
