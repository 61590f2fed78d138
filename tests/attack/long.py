"""The long form: every attack with the requested number of tries, a table of the results, and a folder with the finds.

    make attack                                        all, on the lab's daemon; 40 minutes on two quiet cores
    python -m tests.attack --only plans --plans 20000  one of them
    python -m tests.attack --seed 7                    others of the same kinds

The same seed and counts repeat the same tries. The exit code is 1 if there is a fault.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from tests.attack import documents, hostlabels, kills, planted, proxy
from tests.attack.finds import Row, save
from tests.attack.table import table

NEED_AN_ENGINE = ("kills", "proxy", "servers")


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m tests.attack", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    number = parser.add_argument
    number("--kills", type=int, default=250, metavar="N", help="`kill -9` of commands on the daemon (250)")
    number("--faults", type=int, default=165, metavar="N", help="lies of a proxy before the daemon (165)")
    number("--stacks", type=int, default=20_000, metavar="N", help="changed stack files (20000)")
    number("--plans", type=int, default=3_000, metavar="N", help="changed plan files (3000)")
    number("--snapshots", type=int, default=4_000, metavar="N", help="changed snapshots (4000)")
    number("--labels", type=int, default=500, metavar="N", help="labels, locks and records of other writers (500)")
    number("--lists", type=int, default=100, metavar="N", help="answers to the request for all containers (100)")
    number("--places", type=int, default=200, metavar="N", help="places of a stack with a secret (200, which is all)")
    number(
        "--servers",
        type=int,
        default=200,
        metavar="N",
        help="servers that write a secret to their log (200, which is all)",
    )
    number("--seed", type=int, default=1, metavar="N", help="chooses the tries (1)")
    number("--case", type=int, metavar="N", help="of kills or proxy, only the case with this number")
    number(
        "--minutes",
        type=float,
        default=0,
        metavar="M",
        help="start no kill, lie or server after M minutes; 0: no limit",
    )
    number("--lanes", type=int, default=3, metavar="N", help="parallel cases on the daemon (3)")
    number("--longest", type=float, default=8, metavar="S", help="the most seconds of one lie (8)")
    number(
        "--only",
        action="append",
        choices=sorted(attacks()),
        metavar="NAME",
        help=f"one of {', '.join(attacks())}; may be repeated",
    )
    number("--finds", type=Path, metavar="FOLDER", help="folder for the finds (a new one below /tmp)")
    return parser.parse_args(arguments)


def attacks() -> dict[str, Callable[[argparse.Namespace, Path, Callable[[], bool]], Row]]:
    """Name -> attack: a function of the options, a folder for sockets, and a function that returns when to stop."""
    return {
        "kills": lambda o, folder, stop: kills.attack_kills(o.kills, o.seed, folder, o.lanes, stop, o.case),
        "proxy": lambda o, folder, stop: proxy.attack_proxy(o.faults, o.seed, folder, o.lanes, o.longest, stop, o.case),
        "stacks": lambda o, folder, stop: documents.attack_stacks(o.stacks, o.seed),
        "plans": lambda o, folder, stop: documents.attack_plans(o.plans, o.seed),
        "snapshots": lambda o, folder, stop: documents.attack_snapshots(o.snapshots, o.seed),
        "labels": lambda o, folder, stop: hostlabels.attack_labels(o.labels, o.seed),
        "lists": lambda o, folder, stop: hostlabels.attack_lists(o.lists, o.seed),
        "places": lambda o, folder, stop: planted.attack_stacks(o.places, o.seed),
        "servers": lambda o, folder, stop: planted.attack_servers(o.servers, o.seed, folder, o.lanes, stop),
    }


def main() -> int:
    chosen = options()
    finds = chosen.finds or Path(tempfile.mkdtemp(prefix="attack-finds-"))
    began = time.monotonic()

    def stop() -> bool:
        return bool(chosen.minutes) and time.monotonic() - began > chosen.minutes * 60

    names = [name for name in attacks() if not chosen.only or name in chosen.only]
    rows: dict[str, Row] = {}

    def done(name: str, row: Row, seconds: float) -> None:
        rows[name] = row
        save(finds, name, row.finds)
        print_progress(f"{name}: {row.tried}; {row.result} ({seconds:.0f} s)")

    # attacks on the daemon mostly wait; the others use the processor all the time
    with (
        ProcessPoolExecutor(1, get_context("spawn")) as beside,
        tempfile.TemporaryDirectory(prefix="attack-") as folder,
    ):
        going = {name: beside.submit(timed, name, chosen, folder) for name in names if name not in NEED_AN_ENGINE}
        for name in NEED_AN_ENGINE:
            if name in names:
                done(name, *timed(name, chosen, folder, stop))
        for name, result in going.items():
            done(name, *result.result())
    sys.stdout.write(table([rows[name] for name in names]))
    faults = sum(len(row.finds) for row in rows.values())
    if faults:
        print_progress(f"{faults} faults; {finds} has the first of each kind, with everything to reproduce it")
    return 1 if faults else 0


def timed(
    name: str, chosen: argparse.Namespace, folder: str, stop: Callable[[], bool] = lambda: False
) -> tuple[Row, float]:
    """Run an attack. Returns its row, and its duration in seconds."""
    began = time.monotonic()
    row = attacks()[name](chosen, Path(folder), stop)
    return row, time.monotonic() - began


def print_progress(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
