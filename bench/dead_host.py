"""Part: the wall that one dead host of a fleet adds to a command, beside the same fleet without it. A dead host accepts
connections, and never answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from bench.bench_run import BenchRun
from bench.figures import added
from bench.fleet import opened_fleet
from bench.recording import Turn
from bench.rows import Row, compared

GOAL = 5.5
"""One time-out of 5 seconds, and half a second for the machine: a second time-out would show as ten."""
COMMANDS = (("plan", "--allow-unreachable"), ("drift", "--no-health", "--allow-unreachable"), ("status",))


def run(bench: BenchRun) -> Sequence[Row]:
    sizes = {10: COMMANDS[:1]} if bench.quick else {10: COMMANDS, 100: COMMANDS, 1000: COMMANDS[:1]}
    return [row for hosts, commands in sizes.items() for row in _of_size(bench, hosts, commands)]


def _of_size(bench: BenchRun, hosts: int, commands: Sequence[tuple[str, ...]]) -> list[Row]:
    headline = f"one dead host of {hosts}, added wall: {', '.join(f'`{command}`' for command, *_ in commands)}"
    rows: list[Row] = []
    with opened_fleet(bench, hosts) as alive, opened_fleet(bench, hosts, dead=1) as with_dead:
        for command, *options in commands:
            work, beside = with_dead.work(command), f"{alive.work(command)}, beside it"
            jobs = [*with_dead.jobs(bench, command, *options)]
            jobs += [(beside, who, job) for _, who, job in alive.jobs(bench, command, *options)]
            turns: list[Turn] = [partial(bench.recording.run, *job) for job in jobs]
            bench.recording.rounds(turns, 1 if command == "status" else bench.rounds(2, 1))
            rows.append(compared(bench.recording, work, beside, added, GOAL, headline))
    return rows
