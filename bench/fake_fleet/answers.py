"""The answers of a fake daemon, in the form of Docker 20.10. Pure.

A container is given by its name, labels, image and network. Its server is healthy; it is reached by a program inside
the container, as on any host whose network is not this machine's own.
"""

from __future__ import annotations

import hashlib
import json
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Container = Mapping[str, Any]
IMAGE_ID = "sha256:" + hashlib.sha256(b"image").hexdigest()
API = "1.41"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes


BY_ITSELF = "-sends"
"""The end of the id of a program that waits for no request."""


def sends_by_itself(target: str) -> bool:
    """Of the request that starts a program."""
    return f"{BY_ITSELF}/start" in target


def id_of(host: str, container: Container) -> str:
    return hashlib.sha256(f"{host} {container['name']}".encode()).hexdigest()


class FakeDaemon:
    """One host. An answer is written once and kept: a thousand daemons share a processor with their client."""

    def __init__(self, host: str, containers: Sequence[Container]) -> None:
        self.host = host
        self._by_id = {id_of(host, c): (number, c) for number, c in enumerate(containers)}
        self._known: dict[str, Answer] = {}

    def answer(self, method: str, target: str, body: bytes = b"") -> Answer:
        """To one request. Only a program inside a container can be started; every other change gets a 501."""
        if method == "POST":
            return self._program(target, body)
        if target not in self._known:
            self._known[target] = self._read(target)
        return self._known[target]

    def _program(self, target: str, body: bytes) -> Answer:
        """The id of a program names its container, and whether its command line has the request to the server."""
        kind, _, rest = _path(target).partition("/")
        container, _, last = rest.partition("/")
        if kind == "containers" and last == "exec":
            return _json({"Id": container + (BY_ITSELF if b"GET " in body else "")}, 201)
        return _json({"message": "the fake fleet is read-only"}, 501)

    def _read(self, target: str) -> Answer:
        path, query = _path(target), urllib.parse.parse_qs(target.partition("?")[2])
        match path.split("/"):
            case ["_ping"]:
                return Answer(200, b"OK")
            case ["version"]:
                return _json({"Version": "20.10.24", "ApiVersion": API, "MinAPIVersion": "1.12", "Os": "linux"})
            case ["info"]:
                return _json({"ID": f"fake:{self.host}", "Name": self.host})
            case ["containers", "json"]:
                return _json(self._rows(json.loads(query.get("filters", ["{}"])[0])))
            case ["containers", name, "json"]:
                return self._inspection(name)
            case ["images", "json"]:
                return _json([{"Id": IMAGE_ID, "RepoTags": self._images(), "RepoDigests": []}])
            case ["images", *_, "json"]:
                return _json({"Id": IMAGE_ID, "RepoTags": self._images(), "RepoDigests": [], "Config": {}})
            case ["networks"]:
                return _json([])
        return _json({"message": f"no such object: {path}"}, 404)

    def _images(self) -> list[str]:
        return sorted({c["image"] for _, c in self._by_id.values()})

    def _rows(self, filters: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        wanted = [label.partition("=") for label in filters.get("label", [])]
        return [
            list_row(id_, number, c)
            for id_, (number, c) in self._by_id.items()
            if all(name in c["labels"] and (not sign or c["labels"][name] == value) for name, sign, value in wanted)
        ]

    def _inspection(self, name: str) -> Answer:
        for id_, (number, c) in self._by_id.items():
            if id_.startswith(name) or c["name"] == name:
                return _json(inspection(id_, number, c))
        return _json({"message": f"No such container: {name}"}, 404)


def list_row(id_: str, number: int, container: Container) -> Mapping[str, Any]:
    """Its entry in the answer to `GET /containers/json`."""
    return {
        "Id": id_,
        "Names": [f"/{container['name']}"],
        "Image": container["image"],
        "ImageID": IMAGE_ID,
        "Command": "vllm serve",
        "Created": 1767225600,
        "Ports": [],
        "Labels": container["labels"],
        "State": "running",
        "Status": "Up 3 days",
        "HostConfig": {"NetworkMode": container["network"]},
        "NetworkSettings": {"Networks": _networks(number, container)},
        "Mounts": [],
    }


def inspection(id_: str, number: int, container: Container) -> Mapping[str, Any]:
    """The answer to `GET /containers/ID/json`, as far as its state and its location are concerned."""
    return {
        "Id": id_,
        "Name": f"/{container['name']}",
        "Image": IMAGE_ID,
        "RestartCount": 0,
        "State": {
            "Status": "running",
            "Running": True,
            "Paused": False,
            "Restarting": False,
            "OOMKilled": False,
            "Pid": 0,
            "ExitCode": 0,
            "Error": "",
            "StartedAt": "2026-01-01T00:00:01.000000000Z",
        },
        "Config": {
            "Image": container["image"],
            "Labels": container["labels"],
            "Env": [],
            "Entrypoint": ["vllm", "serve"],
            "Cmd": [],
        },
        "HostConfig": {"NetworkMode": container["network"], "RestartPolicy": {"Name": "unless-stopped"}},
        "NetworkSettings": {"Ports": {}, "Networks": _networks(number, container)},
        "Mounts": [],
    }


def _networks(number: int, container: Container) -> Mapping[str, Any]:
    address = f"198.18.{number // 250}.{number % 250 + 2}"
    return {container["network"]: {"IPAddress": address, "Gateway": "198.18.0.1", "IPPrefixLen": 15}}


def _path(target: str) -> str:
    """Without the query and the API's version."""
    path = urllib.parse.unquote(target.partition("?")[0]).strip("/")
    first, _, rest = path.partition("/")
    return rest if first.startswith("v1.") else path


def _json(value: Any, status: int = 200) -> Answer:
    return Answer(status, json.dumps(value, separators=(",", ":")).encode())
