"""Starts a small model on one GPU of a host, in a temporary container of an image that the host has."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from functools import partial
from importlib.resources import files
from typing import Any

from cortexctl.errors import DaemonError
from cortexctl.hosts import temporary
from cortexctl.hosts.client import as_our_errors, docker_client
from cortexctl.hosts.http import daemon_time
from cortexctl.hosts.temporary import Temporary
from cortexctl.hosts.translate_errors import reading, translated_errors
from cortexctl.hosts.transport import Connection

TIME_LIMIT = 900
"""Seconds. A start with a cold compiler takes one to two minutes; the first one of an image also reads the image."""
GRACE = 15
"""Additional seconds before a container that does not end by itself is killed."""
MEMORY_LIMIT = 24 << 30
"""Bytes. A start holds its libraries, and the compiler runs several processes."""
SCRATCH = "4g"
"""Space for the compiler's files, in memory."""
REQUEST_TIMEOUT = 60
"""Seconds."""


def calibrate_gpu(
    at: Connection, owner: str, image: str, settings: str, gpu: int | None, environment: Mapping[str, str]
) -> str:
    """The output of the script `calibration_script.py`. `image` is an id; `settings` the script's argument; `gpu` an
    index on the host, or None for a container without one. Raises DaemonError.
    """
    script = files("cortexctl.hosts").joinpath("calibration_script.py").read_text(encoding="utf-8")
    with reading(at, "its version"):
        api = docker_client(at.transport, REQUEST_TIMEOUT)
    wanted = Temporary(
        image,
        script,
        (str(TIME_LIMIT), settings),
        environment,
        MEMORY_LIMIT,
        gpus=None if gpu is None else (gpu,),
        scratch=SCRATCH,
        runs_compiled=True,
        processes=4096,
    )
    with closing(api), translated_errors(at, "run a calibration"), as_our_errors():
        temporary.remove_left(api, owner, TIME_LIMIT, partial(daemon_time, at.transport))
        with temporary.created(api, owner, wanted) as container:
            return _output(api, at, container)


def _output(api: Any, at: Connection, container: str) -> str:
    output = temporary.output_of(api, at, container, seconds=TIME_LIMIT + GRACE, silence=REQUEST_TIMEOUT)
    if output.problem:
        raise DaemonError(f"{at.name}: the calibration has no result: {output.problem}")
    return output.stdout
