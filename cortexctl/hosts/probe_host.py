"""Reads GPUs and free disk of a host, in a temporary container of an image that the host has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from importlib.resources import files
from typing import Any

import docker.errors

from cortexctl.hosts import temporary
from cortexctl.hosts.client import as_our_errors, docker_client
from cortexctl.hosts.http import daemon_time
from cortexctl.hosts.temporary import Temporary
from cortexctl.hosts.translate_errors import reading, translated_errors
from cortexctl.hosts.transport import Connection
from cortexctl.observed.host_probe import HostProbe, ProbeOutput, parse_host_probe
from cortexctl.text.shorten import shortened

TIME_LIMIT = 120
"""Seconds; the first use of GPUs that no process uses can take ten."""
GRACE = 15
"""Additional seconds before a container that does not end by itself is killed."""
MEMORY_LIMIT = 1 << 30
"""Bytes."""
REQUEST_TIMEOUT = 60
"""Seconds."""
ENVIRONMENT = {"NVIDIA_DRIVER_CAPABILITIES": "compute,utility"}
"""Without `compute`, nvidia-smi does not know the CUDA version."""
NO_GPUS = {"NVIDIA_VISIBLE_DEVICES": "void"}
"""Images request all GPUs, and a runtime that is the default grants them."""
NO_FOLDER = ("does not exist", "no such file or directory")
"""The messages of Docker and of Podman for a folder that their host does not have."""


def probe_host(at: Connection, owner: str, image: str, name: str, folders: Mapping[str, str]) -> HostProbe:
    """`image` is an id, `name` its reference. `folders`: key -> path on the host. Raises DaemonError."""
    with reading(at, "its version"):
        api = docker_client(at.transport, REQUEST_TIMEOUT)
    with closing(api), translated_errors(at, "run a probe"), as_our_errors():
        temporary.remove_left(api, owner, TIME_LIMIT, partial(daemon_time, at.transport))
        return parse_host_probe(name, _output(api, at, owner, image, folders), folders)


def _output(api: Any, at: Connection, owner: str, image: str, folders: Mapping[str, str]) -> ProbeOutput:
    """Each refusal of the daemon removes its reason: a folder that does not exist, then the GPUs."""
    present, refusal, all_gpus = dict(folders), "", True
    while True:
        try:
            with temporary.created(api, owner, _container(image, present, all_gpus=all_gpus)) as container:
                output = temporary.output_of(api, at, container, seconds=TIME_LIMIT + GRACE, silence=REQUEST_TIMEOUT)
            break
        except docker.errors.APIError as cause:
            message = shortened(str(cause.explanation or cause))
            missing = max((path for path in present.values() if path in message), key=len, default="")
            if missing and any(text in message for text in NO_FOLDER):
                present = {key: path for key, path in present.items() if path != missing}
            elif all_gpus:
                refusal, all_gpus = message, False
            else:
                raise
    gone = tuple(key for key in folders if key not in present)
    return ProbeOutput(output.stdout, output.stderr, gone, refusal, output.problem)


def _container(image: str, folders: Mapping[str, str], *, all_gpus: bool) -> Temporary:
    script = files("cortexctl.hosts").joinpath("host_probe_script.py").read_text(encoding="utf-8")
    inside = {key: f"/cortexctl/{key}" for key in folders}
    wanted = Temporary(
        image,
        script,
        (str(TIME_LIMIT), json.dumps(inside)),
        ENVIRONMENT,
        MEMORY_LIMIT,
        {inside[key]: path for key, path in folders.items()},
        all_gpus,
    )
    return wanted if all_gpus else replace(wanted, environment=ENVIRONMENT | NO_GPUS)
