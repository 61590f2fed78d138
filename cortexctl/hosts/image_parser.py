"""Lets the parser inside an image check command lines, in a temporary container."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from importlib.resources import files
from typing import Any

import docker
import docker.errors
import docker.types

from cortexctl.hosts.client import docker_client
from cortexctl.hosts.frames import Frames, attached
from cortexctl.hosts.translate_errors import reading, translated_errors
from cortexctl.hosts.transport import Connection
from cortexctl.instance import labels
from cortexctl.observed.parser_verdict import CommandLine, Probed, parse_probed

TIME_LIMIT = 300
"""Seconds; 10 to 13 of CPU are usual, and an image that was not used recently must first be read from disk."""
GRACE = 15
"""Additional seconds before a container that does not end by itself is killed."""
MEMORY_LIMIT = 4 << 30
"""Bytes; the CPU build of 0.32.0 needs 0.6 GiB."""
LONGEST_ANSWER, LONGEST_HEAD = 16 << 20, 1 << 16
"""Bytes."""
REQUEST_TIMEOUT = 60
"""Seconds."""
ENVIRONMENT = {
    "HOME": "/tmp",  # noqa: S108 - the container's own
    "NVIDIA_VISIBLE_DEVICES": "void",  # images request all GPUs, and a runtime that is the default grants them
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
}


def probe_parser(at: Connection, owner: str, image: str, program: str, lines: Sequence[CommandLine]) -> Probed:
    """All lines at once: the parser takes seconds to build and no time to use. `image` is an id.

    Raises DaemonError. A probe that could not be carried out is not an error: its problem is in the result.
    """
    with reading(at, "its version"):
        api = docker_client(at.transport, REQUEST_TIMEOUT)
    with closing(api), translated_errors(at, "run a probe"):
        _remove_left(api, owner)
        with _container(api, owner, image, program, lines) as container:
            return _answer(api, at, container, len(lines))


@contextmanager
def _container(api: Any, owner: str, image: str, program: str, lines: Sequence[CommandLine]) -> Iterator[str]:
    """Created, not started. The daemon removes it as soon as it ends, even if this process is gone by then."""
    script = files("cortexctl.hosts").joinpath("image_parser_script.py").read_text(encoding="utf-8")
    name = f"cortexctl-probe-{secrets.token_hex(4)}"
    try:  # from before the request: an interrupt can come after the daemon created it and before it answered
        yield api.create_container(
            image=image,
            name=name,
            entrypoint=["python3", "-c", script],
            command=[program, str(TIME_LIMIT), *(json.dumps(line) for line in lines)],
            environment=ENVIRONMENT,
            working_dir="/",  # Python searches this folder first, and some images have sources in theirs
            labels={labels.PROBE: owner},
            healthcheck={"test": ["NONE"]},
            host_config=api.create_host_config(
                auto_remove=True,
                network_mode="none",
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                read_only=True,
                tmpfs={"/tmp": "size=256m"},  # noqa: S108
                mem_limit=MEMORY_LIMIT,
                memswap_limit=MEMORY_LIMIT,
                pids_limit=512,
                cpu_shares=128,  # an eighth of the CPU share of a server's container, if both need all of it
                log_config=docker.types.LogConfig(type="none"),
            ),
        )["Id"]
    finally:
        _remove(api, name)


def _answer(api: Any, at: Connection, container: str, expected: int) -> Probed:
    until = time.monotonic() + TIME_LIMIT + GRACE
    received = bytearray()
    # From before its start: afterwards its log is gone.
    stream = f"/containers/{container}/attach?stream=1&stdout=1&stderr=1"
    with attached(at.transport, stream, None, REQUEST_TIMEOUT) as connection:
        connection.settimeout(TIME_LIMIT + GRACE)
        api.start(container)
        try:
            while True:
                connection.settimeout(seconds_left(until))
                if not (piece := connection.recv(1 << 16)):
                    break
                received += piece
                if len(received) > LONGEST_ANSWER:
                    return Probed(problem="it printed too much")
        except TimeoutError:
            return Probed(problem=f"it did not finish within {TIME_LIMIT} s")
        except OSError:  # the connection breaks: then verdicts are missing, which is reported
            pass
    output, log = _two_streams(bytes(received))
    return parse_probed(output, log, expected)


def _two_streams(output: bytes) -> tuple[str, str]:
    """Output and log."""
    streams = {1: bytearray(), 2: bytearray()}
    for number, content in Frames().feed(output):
        streams.get(number, bytearray()).extend(content)
    return streams[1].decode(errors="replace"), streams[2].decode(errors="replace")


def _remove_left(api: Any, owner: str) -> None:
    """Containers that were created and never started, because their run was killed in between: no daemon removes them
    by itself.
    """
    marks = {"label": f"{labels.PROBE}={owner}", "status": "created"}
    for left in api.containers(all=True, filters=marks):
        if time.time() - left["Created"] > TIME_LIMIT:
            _remove(api, left["Id"])


def _remove(api: Any, container: str) -> None:
    try:
        api.remove_container(container, force=True, v=True)
    except docker.errors.APIError as cause:
        if cause.status_code not in {404, 409}:  # gone, or being removed now
            raise


def seconds_left(until: float) -> float:
    """Raises TimeoutError after the deadline."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
