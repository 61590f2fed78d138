"""What every part of the bench gets: the programs to measure, the recording, a folder for its files, and the size of
the run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from bench import daemon
from bench.checkouts import Checkout
from bench.counting_proxy import counting_proxy
from bench.measuring import Command, CommandFailed, measured
from bench.recording import REFERENCE, Recording

Job = tuple[str, str, Command]


@dataclass(frozen=True, slots=True)
class BenchRun:
    """`quick`: about a minute in all: smaller sizes and fewer rounds."""

    checkouts: Sequence[Checkout]
    recording: Recording
    folder: Path
    quick: bool

    def rounds(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    def file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def of_each(self, work: str, command: Callable[[Checkout], Command]) -> list[Job]:
        """The work with each checkout."""
        return [(work, checkout.who, command(checkout)) for checkout in self.checkouts]

    def count(self, jobs: Sequence[Job]) -> None:
        """The requests and answers of each job at the lab's daemon, in one more run that is not timed."""
        for work, who, command in jobs:
            with counting_proxy(self.folder, daemon.socket_path()) as proxy, suppress(CommandFailed):
                measured(replace(command, env={**command.env, "DOCKER_HOST": proxy.url}))
                self.recording.count(work, who, proxy.traffic)


def reference(work: str, argv: Sequence[str], env: Mapping[str, str]) -> Job:
    """A foreign program."""
    return work, REFERENCE, Command(tuple(argv), env)
