"""Opens the daemons of hosts, for all use cases."""

from __future__ import annotations

from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from cortexctl.desired.stack import Desired
from cortexctl.hosts import fleet
from cortexctl.waiting import UNWATCHED, Watch

if TYPE_CHECKING:
    from cortexctl.plan.model import Plan

Connections: TypeAlias = fleet.Connections
OpenHosts: TypeAlias = fleet.DockerDaemons
"""Hosts with open connections, for reading and for changes."""


def run_connections(watch: Watch = UNWATCHED) -> AbstractContextManager[Connections]:
    """The connections of a run that opens its hosts more than once; closed at the end, also when a command refuses.
    `watch`: receives who is asked.
    """
    return closing(fleet.Connections(watch))


def open_hosts(
    desired: Desired, connections: Connections | None = None, *, locates: bool = False
) -> AbstractContextManager[OpenHosts]:
    """The stack's hosts. All connections are closed at the end, also when a command refuses, except those of
    `connections`. `locates`: whether they are observed with the locations of their servers.
    """
    return fleet.open_hosts(desired.hosts, desired.owner, Path(desired.path).parent, connections, locates=locates)


def open_hosts_of_plan(plan: Plan, connections: Connections | None = None) -> AbstractContextManager[OpenHosts]:
    """The same for the hosts of a saved plan."""
    hosts = [planned.host for planned in plan.hosts]
    return fleet.open_hosts(hosts, plan.owner, Path(plan.stack_path).parent, connections)
