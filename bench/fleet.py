"""A fleet of fake hosts with everything that a part needs of it: its stack, a snapshot, its daemons, jobs on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench import inputs
from bench.bench_run import BenchRun, Job
from bench.checkouts import REPO, Checkout
from bench.fake_fleet.running import FakeFleet, fake_fleet, sockets_folder
from bench.measuring import PASSED, Command, CommandFailed, measured

UNREACHABLE = frozenset({0, 1})
LIMIT = 400.0


@dataclass(frozen=True, slots=True)
class Fleet:
    """`name`: of the rows."""

    name: str
    stack: Path
    snapshot: Path
    fake: FakeFleet
    exit_codes: frozenset[int]

    def jobs(self, bench: BenchRun, command: str, *options: str, cached: bool = False) -> list[Job]:
        """The command, with each checkout."""

        def with_checkout(checkout: Checkout) -> Command:
            arguments = (command, *options, str(self.stack))
            return checkout.cortexctl(*arguments, cached=cached, limit=LIMIT, exit_codes=self.exit_codes)

        return bench.of_each(self.work(command, cached=cached), with_checkout)

    def work(self, command: str, *, cached: bool = False) -> str:
        return f"`{command}` of {self.name}{', cached' if cached else ''}"

    def count(self, bench: BenchRun, jobs: Sequence[Job]) -> None:
        """Requests and bytes of each job, in one more run that is not timed."""
        for work, who, command in jobs:
            self.fake.take_counts()
            with suppress(CommandFailed):
                measured(command)
                bench.recording.count(work, who, self.fake.take_counts())


@contextmanager
def opened_fleet(bench: BenchRun, hosts: int, *, dead: int = 0) -> Iterator[Fleet]:
    """Its daemons answer in the block, except the last `dead` ones."""
    name = f"{hosts:,} hosts" + (f", {dead} dead" if dead else "")
    probe = str(REPO / "bench" / "probes" / "desired_containers.py")
    with sockets_folder() as sockets:
        stack = bench.file(f"fleet-{hosts}-{dead}.toml", inputs.fleet(hosts, str(sockets)))
        containers, snapshot = stack.with_suffix(".json"), stack.with_suffix(".snapshot.json")
        measured(bench.checkouts[-1].python(probe, str(stack), str(containers), str(snapshot)))
        with fake_fleet(containers, sockets, dead=dead) as fake:
            yield Fleet(name, stack, snapshot, fake, UNREACHABLE if dead else PASSED)
