"""What ssh writes when it fails, as one sentence with the next step."""

from __future__ import annotations

import os
import re
import shlex

from cortexctl.errors import DaemonForbidden, DaemonUnreachable
from cortexctl.text.shorten import shortened

_CHANNEL = re.compile(r"channel \d+: open failed: (?P<kind>[^:\r\n]+)(?:: (?P<detail>[^\r\n]+))?")
_NOISE = re.compile(r"^(Warning: |Pseudo-terminal |\*\*|@|debug\d: |Connection to .* closed|\s*$)")


def ssh_failure(host: str, errors: str, *, command: str, known_as: str) -> DaemonUnreachable | DaemonForbidden:
    """The error for an ssh process that ended. `errors`: its error output. `command`: the same login in a shell.
    `known_as`: the host in known_hosts.
    """
    first = f"no ssh connection to {host}: "
    if "REMOTE HOST IDENTIFICATION HAS CHANGED" in errors:
        return DaemonForbidden(
            first + "its host key is not the one in known_hosts: it was set up again, or it is another machine",
            next_step="find out which; if it is the right machine, forget the old key and accept the new one: "
            f"ssh-keygen -R {shlex.quote(known_as)} && {command}",
        )
    if "Host key verification failed" in errors:
        return DaemonForbidden(
            first + "its host key is not in known_hosts",
            next_step=f"in a pipeline, add the key to known_hosts; here, compare the key and accept it once: {command}",
        )
    if refused := re.search(r"Permission denied \(([^)\r\n]*)\)", errors):
        no_agent = "; no ssh agent runs here (SSH_AUTH_SOCK is not set), and a key with a passphrase needs one"
        agent = "" if os.environ.get("SSH_AUTH_SOCK") else no_agent
        return DaemonForbidden(
            first + f"it accepts none of our keys (it allows: {refused[1]}){agent}",
            next_step="ssh-add -l lists the keys of the agent; to see which keys were tried: "
            + command.replace("ssh", "ssh -v", 1),
        )
    return DaemonUnreachable(first + (last_line(errors) or "ssh ended"), next_step=f"{command} docker info")


def channel_refusal(errors: str) -> str:
    """Why the server did not connect to the socket, by its last refusal; empty if it refused nothing."""
    refusals = [m["detail"] or m["kind"] for m in _CHANNEL.finditer(errors)]
    return shortened(refusals[-1].lower()) if refusals else ""


def is_forwarding_refused(errors: str) -> bool:
    """Whether the forward does not work, for a reason that a program on the server does not have: the server forbids
    it, or the user's daemon has another socket.
    """
    return bool(_CHANNEL.search(errors))


def is_forbidden(errors: str) -> bool:
    """Whether the server refused a connection because its settings forbid it."""
    return any(m["kind"] == "administratively prohibited" for m in _CHANNEL.finditer(errors))


def last_line(errors: str) -> str:
    """The last line with a fact in it."""
    lines = [line.strip() for line in errors.splitlines() if not _NOISE.match(line)]
    return shortened(lines[-1]) if lines else ""
