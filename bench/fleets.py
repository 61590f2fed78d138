"""Part: fleets of fake daemons that answer after 20 ms, with eight containers each, against a client of 32 threads."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bench import inputs
from bench.bench_run import BenchRun, Job, reference
from bench.checkouts import REPO, clean_environment
from bench.figures import Figure, each, ratio, wall
from bench.fleet import Fleet, opened_fleet
from bench.measuring import Usage
from bench.rows import Row, compared

SMALLEST, LARGEST = 10, 1000
GOAL_HOST = 2.0
"""Milliseconds of CPU a host, of the largest fleet."""
GOAL_STATUS = 2.0
"""Milliseconds of CPU an instance."""
GOAL_WALL = 2.0
OF_CLIENT = "wall / client with 32 threads"


def run(bench: BenchRun) -> Sequence[Row]:
    sizes = (SMALLEST, 100) if bench.quick else (SMALLEST, 100, LARGEST)
    return [row for size in sizes for row in _of_size(bench, size)]


def _of_size(bench: BenchRun, hosts: int) -> list[Row]:
    with opened_fleet(bench, hosts) as fleet:
        client, files = f"32-thread client, {fleet.name}", f"reading both files, {fleet.name}"
        review, snapshot = f"`plan --observed` of {fleet.name}", str(fleet.snapshot)
        on_hosts = [
            _client(bench, client, "fleet_client.py", fleet.fake.folder),
            *fleet.jobs(bench, "plan", "--detailed-exitcode"),
            *fleet.jobs(bench, "plan", "--detailed-exitcode", cached=True),
            *(fleet.jobs(bench, "drift", "--no-health") if hosts < LARGEST else []),
            *(fleet.jobs(bench, "status") if hosts == SMALLEST else []),
        ]
        on_files = [
            _client(bench, files, "read_files.py", fleet.stack, fleet.snapshot),
            *bench.of_each(review, lambda c: c.cortexctl("plan", str(fleet.stack), "--observed", snapshot)),
        ]
        bench.recording.timed([*on_hosts, *on_files], 3 if hosts == LARGEST else bench.rounds(5, 3))
        fleet.count(bench, on_hosts)
    return [
        *(_largest_rows if hosts == LARGEST else _plan_rows)(bench, fleet, client, hosts),
        compared(bench.recording, fleet.work("plan", cached=True), client, partial(ratio, of=wall)),
        compared(bench.recording, fleet.work("plan", cached=True), "a host", partial(_each, units=hosts)),
        compared(bench.recording, review, files, ratio),
        *(_status_rows(bench, fleet, client, hosts) if hosts == SMALLEST else []),
    ]


def _plan_rows(bench: BenchRun, fleet: Fleet, client: str, hosts: int) -> list[Row]:
    return [
        compared(bench.recording, fleet.work("plan"), client, partial(ratio, of=wall)),
        compared(bench.recording, fleet.work("plan"), "a host", partial(_each, units=hosts)),
        compared(bench.recording, fleet.work("drift"), client, partial(ratio, of=wall)),
    ]


def _largest_rows(bench: BenchRun, fleet: Fleet, client: str, hosts: int) -> list[Row]:
    plan, of_wall, of_cpu = fleet.work("plan"), partial(ratio, of=wall), partial(_each, units=hosts)
    return [
        compared(bench.recording, plan, client, of_wall, GOAL_WALL, f"plan of {fleet.name}, {OF_CLIENT}"),
        compared(bench.recording, plan, "a host", of_cpu, GOAL_HOST, f"plan of {fleet.name}, CPU a host"),
    ]


def _status_rows(bench: BenchRun, fleet: Fleet, client: str, hosts: int) -> list[Row]:
    status, of_wall, of_cpu = (
        fleet.work("status"),
        partial(ratio, of=wall),
        partial(_each, units=hosts * inputs.PER_HOST),
    )
    return [
        compared(bench.recording, status, client, of_wall, GOAL_WALL, f"{status}, {OF_CLIENT}"),
        compared(bench.recording, status, "an instance", of_cpu, GOAL_STATUS, f"{status}, CPU an instance"),
    ]


def _client(bench: BenchRun, work: str, program: str, *arguments: Path) -> Job:
    argv = (sys.executable, "-I", "-S", str(REPO / "bench" / "clients" / program), *map(str, arguments))
    return reference(work, argv, clean_environment(bench.folder))


def _each(work: Sequence[Usage], _: Sequence[Usage], units: int) -> Figure | None:
    return each(work, units)
