"""Runs one hook: a command in its own process group, or a POST. Both get the same event."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

from cortexctl.dataclass import dataclass
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
"""The fields of every hook's event; a field without a value at that hook point is empty."""
LINES, LINE_WIDTH, TAIL = 20, 300, 64 * 1024
"""What is kept of a command's output: this many lines, this many characters of each, from this many bytes at the end.
"""
GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL for a command that exceeded its timeout."""


@dataclass(frozen=True, slots=True)
class HookRunner:
    """Implements `apply.protocols.RunsHook`. `folder` is the stack's folder; `hidden` are all secrets that a command's
    output could contain.
    """

    folder: Path
    environ: Mapping[str, str]
    secret: Callable[[SecretRef], str]
    hidden: tuple[SecretRef, ...]
    now: Callable[[], float]

    def __call__(self, hook: Hook, facts: Mapping[str, str]) -> None:
        """Raises HookFailed."""
        event = {name: facts.get(name, "") for name in FACTS}
        event["failure"] = masked(event["failure"], self._hidden()) if event["failure"] else ""
        if hook.command:
            self._command(hook, event)
        else:
            self._post(hook, event)

    def _command(self, hook: Hook, event: Mapping[str, str]) -> None:
        values = {s.name: self.secret(s) for s in hook.secrets}
        with tempfile.TemporaryFile() as output:
            try:
                process = subprocess.Popen(
                    hook.command,
                    cwd=self.folder,
                    env={**self._inherited(hook), **_variables(event), **values},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # one process group to end; a Ctrl-C at the terminal does not reach it
                )
            except (OSError, ValueError) as cause:
                reason = cause.strerror if isinstance(cause, OSError) else str(cause)
                raise _failed(hook, f"{hook.command[0]} cannot be run in {self.folder}: {reason}") from None
            try:
                code = process.wait(hook.timeout)
            except subprocess.TimeoutExpired:
                _end(process)
                raise _failed(hook, f"it did not finish in {hook.timeout} s", self._last(output, values)) from None
            if code:
                status = f"exit code {code}" if code > 0 else f"killed by signal {-code}"
                raise _failed(hook, status, self._last(output, values))

    def _inherited(self, hook: Hook) -> dict[str, str]:
        """Our own environment, as any child process gets it, without the variables of the stack's secrets and the key
        that signs our reports.
        """
        kept_back = {*hook.withheld, SECRET}
        return {name: value for name, value in self.environ.items() if name not in kept_back}

    def _last(self, output: IO[bytes], values: Mapping[str, str]) -> tuple[str, ...]:
        """The last lines. A line that begins before the tail is omitted: half a secret would not be recognised."""
        size = output.seek(0, os.SEEK_END)
        output.seek(max(size - TAIL, 0))
        text = output.read().decode("utf-8", "replace")
        if size > TAIL:
            text = text.partition("\n")[2]
        lines = masked(text, [*values.values(), *self._hidden()]).splitlines()
        return tuple(line if len(line) <= LINE_WIDTH else line[: LINE_WIDTH - 1] + "…" for line in lines[-LINES:])

    def _hidden(self) -> list[str]:
        secrets = []
        for reference in self.hidden:
            with suppress(CortexctlError):
                secrets.append(self.secret(reference))
        return secrets

    def _post(self, hook: Hook, event: Mapping[str, str]) -> None:
        url = self.secret(hook.url_from) if hook.url_from else hook.url
        body = json_text({"format_version": FORMAT_VERSION, "text": _sentence(event), **event})
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


def _variables(event: Mapping[str, str]) -> dict[str, str]:
    """As CORTEXCTL_* variables; NUL is removed because no variable can hold it."""
    return {f"CORTEXCTL_{name.upper()}": value.replace("\0", "") for name, value in event.items()}


def _sentence(event: Mapping[str, str]) -> str:
    """For people: chat services show the field `text` of a post."""
    stack = event["stack"] + (f" ({event['env']})" if event["env"] else "")
    what = " ".join(word for word in (event["action"], event["address"]) if word)
    ended = f": {event['outcome']}" if event["outcome"] else ""
    reason = f" ({event['failure']})" if event["failure"] else ""
    return f"cortexctl {stack}: {event['on']} {what}{ended}{reason}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the command and all processes that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _failed(hook: Hook, reason: str, output: tuple[str, ...] = ()) -> HookFailed:
    return HookFailed(f"the hook {hook.name} ({hook.on}) failed: {reason}", output=output)
