"""The requests that change something on a daemon, over our own reader, and those that each of them needs first.

docker-py would need twice the CPU for each, and 0.1 s to import; it is used only for registries, with their logins.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from cortexctl.errors import DaemonError, DaemonRefused
from cortexctl.hosts.http import NOT_FOUND, exchange, get, message_in
from cortexctl.hosts.transport import Transport
from cortexctl.observed.daemon_json import VERSION, read_answer

_FAILED = 400


class Refusal(Exception):
    """The daemon refuses a request: its status, and its own message."""

    def __init__(self, status: int, explanation: str) -> None:
        super().__init__(explanation)
        self.status = status
        self.explanation = explanation


class Missing(Refusal):
    """There is no such object."""


class Lost(Exception):
    """The daemon did not answer a request: it may have carried it out, or not."""


class DaemonApi:
    """The API of one daemon in its own version. `server`: the Server header of its answers. `timeout`: seconds in which
    it may send nothing.

    All methods raise Refusal, Missing, Lost, and NotAsExpected for an answer without JSON.
    """

    def __init__(self, transport: Transport, timeout: float) -> None:
        """Raises DaemonError."""
        version = get(transport, "/version", VERSION)
        self.server = version.daemon
        self._transport = transport
        self._timeout = timeout
        self._prefix = f"/v{version.content['ApiVersion']}"

    def inspect_container(self, container: str) -> Any:
        return self._json("GET", f"/containers/{_quoted(container)}/json")

    def create_container(self, name: str, config: Mapping[str, Any]) -> Any:
        return self._json("POST", f"/containers/create?{urlencode({'name': name})}", config)

    def start(self, container: str) -> None:
        self._send("POST", f"/containers/{_quoted(container)}/start")

    def stop(self, container: str, grace: int) -> None:
        """`grace`: seconds from SIGTERM to SIGKILL. Returns when the container has ended."""
        self._send("POST", f"/containers/{_quoted(container)}/stop?t={grace}", seconds=self._timeout + grace)

    def unpause(self, container: str) -> None:
        self._send("POST", f"/containers/{_quoted(container)}/unpause")

    def update_container(self, container: str, changes: Mapping[str, Any]) -> None:
        self._send("POST", f"/containers/{_quoted(container)}/update", changes)

    def rename(self, container: str, name: str) -> None:
        self._send("POST", f"/containers/{_quoted(container)}/rename?{urlencode({'name': name})}")

    def remove_container(self, container: str, *, volumes: bool) -> None:
        """Also if it runs. `volumes`: with its anonymous volumes."""
        self._send("DELETE", f"/containers/{_quoted(container)}?v={volumes}&link=False&force=True")

    def containers_on(self, network: str) -> Sequence[Any]:
        """The containers that use a network, by its id; also those that do not run."""
        filters = urlencode({"all": 1, "filters": json.dumps({"network": [network]})})
        answer: Sequence[Any] = self._json("GET", f"/containers/json?{filters}")
        return answer

    def connect(self, container: str, network: str) -> None:
        wanted = {"Container": container, "EndpointConfig": {}}
        self._send("POST", f"/networks/{_quoted(network)}/connect", wanted)

    def networks(self, name: str) -> Any:
        """Also those whose name has `name` as a part."""
        return self._json("GET", f"/networks?{urlencode({'filters': json.dumps({'name': [name]})})}")

    def create_network(self, name: str, labels: Mapping[str, str]) -> Any:
        wanted = {"Name": name, "Driver": "bridge", "CheckDuplicate": True, "Labels": labels}
        return self._json("POST", "/networks/create", wanted)

    def remove_network(self, id_: str) -> None:
        self._send("DELETE", f"/networks/{_quoted(id_)}")

    def inspect_volume(self, name: str) -> Any:
        return self._json("GET", f"/volumes/{_quoted(name)}")

    def create_volume(self, name: str, labels: Mapping[str, str]) -> Any:
        """The volume of this name; an existing one keeps its labels."""
        return self._json("POST", "/volumes/create", {"Name": name, "Labels": labels})

    def remove_volume(self, name: str, *, force: bool = False) -> None:
        self._send("DELETE", f"/volumes/{_quoted(name)}{'?force=True' if force else ''}")

    def inspect_image(self, image: str) -> Any:
        return self._json("GET", f"/images/{_quoted(image)}/json")

    def _json(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return read_answer(self._send(method, path, body))

    def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, seconds: float | None = None
    ) -> bytes:
        content = json.dumps(body).encode() if body is not None else None
        if content is None and method == "POST":
            content = b""
        try:
            wait = seconds or self._timeout
            answer = exchange(self._transport, method, f"{self._prefix}{path}", body=content, timeout=wait)
        except DaemonRefused:
            raise
        except DaemonError as cause:
            raise Lost from cause
        if answer.status >= _FAILED:
            kind = Missing if answer.status == NOT_FOUND else Refusal
            raise kind(answer.status, message_in(answer.body) or f"status {answer.status}")
        return answer.body


def _quoted(name: str) -> str:
    return quote(name, safe="/:")
