"""What daemons answer, as far as it is read here: checked once at the door, so that all behind it can rely on it. Pure.

A field that is null or not there is none; one of another type makes the whole answer unreadable. Everything that is not
read is passed over: daemons and their releases differ in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cortexctl.decoding.decode import Decoder, read_json
from cortexctl.decoding.readers import NotAsExpected, Reader, many, mapping, table

LARGEST = 256 * 2**20
"""Bytes of one answer."""
_DECODER = Decoder()
_TEXT, _TRUTH, _WHOLE = (_DECODER.reader(kind) for kind in (str, bool, int))
_TEXTS = _DECODER.reader(tuple[str, ...])
_MARKS = _DECODER.reader(Mapping[str, str])
_ID = re.compile(r"[\w.:/@+-]{0,500}", re.ASCII)
LARGEST_PORT = 65_535


def _identifier(value: Any) -> Any:
    """It becomes a part of what is asked next."""
    if not _ID.fullmatch(_TEXT(value)):
        raise NotAsExpected("an id is expected")
    return value


def _port(value: Any) -> Any:
    if not 0 <= _WHOLE(value) <= LARGEST_PORT:
        raise NotAsExpected("a port is expected")
    return value


def _texts(*names: str) -> dict[str, Reader]:
    return dict.fromkeys(names, _TEXT)


_NETWORKS = mapping(table(may={**_texts("IPAddress"), "Aliases": _TEXTS}, null=True))
_BINDINGS = mapping(many(table(may=_texts("HostIp", "HostPort")), null=True))
_CONFIG = table(
    may={
        **_texts("Image", "User", "WorkingDir", "Hostname"),
        **dict.fromkeys(("Env", "Entrypoint", "Cmd"), _TEXTS),
        "Labels": _MARKS,
        "Tty": _TRUTH,
        "Volumes": mapping(lambda value: value),
    }
)
_HOST_CONFIG = table(
    may={
        **_texts("NetworkMode", "IpcMode", "Runtime", "CpusetCpus"),
        **dict.fromkeys(
            ("CpuQuota", "CpuPeriod", "NanoCpus", "Memory", "ShmSize", "CpuShares", "MemoryReservation"), _WHOLE
        ),
        **dict.fromkeys(("CapAdd", "CapDrop", "SecurityOpt"), _TEXTS),
        **dict.fromkeys(("Privileged", "PublishAllPorts", "AutoRemove"), _TRUTH),
        "RestartPolicy": table(may=_texts("Name")),
        "PortBindings": _BINDINGS,
        "DeviceRequests": many(table(may={"DeviceIDs": _TEXTS, "Count": _WHOLE})),
        "LogConfig": table(may={"Type": _TEXT, "Config": _MARKS}),
    }
)
_STATE = table(
    may={
        **dict.fromkeys(("Running", "Restarting", "Paused", "OOMKilled"), _TRUTH),
        **_texts("Error", "StartedAt"),
        "ExitCode": _WHOLE,
    }
)
_OF_CONTAINER: dict[str, Reader] = {
    **_texts("Name"),
    **dict.fromkeys(("Id", "Image"), _identifier),
    "Config": _CONFIG,
    "HostConfig": _HOST_CONFIG,
    "State": _STATE,
    "RestartCount": _WHOLE,
    "Mounts": many(table(may={**_texts("Destination", "Type", "Name", "Source"), "RW": _TRUTH})),
    "NetworkSettings": table(may={"Networks": _NETWORKS, "Ports": _BINDINGS}),
}

ROWS = many(
    table(
        needs={"Id": _identifier},
        may={
            **_texts("Image", "State", "Status"),
            "ImageID": _identifier,
            "Names": _TEXTS,
            "Labels": _MARKS,
            "Ports": many(table(may={"IP": _TEXT, "PublicPort": _port})),
            "NetworkSettings": table(may={"Networks": _NETWORKS}),
        },
    )
)
"""Of `GET /containers/json`."""
CONTAINER = table(needs={key: _OF_CONTAINER[key] for key in ("Config", "HostConfig")}, may=_OF_CONTAINER)
"""Of `GET /containers/ID/json`."""
LIMITS = table(needs={"HostConfig": _HOST_CONFIG}, may=_OF_CONTAINER)
"""The same, where no more than its limits is of interest."""
TOUCHED = table(
    needs={key: _OF_CONTAINER[key] for key in ("Id", "Name", "Image", "Config", "HostConfig", "State")},
    may=_OF_CONTAINER,
)
"""The same, of one that is to be acted on."""
LOGGED = table(needs={"Id": _identifier}, may=_OF_CONTAINER)
"""The same, of one whose log is read."""
IMAGES = many(table(needs={"Id": _identifier}, may={"RepoTags": _TEXTS, "RepoDigests": _TEXTS}))
"""Of `GET /images/json`."""
IMAGE = table(may={"Id": _identifier, "RepoTags": _TEXTS, "RepoDigests": _TEXTS, "Config": _CONFIG})
"""Of `GET /images/ID/json`."""
VOLUME = table(needs={"Labels": lambda value: value if value is None else _MARKS(value)})
"""Of `GET /volumes/NAME`, and of making one."""
NETWORKS = many(table(needs={**_texts("Name", "Created"), "Id": _identifier}, may={"Labels": _MARKS}))
"""Of `GET /networks`."""
DISTRIBUTION = table(needs={"Descriptor": table(needs={"digest": _identifier})})
"""Of `GET /distribution/NAME/json`."""
PULLED = table()
"""One line of a pull."""
MADE = table(needs={"Id": _identifier})
"""Of making a container or a network."""


def read_answer(body: bytes) -> Any:
    """Its plain values, of which no more is read than has a shape. Raises NotAsExpected."""
    return read_json(body, most=LARGEST, deepest=None, repeats=True)
