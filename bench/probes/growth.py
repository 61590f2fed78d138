"""CPU seconds of each stage of a plan in this process, imports excluded: `growth.py STACK ROWS COSTS` for a stack and
what its hosts' daemons list. Writes JSON: stage -> seconds, the least of several passes.

It runs with the programs of the checkout that is measured.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from cortexctl import __main__ as program
from cortexctl.cli.show import view
from cortexctl.observed.container_list import parse_containers
from cortexctl.observed.host import ObservedHost
from cortexctl.observed.observation import Observed
from cortexctl.plan.planner import plan
from cortexctl.stack.load import load_stack

PASSES, MOST_PASSES, ENOUGH = 3, 20, 1.0
"""At least 3 passes; short ones are repeated up to 20 times, until they have taken a second in all."""

T = TypeVar("T")


class Stages:
    """The seconds of each stage: of the total and of the parts, the least that a pass took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.of_pass = 0.0

    def timed(self, stage: str, work: Callable[[], T]) -> T:
        started = time.process_time()
        result = work()
        spent = time.process_time() - started
        self._keep(stage, spent)
        self.of_pass += spent
        return result

    def end_pass(self) -> float:
        self._keep("plan", self.of_pass)
        spent, self.of_pass = self.of_pass, 0.0
        return spent

    def _keep(self, stage: str, spent: float) -> None:
        self.seconds[stage] = min(spent, self.seconds.get(stage, spent))


def growth_of(stack: str, by_host: dict[str, Any]) -> dict[str, float]:
    """`plan` is the sum of the other stages. Raises SystemExit for a stack with errors or an unexpected plan."""
    stages, total = Stages(), 0.0
    for number in range(MOST_PASSES):
        _one_pass(stages, stack, by_host)
        total += stages.end_pass()
        if number + 1 >= PASSES and total > ENOUGH:
            break
    return stages.seconds


def _one_pass(stages: Stages, stack: str, by_host: dict[str, Any]) -> None:
    desired, diagnostics = stages.timed(
        "load", lambda: load_stack(stack, default_docker="unix:///var/run/docker.sock", secret_value=None)
    )
    if desired is None:
        raise SystemExit("\n".join(d.summary for d in diagnostics))
    observed = stages.timed("list", lambda: _observed(by_host))
    nothing = stages.timed("decide", lambda: plan(desired, observed))
    everything = stages.timed("create", lambda: plan(desired, _observed({name: [] for name in by_host})))
    stages.timed("render", lambda: view(everything, "text", explain=False, max_bytes=None, next_step=""))
    if nothing.effective or not everything.effective:
        raise SystemExit("the plan is not the expected one")


def _observed(by_host: dict[str, Any]) -> Observed:
    hosts = (ObservedHost(name, parse_containers(rows), daemon="fake", api="1.41") for name, rows in by_host.items())
    return Observed(tuple(hosts))


if __name__ == "__main__":
    gc.set_threshold(getattr(program, "NEW_OBJECTS", gc.get_threshold()[0]))  # as in a run of the program
    costs = growth_of(sys.argv[1], json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")))
    Path(sys.argv[3]).write_text(json.dumps(costs), encoding="utf-8")
