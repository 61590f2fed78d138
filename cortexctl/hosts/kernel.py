"""Facts about a container from this machine's kernel: whether it runs here, and whether a connection ends in it.

The daemon's answer is not enough: its socket may be forwarded, and then its container's address belongs to another
machine here. The kernel shows both facts to every user, in proc(5).
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

LISTEN, ESTABLISHED = "0A", "01"
_ATTEMPTS, _AGAIN = 20, 0.01
"""How often the other end of a connection is searched, and the seconds between: it may appear a moment later."""

Address = tuple[str, int]


def runs_here(pid: int, container: str) -> bool:
    """Whether that process of this machine is in that container. The id is 64 random digits and names the control
    group, so that no other process shows it by chance.
    """
    try:
        return pid > 0 and container.encode() in Path(f"/proc/{pid}/cgroup").read_bytes()
    except OSError:
        return False


def has_address(address: str) -> bool:
    """Whether an IPv4 address is one of this machine's own."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind((address, 0))
    except (OSError, ValueError):
        return False
    return True


def listens(pid: int, address: str, port: int) -> bool | None:
    """Whether a process listens at that address and port in the process's own network; None if that cannot be
    determined.
    """
    open_at = _sockets(pid)
    if open_at is None:
        return None
    any_address = {address, "0.0.0.0", "::"}  # noqa: S104
    return any(state == LISTEN and local[1] == port and local[0] in any_address for local, _, state in open_at)


def ends_in(pid: int, ours: Address, theirs: Address) -> bool:
    """Whether the other end of our connection is in the process's own network: both addresses must appear there."""
    for _ in range(_ATTEMPTS):
        if (theirs, ours, ESTABLISHED) in (_sockets(pid) or ()):
            return True
        time.sleep(_AGAIN)
    return False


def _sockets(pid: int) -> list[tuple[Address, Address, str]] | None:
    """(local, remote, state) of all TCP sockets of the network that a process is in."""
    folder = Path(f"/proc/{pid}/net")
    try:
        texts = [(folder / "tcp").read_text()]
        with suppress(FileNotFoundError):  # a kernel without IPv6 has none
            texts.append((folder / "tcp6").read_text())
    except OSError:
        return None
    return [entry for text in texts for entry in _entries(text)]


def _entries(text: str) -> Iterator[tuple[Address, Address, str]]:
    for line in text.splitlines()[1:]:
        _, local, remote, state, *_ = line.split()
        yield _address(local), _address(remote), state


def _address(text: str) -> Address:
    """`0100007F:1F90` -> ("127.0.0.1", 8080). Words of 32 bits in the machine's own order. IPv4 inside IPv6 is IPv4."""
    packed, _, port = text.partition(":")
    raw = b"".join(int(packed[i : i + 8], 16).to_bytes(4, sys.byteorder) for i in range(0, len(packed), 8))
    if len(raw) == 16 and raw.startswith(b"\0" * 10 + b"\xff\xff"):
        raw = raw[12:]
    family = socket.AF_INET if len(raw) == 4 else socket.AF_INET6
    return socket.inet_ntop(family, raw), int(port, 16)
