"""Part: creating and removing containers whose servers must become healthy, on the lab's daemon; against Compose, which
waits for no server. Then `status` of those that run.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bench import compose, daemon, inputs
from bench.bench_run import BenchRun, Job
from bench.checkouts import Checkout
from bench.figures import added, each, further, ratio, wall
from bench.recording import REFERENCE, Turn
from bench.rows import Row, compared

QUIET = ("--auto-approve", "--audit-log", "none")
SMALL, LARGE = 10, 50
GOAL_WALL = 1.2
GOAL_STABLE = 6.0
"""Seconds that the default `stable_for` may add in all."""
GOAL_FURTHER = 8.0
"""Milliseconds of client CPU for each further container."""


def run(bench: BenchRun) -> Sequence[Row]:
    try:
        _rounds(bench, SMALL, bench.rounds(3, 1))
        if not bench.quick:
            bench.recording.rounds(_with_default(bench), 1)
            _rounds(bench, LARGE, 1)
    finally:
        daemon.remove_all()
    sizes = (SMALL,) if bench.quick else (SMALL, LARGE)
    headline = f"create {', '.join(map(str, sizes))} with healthy servers, wall / Compose"
    rows = [row for size in sizes for row in _rows(bench, size, headline)]
    return rows if bench.quick else [*rows, *_rows_of_full_run(bench)]


def _rounds(bench: BenchRun, size: int, rounds: int) -> None:
    stack = bench.file(f"create-{size}.toml", inputs.one_host(size))
    project = bench.file(f"create-{size}.compose.json", inputs.compose(size))
    turns: list[Turn] = [partial(_compose, bench, project, size)]
    turns += [partial(_ours, bench, checkout, stack, size) for checkout in bench.checkouts]
    bench.recording.rounds(turns, rounds)
    if size == SMALL:
        with_clean_daemon(lambda: bench.count(_jobs_to_count(bench, stack, project)))


def _jobs_to_count(bench: BenchRun, stack: Path, project: Path) -> list[Job]:
    """Each creation is followed by the removal."""
    jobs: list[Job] = [
        (f"Compose, create {SMALL}", REFERENCE, compose.command(project, "up", "-d")),
        (f"Compose, remove {SMALL}", REFERENCE, compose.command(project, "down")),
    ]
    for checkout in bench.checkouts:
        apply, destroy = (checkout.cortexctl(verb, str(stack), *QUIET) for verb in ("apply", "destroy"))
        jobs += [(f"create {SMALL}", checkout.who, apply), (f"remove {SMALL}", checkout.who, destroy)]
    return jobs


def _compose(bench: BenchRun, project: Path, size: int) -> None:
    with_clean_daemon(lambda: _compose_turn(bench, project, size))


def _compose_turn(bench: BenchRun, project: Path, size: int) -> None:
    bench.recording.run(f"Compose, create {size}", REFERENCE, compose.command(project, "up", "-d", limit=600))
    daemon.wait_until_healthy(size)
    bench.recording.run(f"Compose, remove {size}", REFERENCE, compose.command(project, "down", limit=600))


def _ours(bench: BenchRun, checkout: Checkout, stack: Path, size: int) -> None:
    with_clean_daemon(lambda: _our_turn(bench, checkout, stack, size))


def _our_turn(bench: BenchRun, checkout: Checkout, stack: Path, size: int) -> None:
    run, who = bench.recording.run, checkout.who
    run(f"create {size}", who, checkout.cortexctl("apply", str(stack), *QUIET, limit=600))
    run(f"status of {size}", who, checkout.cortexctl("status", str(stack)))
    run(f"remove {size}", who, checkout.cortexctl("destroy", str(stack), *QUIET, limit=600))


def _with_default(bench: BenchRun) -> list[Turn]:
    """With the default `stable_for`."""
    stack = bench.file("create-default.toml", inputs.one_host(SMALL, stable_for="5s"))

    def turn(checkout: Checkout) -> None:
        apply = checkout.cortexctl("apply", str(stack), *QUIET, limit=600)
        with_clean_daemon(lambda: bench.recording.run(_DEFAULT, checkout.who, apply))

    return [partial(turn, checkout) for checkout in bench.checkouts]


_DEFAULT = f"create {SMALL}, default `stable_for`"


def with_clean_daemon(turn: Turn) -> None:
    """A turn that fails leaves nothing for the next."""
    try:
        turn()
    finally:
        daemon.remove_all()


def _rows(bench: BenchRun, size: int, headline: str) -> list[Row]:
    recording = bench.recording
    return [
        compared(recording, f"create {size}", f"Compose, create {size}", partial(ratio, of=wall), GOAL_WALL, headline),
        compared(recording, f"remove {size}", f"Compose, remove {size}", partial(ratio, of=wall)),
        compared(recording, f"status of {size}", "an instance", lambda work, _: each(work, size)),
    ]


def _rows_of_full_run(bench: BenchRun) -> list[Row]:
    recording, more = bench.recording, LARGE - SMALL
    rival = further(
        recording.usages(f"Compose, create {SMALL}", REFERENCE),
        recording.usages(f"Compose, create {LARGE}", REFERENCE),
        more,
    )
    text = "CPU of a further created container"
    beside = f"Compose: {rival.text}" if rival else ""
    small = compared(recording, f"create {LARGE}", f"create {SMALL}", lambda b, a: further(a, b, more), GOAL_FURTHER)
    return [
        compared(recording, _DEFAULT, f"create {SMALL}", added, GOAL_STABLE, "the default `stable_for`, added wall"),
        Row(text, beside, small.figure, GOAL_FURTHER, small.before, headline=text),
    ]
