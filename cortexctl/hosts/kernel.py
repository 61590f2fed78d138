"""Facts about a container from this machine's kernel: whether it runs here, and whether a connection ends in it.

The daemon's answer is not enough: its socket may be forwarded, and then its container's address belongs to another
machine here. The kernel shows both facts to every user, in proc(5).
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterable, Iterator
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


def listens(pid: int, addresses: Iterable[str], port: int) -> dict[str, bool] | None:
    """For each address whether a process listens at it and that port, in the process's own network; None if that cannot
    be determined. The tables are read once.
    """
    tables = _tables(pid)
    if tables is None:
        return None
    at_port = f":{port:04X}"
    open_at = {_address(local)[0] for local, _, state in _rows(tables) if state == LISTEN and local.endswith(at_port)}
    on_all = not open_at.isdisjoint({"0.0.0.0", "::"})  # noqa: S104
    return {address: on_all or address in open_at for address in addresses}


def ends_in(pid: int, ours: Address, theirs: Address) -> bool:
    """Whether the other end of our connection is in the process's own network: both addresses must appear there."""
    ports = f":{theirs[1]:04X}", f":{ours[1]:04X}"
    for _ in range(_ATTEMPTS):
        for local, remote, state in _rows(_tables(pid) or ()):
            is_between = state == ESTABLISHED and local.endswith(ports[0]) and remote.endswith(ports[1])
            if is_between and (_address(local), _address(remote)) == (theirs, ours):
                return True
        time.sleep(_AGAIN)
    return False


def _tables(pid: int) -> list[str] | None:
    """The texts with all TCP sockets of the network that a process is in."""
    folder = Path(f"/proc/{pid}/net")
    try:
        texts = [(folder / "tcp").read_text(encoding="ascii")]
        with suppress(FileNotFoundError):  # a kernel without IPv6 has none
            texts.append((folder / "tcp6").read_text(encoding="ascii"))
    except OSError:
        return None
    return texts


def _rows(tables: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """(local, remote, state) of each socket, as the kernel writes them."""
    for text in tables:
        for line in text.splitlines()[1:]:
            _, local, remote, state, *_ = line.split(maxsplit=4)
            yield local, remote, state


def _address(text: str) -> Address:
    """`0100007F:1F90` -> ("127.0.0.1", 8080). Words of 32 bits in the machine's own order. IPv4 inside IPv6 is IPv4."""
    packed, _, port = text.partition(":")
    raw = b"".join(int(packed[i : i + 8], 16).to_bytes(4, sys.byteorder) for i in range(0, len(packed), 8))
    if len(raw) == 16 and raw.startswith(b"\0" * 10 + b"\xff\xff"):
        raw = raw[12:]
    family = socket.AF_INET if len(raw) == 4 else socket.AF_INET6
    return socket.inet_ntop(family, raw), int(port, 16)
