"""Every attack that needs no daemon, in rounds with new seeds, until a time is over.

    make fuzz                     ten minutes
    make fuzz MINUTES=60 SEED=7   an hour, of other tries

It begins with the inputs that an earlier version did not survive. A traceback, five seconds of processor time for one
input, or a gigabyte of memory is a fault. The exit code is 1 if there is one, and a folder has everything to reproduce it.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import count
from multiprocessing import get_context
from pathlib import Path

from tests.attack.corpus import attack_corpus
from tests.attack.documents import attack_plans, attack_snapshots, attack_stacks
from tests.attack.finds import Row, save
from tests.attack.hostlabels import attack_answers, attack_labels
from tests.attack.table import table
from tests.attack.texts import attack_lines, attack_logs

ATTACKS: dict[str, tuple[int, Callable[[int, int], Row]]] = {
    "stacks": (200, attack_stacks),
    "plans": (100, attack_plans),
    "snapshots": (100, attack_snapshots),
    "logs": (100, attack_logs),
    "lines": (400, attack_lines),
    "labels": (20, attack_labels),
    "answers": (20, attack_answers),
}
"""Name -> the number of tries of a round, each round some seconds, and the attack: of a number and a seed."""
PROCESSES = 2


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m tests.attack.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10, metavar="M", help="start no round after M minutes (10)")
    parser.add_argument(
        "--seed", type=int, default=1, metavar="N", help="of the first round; the next has the next (1)"
    )
    parser.add_argument("--finds", type=Path, metavar="FOLDER", help="folder for the finds (a new one below /tmp)")
    return parser.parse_args(arguments)


def round_of(name: str, seed: int) -> Row:
    tries, attack = ATTACKS[name]
    return attack(tries, seed)


def fuzz(minutes: float, first_seed: int, processes: int = PROCESSES) -> dict[str, list[Row]]:
    """Name -> the rows of its rounds. Each attack has one round at least."""
    end = time.monotonic() + minutes * 60
    rows: dict[str, list[Row]] = defaultdict(list)
    rounds = ((seed, name) for seed in count(first_seed) for name in ATTACKS)
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        running: dict[Future[Row], str] = {}
        for seed, name in rounds:
            if seed > first_seed and time.monotonic() > end:
                break
            running[pool.submit(round_of, name, seed)] = name
            while len(running) >= processes:
                _collect(running, rows)
        while running:
            _collect(running, rows)
    return rows


def _collect(running: dict[Future[Row], str], rows: dict[str, list[Row]]) -> None:
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        rows[running.pop(future)].append(future.result())


def summed(name: str, rows: Sequence[Row]) -> Row:
    """One row of all rounds."""
    tries = ATTACKS[name][0]
    finds = tuple(find for row in rows for find in row.finds)
    return Row(
        rows[0].what,
        f"{len(rows) * tries:,}, with {len(rows)} seeds",
        f"{len(rows) * tries - len(finds):,} pass",
        finds,
    )


def main() -> int:
    chosen = options()
    finds = chosen.finds or Path(tempfile.mkdtemp(prefix="fuzz-finds-"))
    total = {"corpus": attack_corpus()}
    rounds = fuzz(chosen.minutes, chosen.seed)
    total |= {name: summed(name, rounds[name]) for name in ATTACKS}
    for name, row in total.items():
        save(finds, name, row.finds)
    sys.stdout.write(table(list(total.values())))
    faults = sum(len(row.finds) for row in total.values())
    if faults:
        sys.stderr.write(f"{faults} faults; {finds} has the first of each kind. Add each to tests/cases/finds.\n")
    return 1 if faults else 0


if __name__ == "__main__":  # the processes that it starts import this as well
    os.environ["CORTEXCTL_NO_CACHE"] = "1"  # the user's cache is not ours
    sys.exit(main())
