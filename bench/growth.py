"""Part: how the cost of each stage of a plan grows with models, containers, hosts and variables; and two sizes that
must work at all: 2,000 models on one host, 10,000 containers on one daemon.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import inputs
from bench.bench_run import BenchRun
from bench.checkouts import REPO, Checkout
from bench.fake_fleet.answers import id_of, list_row
from bench.fake_fleet.running import fake_fleet, sockets_folder
from bench.figures import Figure, cpu, exponent
from bench.measuring import measured
from bench.recording import BEFORE, NOW
from bench.rows import Row, compared

GOAL = 1.15
DAEMON = "unix:///var/run/docker.sock"
MODELS, CONTAINERS = 2_000, 10_000
PROBES = REPO / "bench" / "probes"
STAGES = {
    "models": ("load", "decide", "render", "plan"),
    "containers": ("list", "decide"),
    "hosts": ("load", "decide", "render", "plan"),
    "variables": ("load",),
}


@dataclass(frozen=True, slots=True)
class _Case:
    """`foreign`: containers of others on its daemon."""

    stack: str
    foreign: int = 0


def run(bench: BenchRun) -> Sequence[Row]:
    rows = [row for axis in STAGES for row in _growth(bench, axis)]
    return rows if bench.quick else [*rows, _large(bench)]


def sizes(axis: str, *, quick: bool) -> tuple[int, int]:
    """So large that the fixed costs do not hide the growth."""
    small = {"models": 200, "containers": 2000, "hosts": 48, "variables": 400}[axis]
    return (small // 4, small) if quick else (small, 4 * small)


def case_of(axis: str, size: int) -> _Case:
    match axis:
        case "models":
            return _Case(inputs.one_host(size))
        case "containers":
            return _Case(inputs.one_host(10), foreign=size)
        case "hosts":
            return _Case(inputs.fleet(size, "/run"))
        case _:
            return _Case(inputs.with_variables(10, size))


def _growth(bench: BenchRun, axis: str) -> list[Row]:
    small, large = sizes(axis, quick=bench.quick)
    costs: dict[tuple[str, int], Mapping[str, float]] = {}

    def measure(checkout: Checkout, size: int) -> None:
        costs[checkout.who, size] = _costs(bench, checkout, axis, size)

    for size in (small, large):
        for checkout in bench.checkouts:
            bench.recording.attempt(partial(measure, checkout, size))

    def figure(who: str, stage: str) -> Figure | None:
        pair = [(size, costs[who, size][stage]) for size in (small, large) if (who, size) in costs]
        return Figure((exponent(*pair),), "") if len(pair) == 2 else None

    return [
        Row(
            f"growth of {stage} by {axis}",
            f"{small:,} to {large:,}",
            figure(NOW, stage),
            GOAL,
            figure(BEFORE, stage),
            headline=f"growth by {axis}: {', '.join(STAGES[axis])}",
        )
        for stage in STAGES[axis]
    ]


def _costs(bench: BenchRun, checkout: Checkout, axis: str, size: int) -> Mapping[str, float]:
    """CPU seconds by stage. Raises CommandFailed."""
    case = case_of(axis, size)
    stack = bench.file(f"growth-{axis}-{size}.toml", case.stack)
    containers, rows = stack.with_suffix(".json"), stack.with_suffix(".rows.json")
    measured(checkout.python(str(PROBES / "desired_containers.py"), str(stack), str(containers)))
    rows.write_text(json.dumps(listed(json.loads(containers.read_text(encoding="utf-8")), case.foreign)))
    written = stack.with_suffix(".costs.json")
    measured(checkout.python(str(PROBES / "growth.py"), str(stack), str(rows), str(written)))
    costs: Mapping[str, float] = json.loads(written.read_text(encoding="utf-8"))
    return costs


def listed(hosts: Mapping[str, Sequence[Mapping[str, object]]], foreign: int) -> Mapping[str, object]:
    """What each host's daemon lists."""
    others = [
        {"name": f"other-{number}", "labels": {"of": "others"}, "image": "busybox:1", "network": "bridge"}
        for number in range(foreign)
    ]
    return {
        host: [list_row(id_of(host, c), number, c) for number, c in enumerate([*containers, *others])]
        for host, containers in hosts.items()
    }


def _large(bench: BenchRun) -> Row:
    """Both sizes at once: the daemon of one host lists 10,000 containers, of which 2,000 are the stack's."""
    work = f"no-op plan of {MODELS:,} models beside {CONTAINERS - MODELS:,} other containers"
    with sockets_folder() as sockets:
        socket = f"unix://{sockets}/here.sock"
        stack = bench.file("large.toml", inputs.one_host(MODELS, docker=socket))
        containers: Path = stack.with_suffix(".json")
        probe = str(PROBES / "desired_containers.py")
        measured(bench.checkouts[-1].python(probe, str(stack), str(containers)))
        with fake_fleet(containers, sockets, foreign=CONTAINERS - MODELS):
            jobs = bench.of_each(work, lambda c: c.cortexctl("plan", "--detailed-exitcode", str(stack)))
            bench.recording.timed(jobs, 1)
    return compared(
        bench.recording, work, "", lambda usages, _: Figure(tuple(map(cpu, usages)), "s") if usages else None
    )
