"""What was measured in a run: usages by work and program, round by round, and the order of the rounds."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from bench.measuring import BenchFailed, Command, Usage, measured

NOW, BEFORE, REFERENCE = "now", "before", "reference"
"""Who did the work: this checkout, the one that it is compared with, or a foreign program."""

Turn = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a daemon received and sent: requests, and bytes of its answers."""

    requests: int
    sent: int


class Recording:
    """`ends`: on the monotonic clock; after it no further round starts."""

    def __init__(self, ends: float) -> None:
        self._usages: defaultdict[tuple[str, str], list[Usage]] = defaultdict(list)
        self._traffic: dict[tuple[str, str], Traffic] = {}
        self._ends = ends
        self.failures: list[str] = []

    def run(self, work: str, who: str, command: Command) -> None:
        """Once, timed. Raises CommandFailed."""
        self._usages[work, who].append(measured(command))

    def usages(self, work: str, who: str) -> Sequence[Usage]:
        return self._usages.get((work, who), [])

    def count(self, work: str, who: str, traffic: Traffic) -> None:
        self._traffic[work, who] = traffic

    def traffic(self, work: str, who: str) -> Traffic | None:
        return self._traffic.get((work, who))

    def attempt(self, turn: Turn) -> bool:
        """Whether the turn succeeded. A failure is reported and kept for the notes below the table."""
        try:
            turn()
        except BenchFailed as cause:
            self.note(str(cause))
            return False
        return True

    def note(self, failure: str) -> None:
        self.failures.append(failure)
        print(f"bench: failed: {failure}", file=sys.stderr, flush=True)

    def rounds(self, turns: Sequence[Turn], rounds: int) -> None:
        """All turns, again and again, in opposite order every other round, so that neither slow drift of the machine
        nor the neighbour in the order favours one of them. A turn that fails has no further round.
        """
        remaining = list(turns)
        for number in range(rounds):
            if number and time.monotonic() > self._ends:
                self.failures.append(f"out of time: {number} of {rounds} rounds")
                return
            order = remaining if number % 2 == 0 else remaining[::-1]
            failed = [turn for turn in order if not self.attempt(turn)]
            remaining = [turn for turn in remaining if turn not in failed]

    def timed(self, jobs: Sequence[tuple[str, str, Command]], rounds: int) -> None:
        """Each job once untimed, for the caches of the machine and of the program, then in rounds."""
        warm = [job for job in jobs if self.attempt(partial(measured, job[2]))]
        self.rounds([partial(self.run, *job) for job in warm], rounds)
