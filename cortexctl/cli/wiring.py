"""Where the parts are put together: environment, files, clocks and adapters, once, for all commands."""

from __future__ import annotations

import getpass
import os
import secrets
import socket
import sys
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cortexctl.diagnostics import Diagnostic
from cortexctl.engine.engines import DockerEngines
from cortexctl.engine.observe import observe
from cortexctl.engine.transport import DEFAULT_DOCKER
from cortexctl.errors import CortexctlError, SecretUnresolved
from cortexctl.observed.state import LockInfo
from cortexctl.plan.model import Plan
from cortexctl.plan.planner import images_needed, plan
from cortexctl.render.diagnostic import diagnostics_text
from cortexctl.render.ink import Ink, ink_for
from cortexctl.secrets.read import SecretReader
from cortexctl.spec.desired import Desired

if TYPE_CHECKING:
    from cortexctl.apply.perform import Performer


class BadStack(CortexctlError):
    """The stack's diagnostics have been shown; this only ends the run."""


@dataclass(frozen=True, slots=True)
class SystemClock:
    """Implements `apply.protocols.Clock`."""

    def now(self) -> float:
        return time.time()

    def elapsed(self) -> float:
        return time.monotonic()

    def sleep(self, duration: float) -> None:
        time.sleep(duration)


def ink(stream: str = "stdout") -> Ink:
    """Colour for stdout or stderr, as the reader and the conventions want it."""
    file = sys.stdout if stream == "stdout" else sys.stderr
    context = click.get_current_context(silent=True)
    no_color = bool(context and context.find_root().obj and context.find_root().obj["no_color"])
    return ink_for(is_terminal=file.isatty(), environ=os.environ, no_color=no_color)


def say(text: str) -> None:
    """Progress, notes and diagnostics go to stderr: stdout is the product."""
    sys.stderr.write(text)
    sys.stderr.flush()


def secret_reader(stack_path: str) -> SecretReader:
    return SecretReader(os.environ, Path(stack_path).resolve().parent)


def read_stack(path: str, *, with_secrets: bool = True) -> tuple[Desired | None, list[Diagnostic]]:
    """The stack as a value, and all that is wrong with the file."""
    from cortexctl.stack.load import UnresolvedSecret, load_stack

    reader = secret_reader(path)

    def value(source: str, key: str) -> str:
        try:
            return reader.read(source, key)
        except SecretUnresolved as cause:
            raise UnresolvedSecret(cause.message) from cause

    docker = os.environ.get("DOCKER_HOST") or DEFAULT_DOCKER
    return load_stack(path, default_docker=docker, secret_value=value if with_secrets else None)


def need_stack(path: str, *, with_secrets: bool = True) -> Desired:
    """The stack, or the end: its problems are shown. Warnings are shown and do not stop."""
    desired, found = read_stack(path, with_secrets=with_secrets)
    if desired is None:
        say(diagnostics_text(found, ink("stderr")) + "\n")
        errors = sum(d.is_error for d in found)
        raise BadStack(f"{path}: {errors} {'problem' if errors == 1 else 'problems'}; nothing was changed")
    if found:
        say(diagnostics_text(found, ink("stderr")) + "\n")
    return desired


def make_plan(
    desired: Desired, engines: DockerEngines, *, destroy: bool = False, unprotect: Collection[str] = ()
) -> Plan:
    """Look at the hosts, look up the images that will be needed, plan."""
    observed = observe(desired.hosts)
    wanted = () if destroy else images_needed(desired, observed)
    observed = observed.with_images(engines.images(wanted))
    return plan(desired, observed, destroy=destroy, unprotect=unprotect)


def open_engines(desired: Desired) -> DockerEngines:
    return DockerEngines({h.name: h for h in desired.hosts}, desired.stack)


def new_run() -> str:
    """A short id for the labels of what this run makes."""
    return secrets.token_hex(4)


def who_we_are(run: str) -> LockInfo:
    """What others read in the lock. The owner's id is ours alone; times are filled in when it is taken."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return LockInfo(secrets.token_hex(8), user, socket.gethostname(), os.getpid(), run, 0, 0)


def performer(stack: str, stack_path: str, engines: DockerEngines, run: str) -> Performer:
    """The one that carries out steps, with the real adapters."""
    from cortexctl import __version__
    from cortexctl.apply.perform import Performer
    from cortexctl.health.probe import HttpProber
    from cortexctl.spec import labels

    marks = {labels.RUN: run, labels.VERSION: __version__}
    return Performer(stack, engines, HttpProber(), secret_reader(stack_path), SystemClock(), marks)
