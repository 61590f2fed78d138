"""The daemon of the lab: containers that are made without any client's own program, and the removal of everything that
the bench created.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from bench.inputs import OWNER
from bench.measuring import BenchFailed

AT_ONCE = 8
_COMPOSE = "com.docker.compose.project"


def socket_path() -> str:
    """Raises SystemExit if the daemon is not at a Unix socket."""
    url = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    if not url.startswith("unix://"):
        raise SystemExit(f"bench: the daemon of the lab must be at a Unix socket, not at {url}")
    return url.removeprefix("unix://")


class DaemonFailed(BenchFailed):
    """The daemon refused a request, or did not answer."""


def request(method: str, path: str, body: Mapping[str, Any] | None = None, gone: Sequence[int] = ()) -> Any:
    """The parsed answer, None without one. `gone`: statuses that do not matter. Raises DaemonFailed."""
    connection = http.client.HTTPConnection("docker")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(120)
    connection.sock.connect(socket_path())
    try:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        response = connection.getresponse()
        content = response.read()
    except OSError as cause:
        raise DaemonFailed(f"{method} {path}: {cause}") from cause
    finally:
        connection.close()
    if response.status >= 400 and response.status not in gone:
        raise DaemonFailed(f"{method} {path}: {response.status} {content[:300].decode(errors='replace')}")
    return json.loads(content) if content.strip() else None


def start_waiting(containers: Sequence[Mapping[str, Any]], image: str) -> None:
    """Containers with these names, labels and networks, whose process only waits."""
    for network in {c["network"] for c in containers}:
        request("POST", "/networks/create", {"Name": network, "CheckDuplicate": True}, gone=(409,))

    def start(container: Mapping[str, Any]) -> None:
        body = {
            "Image": image,
            "Labels": container["labels"],
            "Entrypoint": ["/bin/sh", "-c", "read forever"],
            "OpenStdin": True,
            "HostConfig": {"NetworkMode": container["network"], "RestartPolicy": {"Name": "unless-stopped"}},
        }
        created = request("POST", f"/containers/create?name={container['name']}", body)
        request("POST", f"/containers/{created['Id']}/start")

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(start, containers))


def wait_until_healthy(number: int) -> None:
    """Until the servers of `number` of the bench's containers answer: one that still starts ignores SIGTERM. Raises
    DaemonFailed after a minute.
    """
    waits_until = time.monotonic() + 60
    while time.monotonic() < waits_until:
        running = [c for c in request("GET", "/containers/json") if _is_ours(c["Labels"] or {})]
        addresses = [n["IPAddress"] for c in running for n in c["NetworkSettings"]["Networks"].values()]
        if sum(map(_answers, addresses)) >= number:
            return
        time.sleep(0.2)
    raise DaemonFailed(f"fewer than {number} servers answer")


def _answers(address: str) -> bool:
    try:
        connection = http.client.HTTPConnection(address, 8000, timeout=2)
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False


def remove_all() -> None:
    """Every container, network and volume of the bench, also of an earlier run that was killed. Raises DaemonFailed if
    that takes the daemon more than a minute.
    """
    ends = time.monotonic() + 60
    while remaining := [c["Id"] for c in request("GET", "/containers/json?all=1") if _is_ours(c["Labels"] or {})]:
        if time.monotonic() > ends:
            raise DaemonFailed(f"{len(remaining)} containers cannot be removed")
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(_remove, remaining))
    for network in [n["Id"] for n in request("GET", "/networks") if n["Name"].startswith(OWNER)]:
        _remove_network(network)
    for volume in request("GET", "/volumes")["Volumes"] or []:
        if _is_ours(volume["Labels"] or {}):
            request("DELETE", f"/volumes/{urllib.parse.quote(volume['Name'])}", gone=(404,))


def _remove(container: str) -> None:
    """A busy daemon may refuse: the caller repeats it."""
    with suppress(DaemonFailed):
        request("DELETE", f"/containers/{container}?force=1&v=1", gone=(404, 409))


def _remove_network(network: str) -> None:
    """A daemon that was busy may count containers as its members that are gone, until it is started again: then the
    network stays, for the next run.
    """
    request("DELETE", f"/networks/{network}", gone=(403, 404))


def _is_ours(labels: Mapping[str, str]) -> bool:
    return any(labels.get(key, "").startswith(OWNER) for key in ("cortexctl.stack", _COMPOSE))
