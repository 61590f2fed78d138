"""A host's lock: a volume with the owner in its labels.

The daemon creates a volume once and gives later callers the first one's labels, so the run that reads back the id that
it wrote holds the lock. It needs no image and no process.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from cortexctl.instance.labels import PREFIX, owner_labels
from cortexctl.observed.lock_holder import LockInfo

_LOCK = PREFIX + "lock."
LONGEST_NUMBER = 12
"""Digits: more than any pid has, and any time in seconds for thousands of years."""
LONGEST_TEXT = 200
LARGEST_PID = 2**31 - 1
"""The kernel's largest pid. 0 and below are groups of processes."""


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


def from_labels(labels: Mapping[str, object]) -> LockInfo:
    """Accepts any labels: a field that is missing or not a number is not known. Nothing can be proven about such a
    holder.
    """
    number, text = partial(_number, labels), partial(_text, labels)
    return LockInfo(
        owner=text("owner", ""),
        who=text("who", "somebody"),
        machine=text("machine", "an unknown machine"),
        pid=number("pid") or 0,
        run=text("run", "unknown"),
        started=number("started") or 0,
        expires=number("expires"),
        born=text("born", ""),
    )


def _number(labels: Mapping[str, object], key: str) -> int | None:
    text = labels.get(_LOCK + key)
    is_one = isinstance(text, str) and len(text) <= LONGEST_NUMBER and text.isascii() and text.isdigit()
    return int(str(text)) if is_one else None


def _text(labels: Mapping[str, object], key: str, otherwise: str) -> str:
    """Cut, because anyone may have written it; and without surrogate characters, which terminals reject."""
    text = labels.get(_LOCK + key)
    return text[:LONGEST_TEXT].encode(errors="replace").decode() if isinstance(text, str) else otherwise


def this_machine() -> str:
    """Host name, boot and process namespace: only there can a pid be looked up. Machines that were created from one
    image share the first, and every Linux gives its first namespace the same number; two containers of a CI share the
    first two. A part that /proc does not show is empty: such a machine matches none.
    """
    return f"{socket.gethostname()}#{_boot()}#{_space()}"


def runs_here(holder: LockInfo) -> bool:
    """Whether its pid can be looked up: the lock was taken on this very machine, without doubt about which machine that
    is.
    """
    return holder.machine == this_machine() and all((_boot(), _space()))


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (OSError, ValueError):
        return ""


def _space() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink()).strip("pid:[]")
    except OSError:
        return ""


def born(pid: int) -> str:
    """The start time of a process of this machine (proc(5), the 22nd field); empty if it is not known."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError, ValueError):
        return ""


def is_dead(holder: LockInfo, now: int) -> bool:
    """Whether the holder is provably gone: its process ran on this machine and is gone, or it ran on another or an
    unknown machine and its time has expired. If neither can be read, nothing is proven. `now`: by the daemon's clock.
    """
    if not runs_here(holder) or not 1 <= holder.pid <= LARGEST_PID:
        return holder.expires is not None and now >= holder.expires
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return bool(holder.born) and born(holder.pid) not in {"", holder.born}
