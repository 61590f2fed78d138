"""Replacements with faults. The cases of a lane run one after the other, and lanes run in parallel.

A lane is a stack with one instance behind its own proxy. Every case starts in the end state of the case before: an
instance serves, and the one before it is retained.
"""

from __future__ import annotations

import json
import secrets
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import httpx
import pytest

from cortexctl.hosts.fleet import open_hosts
from cortexctl.hosts.http import daemon_time, get
from cortexctl.hosts.lock import from_labels, is_dead
from cortexctl.hosts.transports.choice import transport_to
from cortexctl.observed.container_list import parse_endpoint
from cortexctl.operations.image_release import read_with_releases
from cortexctl.operations.plan import plan_live
from cortexctl.operations.read_stack import StackReader
from cortexctl.operations.saved_plan import save_plan
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.plan.model import Plan
from cortexctl.plan.request import Request
from cortexctl.plan.steps import (
    CreateContainer,
    RemoveContainer,
    RenameContainer,
    SetRestart,
    StartContainer,
    Step,
    StopContainer,
)
from tests.fakes.watching import Watched, watching_proxy
from tests.forks import Forked, inside
from tests.live import REMOVED, STAND_IN, LiveDaemon, live_daemon

LANES = 4
"""Lanes in parallel: a case waits for half of its time."""


T = TypeVar("T")


class Seen(NamedTuple):
    """A container: its id, its state in the daemon's terms, its restart policy."""

    id: str
    state: str
    policy: str


