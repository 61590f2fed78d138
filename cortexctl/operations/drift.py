"""Observe the hosts in detail, find the drift, and notify a receiver."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from functools import partial

from cortexctl import __version__
from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Desired
from cortexctl.hooks.notify import SECRET, Destination, destination, notify
from cortexctl.hosts.lock import is_dead
from cortexctl.observe.drift_observer import DriftObserver
from cortexctl.observed.health import Answer
from cortexctl.operations.connections import Connections, OpenHosts, open_hosts
from cortexctl.operations.image_release import read_with_releases
from cortexctl.operations.notes import Note, warning
from cortexctl.operations.read_stack import SecretMode, StackReader
from cortexctl.operations.results import Durations
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.plan.drift.finding import DriftReport
from cortexctl.plan.drift.report import EVERYTHING, DriftSelection, find_drift
from cortexctl.plan.drift.servers import Server


@dataclass(frozen=True, slots=True)
class DriftInputs:
    """`deep`: inspect every container, too. `health_timeout`: seconds for a server's answer; None: no health check."""

    selection: DriftSelection
    deep: bool
    health_timeout: float | None


def read_for_drift(
    stack: str,
    choice: StackChoice,
    *,
    review: bool,
    connections: Connections | None = None,
    only: DriftSelection = EVERYTHING,
) -> Desired:
    """Without its warnings: they are for the author of the file, not for the mail of a cron job. A secret without a
    value here is not compared. `connections`: of the run. Raises BadStack.
    """
    secrets = SecretMode.REVIEW if review else SecretMode.LENIENT
    return read_with_releases(StackReader(stack, choice, secrets), connections, only).usable


def report_drift(
    desired: Desired, inputs: DriftInputs, connections: Connections | None = None
) -> tuple[DriftReport, Durations]:
    """Changes nothing. `connections`: of the run."""
    began, at = time.monotonic(), int(time.time())
    with open_hosts(desired, connections, locates=True) as hosts:
        timeout, here = inputs.health_timeout, inputs.selection.hosts_of(desired)
        query_servers = partial(_health, hosts, timeout) if timeout is not None else None
        observer = DriftObserver(
            here, inputs.selection, hosts, query_servers, is_dead, __version__, inputs.deep, hosts.watch
        )
        observed, facts = observer.observe()
    report = find_drift(desired, observed, facts, inputs.selection)
    return report, Durations(at, time.monotonic() - began)


def open_destination(url: str | None) -> tuple[Destination | None, tuple[Note, ...]]:
    """Before anything is read, so that a wrong URL is reported at once. Raises UsageError."""
    if not url:
        return None, ()
    to = destination(url)
    text = f"findings are sent to {to.origin} unencrypted; use https"
    return to, (warning(text),) if to.is_plain else ()


def send(to: Destination, body: bytes) -> None:
    """Raises NotifyFailed."""
    notify(to, body, secret=os.environ.get(SECRET, ""), timestamp=int(time.time()))


def _health(hosts: OpenHosts, seconds: float, servers: Sequence[Server]) -> dict[tuple[str, str], Answer]:
    from cortexctl.health.health_check import query_all

    hosts.watch.begins([s.host for s in servers], "servers")
    reaches = {s.key: (hosts.reach(s.host, s.container, s.listed, s.port), s.health) for s in servers}
    return query_all(reaches, seconds, lambda key: hosts.watch.answered(key[0]))
