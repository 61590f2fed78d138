"""Applies stacks to a fake world, and returns the results."""

from __future__ import annotations

from pathlib import Path

from cortexctl.apply.executor import Outcome, Result
from cortexctl.apply.locking import Locks
from cortexctl.desired.stack import Desired
from cortexctl.observed.lock_holder import LockInfo
from cortexctl.plan.model import Plan
from cortexctl.render.style import Ink
from tests.fakes.container import FakeContainer
from tests.fakes.daemon import Behaviour
from tests.fakes.world import World
from tests.reading import desired_from, model_text, stack_text

PLAIN = Ink(enabled=False)
TWO_HOSTS = "".join(f'[hosts.{n}]\ndocker = "unix:///run/{n}.sock"\nmodels_dir = "/m"\n\n' for n in ("one", "two"))


def stack(tmp_path: Path, *models: str, hosts: str = '[hosts.here]\nmodels_dir = "/m"\n', **env: str) -> Desired:
    path = tmp_path / "stack.toml"
    path.write_text(stack_text("".join(models), hosts=hosts))
    return desired_from(path, env)


def with_length(length: int, **lines: str) -> str:
    return model_text(**lines) + f"[models.tiny.args]\nmax_model_len = {length}\n\n"


def serving(world: World, host: str = "here") -> dict[str, str]:
    return {c.name: c.state for c in world.daemon(host).containers.values()}


def crash(code: int = 1, *log: str) -> Behaviour:
    def behaviour(container: FakeContainer) -> None:
        container.state, container.exit_code = "exited", code
        container.log += log

    return behaviour


def outcome(result: Result, address: str) -> Outcome:
    return next(o for o in result.outcomes if o.change.address == address)


def lock_info(owner: str, expires: int) -> LockInfo:
    return LockInfo(owner, "alice", "ci-17", 4711, "run0", 0, expires)


def locks(world: World, plan: Plan, *, dead: bool = False) -> Locks:
    return Locks(plan, world.daemons, lock_info("us", 0), world.clock, lambda _h, _n: dead)
