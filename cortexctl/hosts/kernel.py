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

PIECE = 64 * 1024
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
    be determined.
    """
    wanted, at_port = tuple(addresses), f":{port:04X}"
    open_at: set[str] = set()
    try:
        for local, _, state in _sockets(pid):
            if state == LISTEN and local.endswith(at_port):
                open_at.add(_address(local)[0])
                if not open_at.isdisjoint({"0.0.0.0", "::"}):  # noqa: S104
                    return dict.fromkeys(wanted, True)
    except OSError:
        return None
    return {address: address in open_at for address in wanted}


def ends_in(pid: int, ours: Address, theirs: Address) -> bool:
    """Whether the other end of our connection is in the process's own network: both addresses must appear there."""
    for _ in range(_ATTEMPTS):
        with suppress(OSError):
            if any(_is_between(entry, theirs, ours) for entry in _sockets(pid)):
                return True
        time.sleep(_AGAIN)
    return False


def _is_between(entry: tuple[str, str, str], local: Address, remote: Address) -> bool:
    """Whether it is an open connection between these addresses."""
    here, there, state = entry
    if state != ESTABLISHED or not here.endswith(f":{local[1]:04X}") or not there.endswith(f":{remote[1]:04X}"):
        return False
    return (_address(here), _address(there)) == (local, remote)


def _sockets(pid: int) -> Iterator[tuple[str, str, str]]:
    """(local, remote, state) of all TCP sockets of the network that a process is in, as the kernel writes them. It
    searches its whole table for each piece that is read: so a caller stops as soon as it can. Raises OSError.
    """
    folder = Path(f"/proc/{pid}/net")
    yield from _entries(folder / "tcp")
    if (ipv6 := folder / "tcp6").exists():  # a kernel without IPv6 has none
        yield from _entries(ipv6)


def _entries(path: Path) -> Iterator[tuple[str, str, str]]:
    with path.open("rb", buffering=0) as file:
        rest, is_title = b"", True
        while piece := file.read(PIECE):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                if not is_title:
                    local, remote, state = line.decode("ascii").split(maxsplit=4)[1:4]
                    yield local, remote, state
                is_title = False


def _address(text: str) -> Address:
    """`0100007F:1F90` -> ("127.0.0.1", 8080). Words of 32 bits in the machine's own order. IPv4 inside IPv6 is IPv4."""
    packed, _, port = text.partition(":")
    raw = b"".join(int(packed[i : i + 8], 16).to_bytes(4, sys.byteorder) for i in range(0, len(packed), 8))
    if len(raw) == 16 and raw.startswith(b"\0" * 10 + b"\xff\xff"):
        raw = raw[12:]
    family = socket.AF_INET if len(raw) == 4 else socket.AF_INET6
    return socket.inet_ntop(family, raw), int(port, 16)
