"""A temporary container: it runs a script in an image that the host has, without a network and without rights, and is
removed in any case.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import field
from typing import Any

import docker
import docker.errors
import docker.types

from cortexctl.concurrently import finishing
from cortexctl.dataclass import dataclass
from cortexctl.hosts.frames import Frames, attached
from cortexctl.hosts.transport import Connection
from cortexctl.instance import labels

LONGEST_ANSWER = 16 << 20
"""Bytes."""
UNFINISHED = "it did not finish"


@dataclass(frozen=True, slots=True)
class Temporary:
    """`image` is an id. `memory`: bytes. `folders`: path in the container -> folder of the host, mounted read-only.
    `gpus`: indices; `all_gpus` instead of them. `scratch`: the size of its writable /tmp, in memory. `runs_compiled`:
    whether it may run what it compiles there. `processes`: at most.
    """

    image: str
    script: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    memory: int
    folders: Mapping[str, str] = field(default_factory=dict)
    all_gpus: bool = False
    gpus: tuple[int, ...] | None = None
    scratch: str = "256m"
    runs_compiled: bool = False
    processes: int = 512


@dataclass(frozen=True, slots=True)
class Output:
    """`problem`: why the container did not finish by itself."""

    stdout: str = ""
    stderr: str = ""
    problem: str = ""


@contextmanager
def created(api: Any, owner: str, wanted: Temporary) -> Iterator[str]:
    """Created, not started. The daemon removes it as soon as it ends, even if this process is gone by then."""
    name = f"cortexctl-probe-{secrets.token_hex(4)}"
    with finishing(), ExitStack() as at_end:
        at_end.callback(remove, api, name)  # before the request: an interrupt can come before the daemon answers it
        yield api.create_container(
            image=wanted.image,
            name=name,
            entrypoint=["python3", "-c", wanted.script],
            command=list(wanted.arguments),
            environment=dict(wanted.environment),
            working_dir="/",  # Python searches this folder first, and some images have sources in theirs
            labels={labels.PROBE: owner},
            healthcheck={"test": ["NONE"]},
            host_config=api.create_host_config(
                auto_remove=True,
                network_mode="none",
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                read_only=True,
                tmpfs={"/tmp": f"size={wanted.scratch}" + (",exec" if wanted.runs_compiled else "")},  # noqa: S108
                mounts=[
                    docker.types.Mount(target=path, source=folder, type="bind", read_only=True)
                    for path, folder in wanted.folders.items()
                ],
                device_requests=_devices(wanted),
                mem_limit=wanted.memory,
                memswap_limit=wanted.memory,
                pids_limit=wanted.processes,
                cpu_shares=128,  # an eighth of the CPU share of a server's container, if both need all of it
                log_config=docker.types.LogConfig(type="none"),
            ),
        )["Id"]


def _devices(wanted: Temporary) -> list[docker.types.DeviceRequest] | None:
    if wanted.all_gpus:
        return [docker.types.DeviceRequest(count=-1, capabilities=[["gpu"]])]
    if wanted.gpus:
        return [docker.types.DeviceRequest(device_ids=[str(i) for i in wanted.gpus], capabilities=[["gpu"]])]
    return None


def output_of(api: Any, at: Connection, container: str, *, seconds: float, silence: float) -> Output:
    """Starts the container and reads its output until it ends, for at most `seconds`. `silence`: seconds in which the
    daemon may send nothing before its answer starts.
    """
    until = time.monotonic() + seconds
    received = bytearray()
    # From before its start: afterwards its log is gone.
    stream = f"/containers/{container}/attach?stream=1&stdout=1&stderr=1"
    connection, first = attached(at.transport, stream, None, silence)
    received += first
    with connection:
        connection.settimeout(seconds)
        api.start(container)
        try:
            while True:
                connection.settimeout(seconds_left(until))
                if not (piece := connection.recv(1 << 16)):
                    break
                received += piece
                if len(received) > LONGEST_ANSWER:
                    return Output(problem="it printed too much")
        except TimeoutError:
            return Output(problem=UNFINISHED)
        except OSError:  # the connection breaks: then a part of the answer is missing, which is reported
            pass
    return Output(*two_streams(bytes(received)))


def two_streams(output: bytes) -> tuple[str, str]:
    """Output and log."""
    streams = {1: bytearray(), 2: bytearray()}
    for number, content in Frames().feed(output):
        streams.get(number, bytearray()).extend(content)
    return streams[1].decode(errors="replace"), streams[2].decode(errors="replace")


def remove_left(api: Any, owner: str, older_than: float, now: Callable[[], float]) -> None:
    """Containers that were created and never started, because their run was killed in between: no daemon removes them
    by itself. `older_than`: seconds by `now`, the daemon's own clock. By another clock, the container of a running
    command could count as old.
    """
    marks = {"label": f"{labels.PROBE}={owner}", "status": "created"}
    for left in api.containers(all=True, filters=marks):
        if now() - left["Created"] > older_than:
            remove(api, left["Id"])


def remove(api: Any, container: str) -> None:
    """A container that is already gone, or that is being removed, counts as removed."""
    try:
        api.remove_container(container, force=True, v=True)
    except docker.errors.APIError as cause:
        if cause.status_code not in {404, 409}:
            raise


def seconds_left(until: float) -> float:
    """Raises TimeoutError after the deadline."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
