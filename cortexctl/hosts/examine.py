"""Reads the facts about a host itself: its daemon, transport, clock and folders. Nothing is created."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from statistics import median

from cortexctl.errors import DaemonError
from cortexctl.hosts.archive import is_empty_folder
from cortexctl.hosts.examine_paths import path_facts
from cortexctl.hosts.http import Answer, get, get_json
from cortexctl.hosts.read import observe_host
from cortexctl.hosts.transport import Connection
from cortexctl.observed.daemon_json import DAEMON, SYSTEM
from cortexctl.observed.host import ObservedHost
from cortexctl.observed.host_facts import DaemonFacts, FolderFacts, HostFacts, parse_daemon
from cortexctl.observed.model_mounts import folder_paths

PINGS = 5
"""Requests whose median duration is reported."""


def host_facts(at: Connection, folders: Mapping[str, str], *, probes: bool = False) -> HostFacts:
    """`folders`: key -> path on the host. `probes`: also by requests that are not reads. A host that cannot be read has
    its problem in the result.
    """
    try:
        daemon = _daemon(at)
        round_trip, offset = _timing(at)
        containers = observe_host(at)
        paths = path_facts(at, tests_exec=probes)
    except DaemonError as cause:
        return HostFacts(
            at.name, at.host.docker, at.url, at.transport.kind, problem=cause.message, next_step=cause.next_step
        )
    return HostFacts(
        at.name,
        at.host.docker,
        at.url,
        at.transport.kind,
        daemon,
        round_trip,
        offset,
        tuple(_folder(at, containers, key, path) for key, path in folders.items()),
        containers.problem,
        containers.next_step,
        paths,
    )


def _daemon(at: Connection) -> DaemonFacts:
    answer = get(at.transport, "/version", DAEMON)
    return parse_daemon(answer.content, get_json(at, "/info", SYSTEM), answer.daemon)


def _timing(at: Connection) -> tuple[float, float | None]:
    """The round-trip time of a request, and the offset of the daemon's clock, both in seconds. A daemon's time has
    whole seconds: the smallest offset counts that agrees with all answers.
    """
    durations, lowest, highest = [], -float("inf"), float("inf")
    for _ in range(PINGS):
        before, started = time.time(), time.monotonic()
        answer = get(at.transport, "/_ping")
        durations.append(time.monotonic() - started)
        theirs = _date(answer)
        if theirs is not None:
            lowest, highest = max(lowest, theirs - time.time()), min(highest, theirs + 1 - before)
    if highest == float("inf"):
        return median(durations), None
    return median(durations), min(max(0.0, lowest), highest)


def _date(answer: Answer) -> float | None:
    try:
        return parsedate_to_datetime(answer.date).timestamp()
    except (ValueError, OverflowError):
        return None


def _folder(at: Connection, seen: ObservedHost, key: str, path: str) -> FolderFacts:
    """Through the first container that mounts it and can be read."""
    problem = ""
    names = {container.id: container.name for container in seen.containers}
    for container, inside in folder_paths(path, seen):
        try:
            is_empty = is_empty_folder(at.transport, container, inside)
        except DaemonError as cause:  # it may have been removed meanwhile
            problem = cause.message
            continue
        if is_empty is None:
            return FolderFacts(key, path, "missing", names[container])
        return FolderFacts(key, path, "empty" if is_empty else "readable", names[container])
    return FolderFacts(key, path, detail=problem)
