"""A host's lock: a volume with the owner in its labels.

The engine makes a volume once and gives later callers the first one's labels, so whoever reads back the id
that it wrote holds the lock. It needs no image and no process.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

from cortexctl.observed.state import LockInfo
from cortexctl.spec.labels import PREFIX, owner_labels

_LOCK = PREFIX + "lock."


def volume_name(whose: str) -> str:
    return f"cortexctl-lock-{whose.replace('@', '--')}"


def to_labels(whose: str, info: LockInfo) -> dict[str, str]:
    return {
        **owner_labels(whose),
        _LOCK + "owner": info.owner,
        _LOCK + "who": info.who,
        _LOCK + "machine": info.machine,
        _LOCK + "pid": str(info.pid),
        _LOCK + "run": info.run,
        _LOCK + "started": str(info.started),
        _LOCK + "expires": str(info.expires),
        **({_LOCK + "born": info.born} if info.born else {}),
    }


def from_labels(found: Mapping[str, str]) -> LockInfo:
    """What is missing or no number reads as nobody and long ago: such a lock has expired."""

    def number(key: str) -> int:
        text = found.get(_LOCK + key, "")
        return int(text) if text.isascii() and text.isdigit() else 0

    return LockInfo(
        owner=found.get(_LOCK + "owner", ""),
        who=found.get(_LOCK + "who", "somebody"),
        machine=found.get(_LOCK + "machine", "an unknown machine"),
        pid=number("pid"),
        run=found.get(_LOCK + "run", "unknown"),
        started=number("started"),
        expires=number("expires"),
        born=found.get(_LOCK + "born", ""),
    )


def this_machine() -> str:
    """Host name and process-number space: only there can a pid be looked up. Two containers of a CI may share the
    first, and then they have different ones of the second.
    """
    try:
        space = str(Path("/proc/self/ns/pid").readlink()).strip("pid:[]")
    except OSError:
        space = ""
    return f"{socket.gethostname()}#{space}"


def born(pid: int) -> str:
    """When a process of this machine began (proc(5), the 22nd field); empty where nobody tells."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def is_dead(holder: LockInfo, now: int) -> bool:
    """Provably: its process ran on this machine and is gone, or it ran on another and its time is over. `now`: by the
    engine's clock.
    """
    if holder.machine != this_machine():
        return now >= holder.expires
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return bool(holder.born) and born(holder.pid) not in {"", holder.born}