@dataclass
class Lane:
    """`turn` counts the stacks written: each has another value of a variable, and so needs a new container."""

    live: LiveDaemon
    path: Path
    proxy: str
    watched: Watched
    turn: int = 0
    namespace: str = ""
    """The network namespace of cortexctl. `address`: the host's address in it."""
    address: str = ""

    @property
    def serving(self) -> str:
        return f"vllm-model-{self.live.stack}-m"

    def want(
        self,
        strategy: str = "stop_first",
        *,
        stable_for: str = "0s",
        startup_timeout: str = "30s",
        image: str = STAND_IN,
        source: str = '{ repo = "org/tiny", revision = "1" }',
        models_dir: str = "",
        publish: str = "",
        **env: str,
    ) -> None:
        """Write a new stack that differs from the running container. `env`: settings of the stand-in."""
        self.turn += 1
        switches = "".join(f'STANDIN_{name} = "{value}"\n' for name, value in env.items())
        host = f'models_dir = "{models_dir}"\n' if models_dir else ""
        if self.address:
            host, publish = f'{host}address = "{self.address}"\n', publish or "0.0.0.0"
        more = f'publish = "{publish}"\n' if publish else ""
        model = f"{self.live.stack}-m"
        self.path.write_text(
            f'stack = "{self.live.stack}"\n\n'
            f'[hosts.here]\ndocker = "{self.proxy}"\nnetwork = "{self.live.stack}-net"\n{host}\n'
            f'[models.{model}]\nimage = "{image}"\nsource = {source}\n'
            f'served_names = ["tiny"]\ngpus = "none"\nshm_size = "64 MiB"\n{more}\n'
            f'[models.{model}.gate]\nstable_for = "{stable_for}"\nstartup_timeout = "{startup_timeout}"\n\n'
            f'[models.{model}.rollout]\nstrategy = "{strategy}"\ndrain = "0s"\nkeep = 1\n\n'
            f'[models.{model}.env]\nTURN = "{self.turn}"\n{switches}'
        )

    def begin_with_two(self) -> None:
        """Start an instance that serves, a retained one, and a foreign container."""
        for _ in range(2):
            self.want()
            code, output = self.apply(self.plan())
            assert code == 0, output
        self.live.run_foreign(f"{self.live.stack}-foreign")

    def plan(self) -> Plan:
        """Plan like the command, in this process. Changes nothing."""
        return inside(self.namespace, self._plan) if self.namespace else self._plan()

    def _plan(self) -> Plan:
        desired = read_with_releases(StackReader(str(self.path), StackChoice())).usable
        with open_hosts(desired.hosts, desired.owner) as daemons:
            return plan_live(desired, daemons, Request())

    def begin(self, plan: Plan, *options: str, who: str = "one") -> Forked:
        """Save a plan, and apply the file in a separate process. Parallel applies need different names: `who`."""
        file = self.path.with_suffix(f".{who}.json")
        save_plan(plan, str(file))
        return Forked(file.with_suffix(".output"), self.proxy, "apply", str(file), *options, namespace=self.namespace)

    def apply(self, plan: Plan) -> tuple[int, str]:
        """Returns the exit code and the whole output."""
        return self.begin(plan).end()

    def containers(self) -> dict[str, Seen]:
        instances = {}
        for name, state in self.live.containers().items():
            inspected = self.live.inspect(name)
            instances[name] = Seen(inspected["Id"], state, inspected["HostConfig"]["RestartPolicy"]["Name"])
        return instances

    def lock_holder_is_gone(self) -> bool | None:
        """Whether the lock holder is dead. None: there is no lock."""
        labels = self._volume("lock")
        return (
            None if labels is None else is_dead(from_labels(labels), int(daemon_time(transport_to(self.live.docker))))
        )

    def has_record(self) -> bool:
        """Whether one of the two volumes with a record exists: a new record is first written to the second."""
        return any(self._volume(kind) is not None for kind in ("record", "recording"))

    def _volume(self, kind: str) -> dict[str, str] | None:
        name = f"cortexctl-{kind}-{self.live.stack}"
        if name not in self.live.everything()["volumes"]:
            return None
        return dict(json.loads(get(transport_to(self.live.docker), f"/volumes/{name}").body)["Labels"])

    def foreign(self) -> Any:
        """The daemon's inspection of the foreign container."""
        inspected = self.live.inspect(f"{self.live.stack}-foreign")
        return {k: inspected[k] for k in ("Id", "Name", "State", "Config", "HostConfig", "RestartCount")}

    def began(self, name: str) -> str:
        """The time of the last start."""
        return str(self.live.inspect(name)["State"]["StartedAt"])

    def serves(self) -> str:
        """The id of the serving container. Checks that it answers a request, and restarts by itself."""
        inspected = self.live.inspect(self.serving)
        assert inspected["State"]["Running"], inspected["State"]
        assert inspected["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
        answer = self._get(f"{parse_endpoint(inspected, self.address)}/v1/models")
        assert [m["id"] for m in answer.json()["data"]] == ["tiny"]
        return str(inspected["Id"])

    def _get(self, url: str) -> httpx.Response:
        def send() -> httpx.Response:
            return httpx.get(url, trust_env=False, timeout=10)

        return inside(self.namespace, send) if self.namespace else send()

    def converge(self, before: dict[str, Seen], *, old_is_gone: bool = False) -> None:
        """Plan and apply, and check the containers: the new one serves, the old one is retained and unchanged, no lock
        of a living holder is left, foreign containers are unchanged, and a second plan is empty. `old_is_gone`: another
        user removed the old container.
        """
        others = self.foreign()
        plan = self.plan()
        errors = [d.summary for d in plan.diagnostics if d.is_error]
        assert not errors, errors
        if plan.effective:
            code, output = self.apply(plan)
            assert code == 0, output
            assert self.lock_holder_is_gone() is None, "the lock outlives its run"
        assert not self.plan().effective, "a second plan is not empty"
        new = self.serves()
        after = self.containers()
        old = before[self.serving]
        assert new != old.id
        assert f"TURN={self.turn}" in self.live.inspect(self.serving)["Config"]["Env"]
        retained = {name: seen for name, seen in after.items() if name != self.serving}
        assert old_is_gone or (old.id, "exited", "no") in retained.values(), "the old container is not retained"
        assert retained.items() - before.items() <= {(name, s) for name, s in retained.items() if s.id == old.id}, after
        assert self.lock_holder_is_gone() in {None, True}
        assert self.foreign() == others
        assert self.live.everything()["networks"] == [f"{self.live.stack}-net"]
        self._tidy(old.id)

    def _tidy(self, retained: str) -> None:
        """Remove the leftovers of a killed run, so that every case starts in the same state: its lock, half of a record,
        and a surplus of retained containers. The next run would take the lock over, and remove the containers.
        """
        for name, seen in self.containers().items():
            if name != self.serving and seen.id != retained:
                assert self.live.delete(f"/containers/{name}") in REMOVED
        if self.lock_holder_is_gone() or self._volume("recording") is not None:
            code, output = self.apply(self.plan())
            assert code == 0, output
            assert self._volume("recording") is None, "half of a record outlives an apply with nothing to do"
        if self.lock_holder_is_gone():
            assert self.live.delete(f"/volumes/cortexctl-lock-{self.live.stack}") in REMOVED


def after_steps(before: dict[str, Seen], steps: Sequence[Step]) -> dict[str, tuple[str, str]]:
    """Name -> state and restart policy after these steps. A new container has no id yet: its name is used instead."""
    by_id = {seen.id: [name, seen.state, seen.policy] for name, seen in before.items()}
    for step in steps:
        match step.task:
            case CreateContainer(name):
                by_id[name] = [name, "created", "no"]
            case StartContainer(container):
                by_id[container][1] = "running"
            case StopContainer(container):
                by_id[container][1] = "exited"
            case SetRestart(container, policy):
                by_id[container][2] = policy
            case RenameContainer(container, name):
                by_id[container][0] = name
            case RemoveContainer(container):
                del by_id[container]
    return {name: (state, policy) for name, state, policy in by_id.values()}


@contextmanager
def lane(folder: Path) -> Iterator[Lane]:
    """Yields a lane with an instance that serves, a retained one, and a foreign container on the same daemon."""
    stack = f"cxt-{secrets.token_hex(3)}"
    with live_daemon(stack) as live, watching_proxy(folder / f"{stack}.sock", live.docker) as (url, watched):
        here = Lane(live, folder / f"{stack}.toml", url, watched)
        here.begin_with_two()
        yield here


class Lanes:
    """Runs cases in parallel. A lane with a failure is not used again, because its state is unknown."""

    def __init__(self, folder: Path, ends: ExitStack, width: int = LANES) -> None:
        self._width = width
        self._folder = folder
        self._ends = ends
        self._free: list[Lane] = []

    def run(self, cases: Sequence[T], run: Callable[[Lane, T], None]) -> None:
        """Run all cases. Fails with the list of all failures."""
        waiting = deque(cases)
        failures: list[str] = []

        def work() -> None:
            case: T | str = "the start of a lane"
            try:
                here = self._free.pop() if self._free else self._ends.enter_context(lane(self._folder))
                while waiting:
                    case = waiting.popleft()
                    run(here, case)
                self._free.append(here)
            except Exception:  # noqa: BLE001 - reported below
                failures.append(f"{case}:\n{traceback.format_exc()}")

        threads = [threading.Thread(target=work) for _ in range(min(self._width, len(cases)))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures, "\n".join(failures)
        assert not waiting


@pytest.fixture(scope="module")
def lanes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lanes]:
    with ExitStack() as ends:
        yield Lanes(tmp_path_factory.mktemp("lanes"), ends)
