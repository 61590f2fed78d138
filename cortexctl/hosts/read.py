"""Looking at hosts: one GET a host, with the standard library. There is nothing here that could write.

docker-py would need 40 times the CPU for it (and a quarter of a second to import).
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any

from cortexctl.decoding.readers import NotAsExpected, Reader
from cortexctl.desired.stack import Host
from cortexctl.errors import DaemonError, DaemonRefused, DaemonTooOld, DaemonUnreachable
from cortexctl.hosts import record_store
from cortexctl.hosts.transport import connected, unreachable
from cortexctl.instance.labels import owner_of
from cortexctl.instance.spec import InPlace
from cortexctl.observed.container_list import parse_containers, parse_images, parse_in_place
from cortexctl.observed.daemon_json import LIMITS, VOLUME, read_answer
from cortexctl.observed.host import ImageFacts, ObservedHost
from cortexctl.observed.observation import Observed
from cortexctl.observed.record import HostRecord

OLDEST_API = (1, 41)
"""Docker Engine 20.10."""
TIMEOUT = 10.0
"""Seconds without an answer after which a host counts as unreachable."""
WHOLE_ANSWER = 30.0
"""Seconds for the whole of an answer: a daemon that drips would never end."""
LARGEST_ANSWER = 256 * 2**20
"""Bytes. 5,000 containers with long labels are a tenth of it."""
OK = 200
LIST = "/containers/json?all=1"
NOT_FOUND = 404


def observe(hosts: Sequence[Host], *, parallelism: int = 32) -> Observed:
    """All hosts at once; a host that cannot be read is in the result with its problem."""
    if len(hosts) == 1:
        return Observed((observe_host(hosts[0]),))
    with ThreadPoolExecutor(max_workers=min(parallelism, len(hosts))) as pool:
        return Observed(tuple(pool.map(observe_host, hosts)))


def observe_host(host: Host) -> ObservedHost:
    """One list request: it returns labels and states of all containers, ours and others'."""
    try:
        answer = get(host.docker, LIST)
        containers = parse_containers(read_answer(answer.body))
    except DaemonError as cause:
        return ObservedHost(host.name, problem=cause.message, next_step=cause.next_step)
    except NotAsExpected as cause:
        return ObservedHost(
            host.name, problem=f"what answers at {host.docker} is not a Docker daemon: of its containers {cause}"
        )
    return ObservedHost(host.name, containers, daemon=answer.daemon, api=answer.api)


def ask(host: Host, path: str, shape: Reader) -> Any:
    """What a daemon answers to a GET. Raises DaemonError, also for what is not of the `shape`."""
    try:
        return shape(read_answer(get(host.docker, path).body))
    except NotAsExpected as cause:
        raise DaemonRefused(f"{host.docker}: its answer to {path} cannot be read: {cause}") from None


def facts_of_all(observed: Observed, hosts: Sequence[Host], owner: str) -> Observed:
    """All that a plan could ask about beside the list, for a snapshot: every local image, the limits of ours, and
    what is recorded.
    """
    by_name = {h.name: h for h in hosts}
    images: dict[tuple[str, str], ImageFacts] = {}
    in_place: dict[tuple[str, str], InPlace] = {}
    records: dict[str, HostRecord] = {}
    looked: list[ObservedHost] = []
    for seen in observed.hosts:
        host = by_name[seen.name]
        looked.append(seen)
        if not seen.is_reachable:
            continue
        ours = [c.id for c in seen.containers if owner_of(c.labels) == owner]
        try:
            local = ask(host, "/images/json", parse_images)
            limits = {id_: parse_in_place(ask(host, f"/containers/{id_}/json", LIMITS)) for id_ in ours}
        except DaemonError as cause:
            looked[-1] = ObservedHost(seen.name, problem=cause.message, next_step=cause.next_step)
            continue
        records[seen.name] = read_record(host, owner)
        images |= {(seen.name, reference): facts for reference, facts in local.items()}
        in_place |= {(seen.name, id_): found for id_, found in limits.items()}
    return replace(observed, hosts=tuple(looked)).with_facts(images, in_place, records)


def read_record(host: Host, owner: str) -> HostRecord:
    """What earlier applies left there. A host that has none, or that does not answer, has an empty one."""
    try:
        return record_of(host, owner)
    except DaemonError:
        return HostRecord(host.name)


def record_of(host: Host, owner: str) -> HostRecord:
    """The same where something is decided by it. Raises DaemonError: one that cannot be read is not an empty one."""
    for name in record_store.volume_names(owner):
        try:
            return record_store.from_labels(host.name, ask(host, f"/volumes/{name}", VOLUME)["Labels"] or {})
        except DaemonRefused as cause:
            if cause.status != NOT_FOUND:
                raise
    return HostRecord(host.name)


@dataclass(frozen=True, slots=True)
class Answer:
    """The body of a 200 answer, and what its headers say of the daemon."""

    body: bytes
    daemon: str
    api: str
    date: str = ""
    """The daemon's own time, as HTTP writes it."""


def get(docker: str, path: str, *, timeout: float = TIMEOUT) -> Answer:
    """GET over the daemon's socket. HTTP/1.0: no chunks, and the daemon closes at the end.

    No version in the path, so that every daemon answers with its own; the headers tell which that is.
    Raises DaemonUnreachable, DaemonForbidden, DaemonTooOld, DaemonRefused.
    """
    headers, status, body = exchange(docker, f"GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode(), timeout)
    api = headers.get("api-version", "")
    _check_api(docker, api, headers.get("server", "a daemon without a name"))
    if status != OK:
        raise DaemonRefused(f"{docker}: {message_in(body) or f'status {status}'}", status=status)
    return Answer(body, headers.get("server", ""), api, headers.get("date", ""))


def daemon_time(docker: str) -> float:
    """Seconds since the epoch by the daemon's own clock: what two machines can agree on. Raises DaemonError."""
    date = get(docker, "/_ping").date
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return time.time()


def exchange(docker: str, request: bytes, timeout: float) -> tuple[dict[str, str], int, bytes]:
    """The headers, the status and the body of an answer to one HTTP/1.0 request. `timeout`: seconds without a word from
    the daemon; the whole of an answer may take WHOLE_ANSWER seconds and LARGEST_ANSWER bytes.

    Raises DaemonUnreachable and DaemonForbidden.
    """
    raw = bytearray()
    end = time.monotonic() + max(timeout, WHOLE_ANSWER)
    with connected(docker, timeout) as connection:
        try:
            connection.sendall(request)
            while part := connection.recv(1 << 20):
                raw += part
                left = end - time.monotonic()
                if left <= 0 or len(raw) > LARGEST_ANSWER:
                    raise TimeoutError
                connection.settimeout(min(timeout, left))
        except OSError as cause:
            raise unreachable(docker, cause) from cause
    head, _, body = bytes(raw).partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ", 2)
    if not lines[0].startswith("HTTP/") or len(words) < 2 or not (words[1].isascii() and words[1].isdigit()):
        raise DaemonUnreachable(f"what answers at {docker} is not a Docker daemon")
    headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
    return headers, int(words[1][:4]), body


def _check_api(docker: str, api: str, daemon: str) -> None:
    try:
        version = tuple(int(part) for part in api.split("."))
    except ValueError:
        raise DaemonUnreachable(f"what answers at {docker} is not a Docker daemon") from None
    if version < OLDEST_API:
        raise DaemonTooOld(
            f"{daemon} at {docker} speaks API {api}; cortexctl needs 1.41",
            next_step="upgrade it to Docker Engine 20.10 or later",
        )


def message_in(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
