"""Part: how long a command takes that reads no host, against a bare interpreter."""

from __future__ import annotations

from collections.abc import Sequence

from bench import inputs
from bench.bench_run import BenchRun, reference
from bench.checkouts import clean_environment
from bench.figures import ratio
from bench.rows import Row, compared

BARE = "bare interpreter"
VERSION, HELP, VALIDATE, CACHED = "`--version`", "`--help`", "`validate` of 10", "`validate` of 10, cached"
HEADLINE = "`--version`, `--help`, `validate` of 10 / bare interpreter"
GOALS = {VERSION: 1.3, HELP: 2.5, VALIDATE: 12.0}


def run(bench: BenchRun) -> Sequence[Row]:
    stack = str(bench.file("ten.toml", inputs.one_host(10)))
    python = str(bench.checkouts[0].bin / "python")
    jobs = [
        reference(BARE, (python, "-c", "pass"), clean_environment(bench.folder)),
        *bench.of_each(VERSION, lambda c: c.cortexctl("--version")),
        *bench.of_each(HELP, lambda c: c.cortexctl("--help")),
        *bench.of_each(VALIDATE, lambda c: c.cortexctl("validate", stack)),
        *bench.of_each(CACHED, lambda c: c.cortexctl("validate", stack, cached=True)),
    ]
    bench.recording.timed(jobs, bench.rounds(15, 7))
    rows = [compared(bench.recording, work, BARE, ratio, goal, HEADLINE) for work, goal in GOALS.items()]
    return [*rows, compared(bench.recording, CACHED, BARE, ratio)]
