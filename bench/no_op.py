"""Part: a plan with nothing to do, and one with five changes, of containers that run on the lab's daemon; against
Compose and its own containers there, and against one list request.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from bench import compose, daemon, inputs
from bench.bench_run import BenchRun, Job, reference
from bench.checkouts import REPO, clean_environment
from bench.figures import ratio
from bench.measuring import measured
from bench.recording import REFERENCE
from bench.rows import Row, compared

CHANGES = frozenset({2})
COLD_GOALS = {10: 2.5, 50: 1.2, 200: 0.5}
CACHED_GOALS = {10: 1.2, 50: 0.6, 200: 0.3}
CHANGED_GOALS = {10: 1.15, 50: 1.1, 200: 1.1}


def run(bench: BenchRun) -> Sequence[Row]:
    return [row for size in _sizes(bench) for row in _of_size(bench, size)]


def _sizes(bench: BenchRun) -> Sequence[int]:
    return (10,) if bench.quick else (10, 50, 200)


def _of_size(bench: BenchRun, size: int) -> Sequence[Row]:
    try:
        return _measured(bench, size, _prepared(bench, size))
    finally:
        daemon.remove_all()


def _prepared(bench: BenchRun, size: int) -> Sequence[Job]:
    """The jobs, after the containers of both have been started."""
    stack = bench.file(f"{size}.toml", inputs.one_host(size))
    changed = bench.file(f"{size}-changed.toml", inputs.one_host(size, changed=inputs.CHANGED))
    project = bench.file(f"{size}.compose.json", inputs.compose(size))
    project_changed = bench.file(f"{size}-changed.compose.json", inputs.compose(size, changed=inputs.CHANGED))
    containers = bench.folder / f"{size}.json"
    probe = REPO / "bench" / "probes" / "desired_containers.py"
    measured(bench.checkouts[-1].python(str(probe), str(stack), str(containers)))
    daemon.start_waiting(json.loads(containers.read_text(encoding="utf-8"))["here"], inputs.IMAGE)
    measured(compose.command(project, "up", "-d", limit=600))

    plan = ("plan", "--detailed-exitcode")
    request = (sys.executable, "-I", "-S", str(REPO / "bench" / "clients" / "list_request.py"))
    dry_run = ("--dry-run", "up", "-d")
    return [
        (f"Compose, no-op of {size}", REFERENCE, compose.command(project, *dry_run)),
        (f"Compose, five changed of {size}", REFERENCE, compose.command(project_changed, *dry_run)),
        reference(
            f"one list request, {size}",
            (*request, f"cortexctl.stack={inputs.OWNER}-{size}"),
            clean_environment(bench.folder),
        ),
        *bench.of_each(f"no-op plan of {size}", lambda c: c.cortexctl(*plan, str(stack))),
        *bench.of_each(f"no-op plan of {size}, cached", lambda c: c.cortexctl(*plan, str(stack), cached=True)),
        *bench.of_each(f"five changed of {size}", lambda c: c.cortexctl(*plan, str(changed), exit_codes=CHANGES)),
        *bench.of_each(f"drift of {size}", lambda c: c.cortexctl("drift", "--no-health", str(stack))),
    ]


def _measured(bench: BenchRun, size: int, jobs: Sequence[Job]) -> Sequence[Row]:
    recording = bench.recording
    of_sizes = f"of {', '.join(map(str, _sizes(bench)))}"
    recording.timed(jobs, bench.rounds(7, 5))
    bench.count(jobs)
    rival, request = f"Compose, no-op of {size}", f"one list request, {size}"
    plan, cached, changed = f"no-op plan of {size}", f"no-op plan of {size}, cached", f"five changed of {size}"
    return [
        compared(recording, plan, rival, ratio, COLD_GOALS[size], f"no-op plan {of_sizes} / Compose"),
        compared(recording, cached, rival, ratio, CACHED_GOALS[size], f"no-op plan {of_sizes}, cached / Compose"),
        compared(recording, plan, request, ratio),
        compared(recording, changed, plan, ratio, CHANGED_GOALS[size], f"five changed {of_sizes} / own no-op"),
        compared(recording, changed, f"Compose, five changed of {size}", ratio),
        compared(recording, f"drift of {size}", request, ratio),
    ]
