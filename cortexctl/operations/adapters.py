"""Constructs the adapters for all use cases: environment, clock, files, processes. `connections` has the daemons."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Desired
from cortexctl.observe.host_readers import ModelReaders
from cortexctl.operations.run_secrets import KNOWN
from cortexctl.operations.stack_choice import StackChoice

if TYPE_CHECKING:
    from cortexctl.apply.events import Sink
    from cortexctl.apply.perform import Performer
    from cortexctl.apply.protocols import Hooks
    from cortexctl.files.checkout import Checkout
    from cortexctl.model_files.files import ModelFiles, ModelSource
    from cortexctl.observe.host_readers import HostModels
    from cortexctl.observed.lock_holder import LockInfo
    from cortexctl.operations.connections import OpenHosts
    from cortexctl.plan.model import Plan
    from cortexctl.secrets.resolver import SecretReader
    from cortexctl.stack.variables import VariableInputs


@dataclass(frozen=True, slots=True)
class SystemClock:
    """Implements `apply.protocols.Clock`."""

    def now(self) -> float:
        return time.time()

    def elapsed(self) -> float:
        return time.monotonic()

    def sleep(self, duration: float) -> None:
        time.sleep(duration)


def secret_reader(stack_path: str, choice: StackChoice) -> SecretReader:
    """A reader that adds every value to `KNOWN`, so that it is hidden from then on."""
    from cortexctl.secrets.resolver import SecretReader

    folder = Path(stack_path).resolve().parent
    return SecretReader(os.environ, folder, lambda: _variables(choice), KNOWN.add)


def _variables(choice: StackChoice) -> Mapping[str, str]:
    from cortexctl.stack.variables import input_texts

    return input_texts(stack_inputs(choice))


def stack_inputs(choice: StackChoice, *, for_another: bool = False) -> VariableInputs:
    """The values for the stack's variables. `for_another`: for a stack that may not declare all of them."""
    from cortexctl.stack.variables import VariableInputs

    return VariableInputs(choice.variables, choice.files, os.environ, for_another)


def model_readers(
    desired: Desired, *, host: HostModels | None = None, allow_hub: bool = False, within: Checkout | None = None
) -> ModelReaders:
    """The readers of models' files: in a folder of this machine (only if it is `within`, for a review), on their host,
    and on the hub with `allow_hub`. Their code is loaded when there is something to read.
    """
    elsewhere = {h.name for h in desired.hosts if not h.is_here}

    def here(source: ModelSource) -> ModelFiles:
        from cortexctl.observe.model_reading import NOWHERE
        from cortexctl.stack.model_folder import files_here

        return NOWHERE if source.host in elsewhere else files_here(source, within)

    def from_hub(source: ModelSource) -> ModelFiles:
        from cortexctl.health.hub import files_from_hub

        return files_from_hub(source, os.environ)

    return ModelReaders(here, host, from_hub if allow_hub else None)


def new_run() -> str:
    """A short id for the labels of what this run creates."""
    return os.urandom(4).hex()


def lock_identity(run: str) -> LockInfo:
    """The content of the lock. The owner's id is unique; times are filled in when the lock is acquired."""
    import getpass

    from cortexctl.hosts.lock import born, this_machine
    from cortexctl.observed.lock_holder import LockInfo

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    pid = os.getpid()
    return LockInfo(os.urandom(8).hex(), user, this_machine(), pid, run, 0, 0, born(pid))


class Run(Protocol):
    """The marks of containers that a run creates: its id, the stack's git revision, and the author."""

    run: str
    revision: str
    author: str


def make_performer(owner: str, stack_path: str, choice: StackChoice, hosts: OpenHosts, run: Run) -> Performer:
    """The performer of steps, with the real adapters."""
    from cortexctl import __version__
    from cortexctl.apply.perform import Performer
    from cortexctl.health.prober import HttpProber
    from cortexctl.instance import labels

    marks = {labels.RUN: run.run, labels.VERSION: __version__, labels.AUTHOR: run.author}
    marks |= {labels.REVISION: run.revision} if run.revision else {}
    return Performer(owner, hosts, HttpProber, secret_reader(stack_path, choice), SystemClock(), marks)


def hooks_of(plan: Plan, performer: Performer, emit: Sink, run: Run) -> Hooks:
    """The plan's hooks, with the real adapters."""
    from cortexctl.apply.run_hooks import NO_HOOKS, PlannedHooks
    from cortexctl.hooks.runner import HookRunner

    if not plan.hooks:
        return NO_HOOKS
    specs = [spec for c in plan.changes for spec in (c.detail.before, c.detail.after) if spec]
    of_hooks = [s for h in plan.hooks for s in (*h.secrets, *([h.url_from] if h.url_from else []))]
    hidden = dict.fromkeys(
        replace(s, fingerprint="") for s in [*of_hooks, *(s for spec in specs for s in spec.container.secrets)]
    )
    folder = Path(plan.stack_path).resolve().parent
    runner = HookRunner(folder, os.environ, performer.secrets.value, tuple(hidden), time.time)
    known = {"stack": plan.stack, "env": plan.env, "run": run.run, "revision": run.revision}
    return PlannedHooks(plan, runner, emit, performer.daemons, performer.clock, known)
