"""`python -m bench`: all parts, and one table. See README.md; `make bench` prepares what it needs."""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench import compose, creation, daemon, dead_host, fleets, growth, no_op, start_up
from bench.bench_run import BenchRun
from bench.checkouts import checkouts
from bench.measuring import BenchFailed
from bench.recording import Recording
from bench.rows import Row
from bench.table import full_table, short_table

PARTS: Mapping[str, Callable[[BenchRun], Sequence[Row]]] = {
    "start_up": start_up.run,
    "no_op": no_op.run,
    "fleets": fleets.run,
    "dead_host": dead_host.run,
    "growth": growth.run,
    "creation": creation.run,
}
"""Creation last: the machine is still removing containers when it ends."""
MINUTES, QUICK_MINUTES = 15, 2


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, fewer rounds: about a minute")
    parser.add_argument("--base", type=Path, metavar="BIN", help="the programs of the checkout to compare with")
    parser.add_argument("--part", choices=PARTS, action="append", help="only this part; repeatable")
    parser.add_argument("--out", type=Path, help="write the tables as Markdown, too")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        report = _report(options.quick, options.base, options.part or list(PARTS))
    except KeyboardInterrupt:
        sys.exit(130)
    print(report)
    if options.out:
        options.out.write_text(report, encoding="utf-8")


def _interrupt(*_: object) -> None:
    """As Ctrl-C: everything that the bench created is removed."""
    raise KeyboardInterrupt


def _report(quick: bool, base: Path | None, parts: Sequence[str]) -> str:
    began, minutes = time.monotonic(), (QUICK_MINUTES if quick else MINUTES) * (2 if base else 1)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        bench = BenchRun(checkouts(base, Path(folder)), Recording(began + 60 * minutes), Path(folder), quick)
        if {"no_op", "creation"} & set(parts):
            daemon.remove_all()
        for part in parts:
            print(f"bench: {part}, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
            try:
                rows += PARTS[part](bench)
            except BenchFailed as cause:
                bench.recording.note(f"{part}: {cause}")
    notes = "".join(f"- {failure}\n" for failure in bench.recording.failures)
    seconds = time.monotonic() - began
    return f"{_head(quick, seconds)}\n{short_table(rows)}\n## All rows\n\n{full_table(rows)}" + (
        f"\n## Failures\n\n{notes}" if notes else ""
    )


def _head(quick: bool, seconds: float) -> str:
    """The date and the machine."""
    today = dt.datetime.now(tz=dt.UTC).date()
    kind, system = "quick run" if quick else "full run", platform.freedesktop_os_release()["PRETTY_NAME"]
    return (
        f"# Results of {today}\n\n"
        f"A {kind} of {seconds / 60:.0f} minutes: {os.cpu_count()} cores, {system}, "
        f"Python {platform.python_version()}, Compose {compose.version()}, load {os.getloadavg()[0]:.1f} at the end. "
        "Medians of ratios of the same round; CPU of the client unless a row names wall.\n"
    )


if __name__ == "__main__":
    main()
