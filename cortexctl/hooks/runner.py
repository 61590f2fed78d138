"""One hook, run: a command in its own process group, or a POST. What it is told is the same for both."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cortexctl.desired.hook import Hook
from cortexctl.errors import CortexctlError, HookFailed, NotifyFailed, UsageError
from cortexctl.hooks.notify import SECRET, destination, notify
from cortexctl.instance.secret import masked
from cortexctl.instance.spec import SecretRef
from cortexctl.text.json_text import json_text

FORMAT_VERSION = "1.0"
FACTS = (
    "hook",
    "on",
    "stack",
    "env",
    "run",
    "revision",
    "host",
    "model",
    "address",
    "action",
    "generation",
    "reason",
    "endpoint",
    "failure",
    "outcome",
)
"""What every hook is told; what is not known at its point is empty."""
LINES, LINE_WIDTH, TAIL = 20, 300, 64 * 1024
"""Kept of what a command says: so many lines, characters of each, out of so many bytes at the end."""
GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL for a command that was not done in time."""


@dataclass(frozen=True, slots=True)
class HookRunner:
    """Implements `apply.protocols.RunsHook`. `folder` is the stack's; `hidden` are all secrets that may show in what a
    command says.
    """

    folder: Path
    environ: Mapping[str, str]
    secret: Callable[[SecretRef], str]
    hidden: tuple[SecretRef, ...]
    now: Callable[[], float]

    def __call__(self, hook: Hook, facts: Mapping[str, str]) -> None:
        """Raises HookFailed."""
        told = {name: facts.get(name, "") for name in FACTS}
        told["failure"] = masked(told["failure"], self._hidden()) if told["failure"] else ""
        if hook.command:
            self._command(hook, told)
        else:
            self._post(hook, told)

    def _command(self, hook: Hook, told: Mapping[str, str]) -> None:
        values = {s.name: self.secret(s) for s in hook.secrets}
        with tempfile.TemporaryFile() as said:
            try:
                process = subprocess.Popen(
                    hook.command,
                    cwd=self.folder,
                    env={**self._inherited(hook), **_variables(told), **values},
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # one group to end, and a Ctrl-C at the terminal is not its business
                )
            except (OSError, ValueError) as cause:
                why = cause.strerror if isinstance(cause, OSError) else str(cause)
                raise _failed(hook, f"{hook.command[0]} cannot be run in {self.folder}: {why}") from None
            try:
                code = process.wait(hook.timeout)
            except subprocess.TimeoutExpired:
                _end(process)
                raise _failed(hook, f"it was not done in {hook.timeout} s", self._last(said, values)) from None
            if code:
                how = f"exit code {code}" if code > 0 else f"killed by signal {-code}"
                raise _failed(hook, how, self._last(said, values))

    def _inherited(self, hook: Hook) -> dict[str, str]:
        """Our own environment, as any child gets it, less where the stack's secrets are and what signs our reports."""
        kept_back = {*hook.withheld, SECRET}
        return {name: value for name, value in self.environ.items() if name not in kept_back}

    def _last(self, said: IO[bytes], values: Mapping[str, str]) -> tuple[str, ...]:
        """The last lines. What begins before the tail is left out whole: half a secret could not be found in it."""
        size = said.seek(0, os.SEEK_END)
        said.seek(max(size - TAIL, 0))
        text = said.read().decode("utf-8", "replace")
        if size > TAIL:
            text = text.partition("\n")[2]
        lines = masked(text, [*values.values(), *self._hidden()]).splitlines()
        return tuple(line if len(line) <= LINE_WIDTH else line[: LINE_WIDTH - 1] + "…" for line in lines[-LINES:])

    def _hidden(self) -> list[str]:
        found = []
        for reference in self.hidden:
            with suppress(CortexctlError):
                found.append(self.secret(reference))
        return found

    def _post(self, hook: Hook, told: Mapping[str, str]) -> None:
        url = self.secret(hook.url_from) if hook.url_from else hook.url
        body = json_text({"format_version": FORMAT_VERSION, "text": _sentence(told), **told})
        try:
            notify(
                destination(url, "a hook's url"),
                body.encode("utf-8", "replace"),
                secret=self.environ.get(SECRET, ""),
                timestamp=int(self.now()),
                within=hook.timeout,
            )
        except (NotifyFailed, UsageError) as cause:
            raise _failed(hook, cause.message) from None


def _variables(told: Mapping[str, str]) -> dict[str, str]:
    """As CORTEXCTL_*; no variable can hold a NUL."""
    return {f"CORTEXCTL_{name.upper()}": value.replace("\0", "") for name, value in told.items()}


def _sentence(told: Mapping[str, str]) -> str:
    """For people: chat services show the `text` of what is posted to them."""
    stack = told["stack"] + (f" ({told['env']})" if told["env"] else "")
    what = " ".join(word for word in (told["action"], told["address"]) if word)
    ended = f": {told['outcome']}" if told["outcome"] else ""
    why = f" ({told['failure']})" if told["failure"] else ""
    return f"cortexctl {stack}: {told['on']} {what}{ended}{why}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """The command and all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _failed(hook: Hook, why: str, output: tuple[str, ...] = ()) -> HookFailed:
    return HookFailed(f"the hook {hook.name} ({hook.on}) failed: {why}", output=output)
