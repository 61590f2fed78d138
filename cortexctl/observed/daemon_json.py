"""The parts of a daemon's answers that cortexctl reads, checked once on arrival, so that all other code can rely on
them. Pure.

A field that is null or missing counts as not set; a field of the wrong type makes the whole answer unreadable. Fields
that cortexctl does not use are ignored: they differ between daemons and releases.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cortexctl.decoding.decode import Decoder, read_json
from cortexctl.decoding.readers import NotAsExpected, Reader, many, mapping, table

LARGEST = 256 * 2**20
"""Maximum size of one answer, in bytes."""
_DECODER = Decoder()
_TEXT, _BOOL, _INTEGER = (_DECODER.reader(kind) for kind in (str, bool, int))
_TEXTS = _DECODER.reader(tuple[str, ...])
_LABELS = _DECODER.reader(Mapping[str, str])
_ID = re.compile(r"[\w.:/@+-]{0,500}", re.ASCII)
LARGEST_PORT = 65_535


def _identifier(value: Any) -> Any:
    """Checked because it becomes part of the next request."""
    if not _ID.fullmatch(_TEXT(value)):
        raise NotAsExpected("an id is expected")
    return value


def _port(value: Any) -> Any:
    if not 0 <= _INTEGER(value) <= LARGEST_PORT:
        raise NotAsExpected("a port is expected")
    return value


def _texts(*names: str) -> dict[str, Reader]:
    return dict.fromkeys(names, _TEXT)


_NETWORKS = mapping(table(may={**_texts("IPAddress"), "Aliases": _TEXTS}, null=True))
_LOCATIONS = mapping(table(may=_texts("IPAddress", "Gateway"), null=True))
_BINDINGS = mapping(many(table(may=_texts("HostIp", "HostPort")), null=True))
_CONFIG = table(
    may={
        **_texts("Image", "User", "WorkingDir", "Hostname"),
        **dict.fromkeys(("Env", "Entrypoint", "Cmd"), _TEXTS),
        "Labels": _LABELS,
        "Tty": _BOOL,
        "Volumes": mapping(lambda value: value),
    }
)
_HOST_CONFIG = table(
    may={
        **_texts("NetworkMode", "IpcMode", "Runtime", "CpusetCpus"),
        **dict.fromkeys(
            ("CpuQuota", "CpuPeriod", "NanoCpus", "Memory", "ShmSize", "CpuShares", "MemoryReservation"), _INTEGER
        ),
        **dict.fromkeys(("CapAdd", "CapDrop", "SecurityOpt"), _TEXTS),
        **dict.fromkeys(("Privileged", "PublishAllPorts", "AutoRemove"), _BOOL),
        "RestartPolicy": table(may=_texts("Name")),
        "PortBindings": _BINDINGS,
        "DeviceRequests": many(table(may={"DeviceIDs": _TEXTS, "Count": _INTEGER})),
        "LogConfig": table(may={"Type": _TEXT, "Config": _LABELS}),
    }
)
_STATE = table(
    may={
        **dict.fromkeys(("Running", "Restarting", "Paused", "OOMKilled"), _BOOL),
        **_texts("Error", "StartedAt"),
        "ExitCode": _INTEGER,
    }
)
_OF_CONTAINER: dict[str, Reader] = {
    **_texts("Name"),
    **dict.fromkeys(("Id", "Image"), _identifier),
    "Config": _CONFIG,
    "HostConfig": _HOST_CONFIG,
    "State": _STATE,
    "RestartCount": _INTEGER,
    "Mounts": many(table(may={**_texts("Destination", "Type", "Name", "Source"), "RW": _BOOL})),
    "NetworkSettings": table(may={"Networks": _NETWORKS, "Ports": _BINDINGS}),
}

ROWS = many(
    table(
        needs={"Id": _identifier},
        may={
            **_texts("Image", "State", "Status"),
            "ImageID": _identifier,
            "Names": _TEXTS,
            "Labels": _LABELS,
            "Ports": many(table(may={"IP": _TEXT, "PublicPort": _port})),
            "NetworkSettings": table(may={"Networks": _NETWORKS}),
        },
    )
)
"""The answer of `GET /containers/json`."""
LISTED = many(
    table(
        needs={"Id": _identifier},
        may={
            **_texts("Command"),
            "Ports": many(table(may={**_texts("IP", "Type"), "PublicPort": _port, "PrivatePort": _port})),
            "HostConfig": table(may=_texts("NetworkMode")),
            "NetworkSettings": table(may={"Networks": _LOCATIONS}),
        },
    )
)
"""The same answer, if the locations of the servers are needed, too."""
CONTAINER = table(needs={key: _OF_CONTAINER[key] for key in ("Config", "HostConfig")}, may=_OF_CONTAINER)
"""The answer of `GET /containers/ID/json`."""
LIMITS = table(needs={"HostConfig": _HOST_CONFIG}, may=_OF_CONTAINER)
"""The same answer, if only the limits are needed."""
TOUCHED = table(
    needs={key: _OF_CONTAINER[key] for key in ("Id", "Name", "Image", "Config", "HostConfig", "State")},
    may=_OF_CONTAINER,
)
"""The same answer, for a container that is about to be changed."""
STATED = table(needs={"Id": _OF_CONTAINER["Id"], "State": _STATE}, may={"RestartCount": _INTEGER})
"""The same answer, if only the state is needed."""
LOCATED = table(needs={"Id": _OF_CONTAINER["Id"], "State": _STATE}, may=_OF_CONTAINER)
"""The same answer, for a container whose server is reached."""
LOGGED = table(needs={"Id": _identifier}, may=_OF_CONTAINER)
"""The same answer, for a container whose log is read."""
IMAGES = many(table(needs={"Id": _identifier}, may={"RepoTags": _TEXTS, "RepoDigests": _TEXTS}))
"""The answer of `GET /images/json`."""
IMAGE = table(may={"Id": _identifier, "RepoTags": _TEXTS, "RepoDigests": _TEXTS, "Config": _CONFIG})
"""The answer of `GET /images/ID/json`."""
LOCAL_IMAGE = table(needs={"Id": _identifier}, may={"Config": _CONFIG})
"""The same answer, for an image that a container may be created from."""
INFO = table(needs=_texts("ID", "Name"))
"""The answer of `GET /info`."""
VERSION = table(needs=_texts("ApiVersion"))
"""The answer of `GET /version`."""
DAEMON = table(
    needs=_texts("ApiVersion"),
    may={**_texts("Version", "Arch", "KernelVersion"), "Components": many(table(may=_texts("Name", "Version")))},
)
"""The same answer, if more than the API version is needed."""
SYSTEM = table(
    may={
        **_texts("OperatingSystem", "Architecture", "KernelVersion", "Driver", "DockerRootDir"),
        **dict.fromkeys(("NCPU", "MemTotal"), _INTEGER),
        "Runtimes": mapping(lambda value: value),
        "SecurityOptions": _TEXTS,
        "DiscoveredDevices": many(table(may=_texts("Source", "ID"))),
    }
)
"""The answer of `GET /info`, if more than the identity is needed."""
VOLUME = table(needs={"Labels": lambda value: value if value is None else _LABELS(value)})
"""The answer of `GET /volumes/NAME`, and to the creation of a volume."""
NETWORKS = many(table(needs={**_texts("Name", "Created"), "Id": _identifier}, may={"Labels": _LABELS}))
"""The answer of `GET /networks`."""
GATEWAYS = many(table(may={"IPAM": table(may={"Config": many(table(may=_texts("Gateway")), null=True)}, null=True)}))
"""The same, if the addresses of the networks are needed."""
DISTRIBUTION = table(needs={"Descriptor": table(needs={"digest": _identifier})})
"""The answer of `GET /distribution/NAME/json`."""
PULLED = table()
"""One line of the answer to a pull."""
CREATED = table(needs={"Id": _identifier})
"""The answer to the creation of a container or a network."""


def read_answer(body: bytes) -> Any:
    """Its plain values; nesting is limited to the depth that a shape describes. Raises NotAsExpected."""
    return read_json(body, most=LARGEST, deepest=None, repeats=True)
