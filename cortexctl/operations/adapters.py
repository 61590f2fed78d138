"""Where the adapters are constructed, once for all use cases: environment, clock, files, processes, daemons."""

from __future__ import annotations

import getpass
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cortexctl.desired.stack import Desired
from cortexctl.hosts.fleet import DockerDaemons
from cortexctl.hosts.lock import born, this_machine
from cortexctl.observed.lock_holder import LockInfo
from cortexctl.operations.run_secrets import KNOWN
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.secrets.resolver import SecretReader

if TYPE_CHECKING:
    from cortexctl.stack.variables import Given


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
    """Every value that it reads is known to `KNOWN`, and hidden from then on."""
    from cortexctl.stack.variables import given_texts

    folder = Path(stack_path).resolve().parent
    return SecretReader(os.environ, folder, given_texts(stack_inputs(choice)), KNOWN.add)


def stack_inputs(choice: StackChoice, *, for_another: bool = False) -> Given:
    """What the caller gave for the stack's variables. `for_another`: for a stack that may not declare all of them."""
    from cortexctl.stack.variables import Given

    return Given(choice.variables, choice.files, os.environ, for_another)


def open_daemons(desired: Desired) -> DockerDaemons:
    """The stack's hosts. To be closed."""
    return DockerDaemons({h.name: h for h in desired.hosts}, desired.owner)


def new_run() -> str:
    """A short id for the labels of what this run creates."""
    return secrets.token_hex(4)


def lock_identity(run: str) -> LockInfo:
    """What others read in the lock. The owner's id is ours alone; times are filled in when it is taken."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    pid = os.getpid()
    return LockInfo(secrets.token_hex(8), user, this_machine(), pid, run, 0, 0, born(pid))
