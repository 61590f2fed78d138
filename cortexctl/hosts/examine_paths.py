"""What can be known about the paths to servers on a host before a container runs there. Nothing is created."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from cortexctl.errors import DaemonError
from cortexctl.hosts import kernel
from cortexctl.hosts.http import exchange, get_json
from cortexctl.hosts.transport import Connection, Forwarder
from cortexctl.observed.daemon_json import GATEWAYS
from cortexctl.observed.host_paths import FORBIDS_FORWARDS, NO_BRIDGE_HERE, NO_DIRECT_PATH, PathFacts

REFUSALS = {401, 403, 405, 501}
"""Statuses of a daemon, or of a proxy before it, that will never run a program. Another one is about the request."""
CLOSED_PORT = ("127.0.0.1", 1)
"""Of the host. Whether something listens there does not matter: only whether ssh may try it."""
ANSWERS = 5.0
"""Seconds for ssh to report that it cannot open a connection."""


def path_facts(at: Connection, *, tests_exec: bool) -> PathFacts:
    """`tests_exec`: with a request that is not a read, although it changes nothing. Raises DaemonError if the daemon
    does not answer.
    """
    direct, problem = _direct(at)
    return PathFacts(at.host.reach, _exec_problem(at) if tests_exec else None, direct, problem)


def _exec_problem(at: Connection) -> str:
    """A program in a container that does not exist: a daemon that runs programs answers that there is none."""
    body = json.dumps({"AttachStdout": True, "Cmd": ["true"]}).encode()
    answer = exchange(at.transport, "POST", f"/containers/{secrets.token_hex(32)}/exec", body=body)
    if answer.status in REFUSALS:
        return f"the daemon refuses to run programs in containers (status {answer.status})"
    return ""


def _direct(at: Connection) -> tuple[str, str]:
    """(the way to a container's own address, why it does not work)."""
    if at.transport.forwarder is not None:
        return "over ssh", FORBIDS_FORWARDS if _is_forbidden(at.transport.forwarder) else ""
    if not at.url.startswith("unix://"):
        return "", NO_DIRECT_PATH
    with suppress(DaemonError):
        gateways = [entry["Gateway"] for network in get_json(at, "/networks", GATEWAYS) for entry in _entries(network)]
        if gateways and not any(kernel.has_address(address) for address in gateways):
            return "on this machine", NO_BRIDGE_HERE
    return "on this machine", ""


def _entries(network: Mapping[str, Any]) -> list[Mapping[str, str]]:
    return [entry for entry in (network.get("IPAM") or {}).get("Config") or () if entry.get("Gateway")]


def _is_forbidden(forwarder: Forwarder) -> bool:
    address, port = CLOSED_PORT
    with suppress(OSError), forwarder.connect_to(address, port, ANSWERS) as connection:
        connection.recv(1)
    forwarder.cancel(address, port)
    return forwarder.is_forbidden()
