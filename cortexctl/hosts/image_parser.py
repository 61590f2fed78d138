"""Lets the parser inside an image check command lines, in a temporary container."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from importlib.resources import files
from typing import Any

from cortexctl.hosts import temporary
from cortexctl.hosts.client import as_our_errors, docker_client
from cortexctl.hosts.http import daemon_time
from cortexctl.hosts.temporary import Temporary
from cortexctl.hosts.translate_errors import reading, translated_errors
from cortexctl.hosts.transport import Connection
from cortexctl.observed.parser_verdict import CommandLine, Probed, parse_probed

TIME_LIMIT = 300
"""Seconds; 10 to 13 of CPU are usual, and an image that was not used recently must first be read from disk."""
GRACE = 15
"""Additional seconds before a container that does not end by itself is killed."""
MEMORY_LIMIT = 4 << 30
"""Bytes; the CPU build of 0.32.0 needs 0.6 GiB."""
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
    with closing(api), translated_errors(at, "run a probe"), as_our_errors():
        temporary.remove_left(api, owner, TIME_LIMIT, partial(daemon_time, at.transport))
        script = files("cortexctl.hosts").joinpath("image_parser_script.py").read_text(encoding="utf-8")
        arguments = (program, str(TIME_LIMIT), *(json.dumps(line) for line in lines))
        with temporary.created(api, owner, Temporary(image, script, arguments, ENVIRONMENT, MEMORY_LIMIT)) as container:
            return _answer(api, at, container, len(lines))


def _answer(api: Any, at: Connection, container: str, expected: int) -> Probed:
    output = temporary.output_of(api, at, container, seconds=TIME_LIMIT + GRACE, silence=REQUEST_TIMEOUT)
    if output.problem:
        within = f" within {TIME_LIMIT} s" if output.problem == temporary.UNFINISHED else ""
        return Probed(problem=f"{output.problem}{within}")
    return parse_probed(output.stdout, output.stderr, expected)
