"""Part: fleets of fake daemons that answer after 20 ms, eight containers each, against a bare client with 32 threads;
and what one dead host adds.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import inputs
from bench.bench_run import BenchRun, Job, reference
from bench.checkouts import REPO, Checkout, clean_environment
from bench.fake_fleet.running import FakeFleet, fake_fleet, sockets_folder
from bench.figures import Figure, added, each, ratio, wall
from bench.measuring import Command, CommandFailed, Usage, measured
from bench.rows import Row, compared

UNREACHABLE = frozenset({0, 1})
LARGEST = 1000
LIMIT = 400.0
GOAL_HOST = 2.0
"""Milliseconds of CPU a host, of the largest fleet."""
GOAL_STATUS = 2.0
"""Milliseconds of CPU an instance."""
GOAL_WALL = 2.0
GOAL_DEAD = 5.0
"""Seconds: one time-out."""


@dataclass(frozen=True, slots=True)
class _Fleet:
    """`name`: of the rows."""

    name: str
    stack: Path
    snapshot: Path
    sockets: Path
    fake: FakeFleet

    def job(self, bench: BenchRun, command: str, *options: str, cached: bool = False) -> list[Job]:
        def with_checkout(checkout: Checkout) -> Command:
            arguments = (command, *options, str(self.stack))
            return checkout.cortexctl(*arguments, cached=cached, limit=LIMIT, exit_codes=UNREACHABLE)

        return bench.of_each(self.work(command, cached=cached), with_checkout)

    def work(self, command: str, *, cached: bool = False) -> str:
        return f"`{command}` of {self.name}{', cached' if cached else ''}"


def run(bench: BenchRun) -> Sequence[Row]:
    sizes = (10, 100) if bench.quick else (10, 100, LARGEST)
    rows = [row for size in sizes for row in _all_alive(bench, size)]
    return [*rows, *_one_dead(bench, 10 if bench.quick else 100)]


@contextmanager
def _fleet(bench: BenchRun, hosts: int, *, dead: int = 0) -> Iterator[_Fleet]:
    name = f"{hosts:,} hosts" + (f", {dead} dead" if dead else "")
    probe = REPO / "bench" / "probes" / "desired_containers.py"
    with ExitStack() as opened:
        sockets = opened.enter_context(sockets_folder())
        stack = bench.file(f"fleet-{hosts}-{dead}.toml", inputs.fleet(hosts, str(sockets)))
        containers, snapshot = stack.with_suffix(".json"), stack.with_suffix(".snapshot.json")
        measured(bench.checkouts[-1].python(str(probe), str(stack), str(containers), str(snapshot)))
        fake = opened.enter_context(fake_fleet(containers, sockets, dead=dead))
        yield _Fleet(name, stack, snapshot, sockets, fake)


def _all_alive(bench: BenchRun, hosts: int) -> list[Row]:
    recording, instances = bench.recording, hosts * inputs.PER_HOST
    with _fleet(bench, hosts) as fleet:
        client, files = f"32-thread client, {fleet.name}", f"reading both files, {fleet.name}"
        review, snapshot = f"`plan --observed` of {fleet.name}", str(fleet.snapshot)
        jobs = [
            _client(bench, client, "fleet_client.py", fleet.sockets),
            _client(bench, files, "read_files.py", fleet.stack, fleet.snapshot),
            *bench.of_each(review, lambda c: c.cortexctl("plan", str(fleet.stack), "--observed", snapshot)),
            *fleet.job(bench, "plan", "--detailed-exitcode"),
            *fleet.job(bench, "plan", "--detailed-exitcode", cached=True),
            *(fleet.job(bench, "drift", "--no-health") if hosts < LARGEST else []),
            *(fleet.job(bench, "status") if hosts == 10 else []),
        ]
        recording.timed(jobs, 3 if hosts == LARGEST else bench.rounds(5, 3))
        for job in [job for job in jobs if job[0] not in {files, review}]:
            _count(bench, fleet.fake, job)
    plan, cached, drift = fleet.work("plan"), fleet.work("plan", cached=True), fleet.work("drift")
    per_host = partial(_each, units=hosts)
    rows = [
        compared(recording, plan, client, partial(ratio, of=wall), GOAL_WALL if hosts == LARGEST else None),
        compared(recording, plan, "a host", per_host, GOAL_HOST if hosts == LARGEST else None),
        compared(recording, cached, client, partial(ratio, of=wall)),
        compared(recording, cached, "a host", per_host),
        compared(recording, review, files, ratio),
    ]
    if hosts < LARGEST:
        rows.append(compared(recording, drift, client, partial(ratio, of=wall)))
    if hosts == 10:
        status = fleet.work("status")
        rows.append(compared(recording, status, client, partial(ratio, of=wall), GOAL_WALL))
        rows.append(compared(recording, status, "an instance", partial(_each, units=instances), GOAL_STATUS))
    return rows


def _one_dead(bench: BenchRun, hosts: int) -> list[Row]:
    """Wall that one dead host adds to each command, in rounds with a fleet without one."""
    commands: list[tuple[str, ...]] = [("plan", "--allow-unreachable")]
    if not bench.quick:
        commands += [("drift", "--no-health", "--allow-unreachable"), ("status",)]
    with _fleet(bench, hosts) as alive, _fleet(bench, hosts, dead=1) as with_dead:
        for command in commands:
            jobs = [*alive.job(bench, *command), *with_dead.job(bench, *command)]
            turns = [partial(bench.recording.run, f"{work} beside", who, c) for work, who, c in jobs]
            bench.recording.rounds(turns, 1 if command[0] == "status" else bench.rounds(2, 1))
    return [
        compared(
            bench.recording,
            f"{with_dead.work(command[0])} beside",
            f"{alive.work(command[0])} beside",
            added,
            GOAL_DEAD,
        )
        for command in commands
    ]


def _client(bench: BenchRun, work: str, program: str, *arguments: Path) -> Job:
    argv = (sys.executable, "-I", "-S", str(REPO / "bench" / "clients" / program), *map(str, arguments))
    return reference(work, argv, clean_environment(bench.folder))


def _count(bench: BenchRun, fake: FakeFleet, job: Job) -> None:
    work, who, command = job
    fake.take_counts()
    with suppress(CommandFailed):
        measured(command)
        bench.recording.count(work, who, fake.take_counts())


def _each(work: Sequence[Usage], _: Sequence[Usage], units: int) -> Figure | None:
    return each(work, units)
