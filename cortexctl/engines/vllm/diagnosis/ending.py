"""Causes from the end of a container or of its engine, if nothing names a cause: it was killed, or it never started."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cortexctl.engines.vllm.log.line import Line
from cortexctl.engines.vllm.log.starts import is_up

_BY_CODE = {
    125: (
        "engine-refused",
        "the Docker daemon could not start the container at all",
        "read the daemon's own message in `status`, then correct the model's volumes, gpus or image",
    ),
    126: (
        "not-executable",
        "the image's entry point is not executable (exit code 126)",
        "pin an official vLLM image (`vllm/vllm-openai:vX.Y.Z`) that is built for this host's processor",
    ),
    127: (
        "no-entry-point",
        "the image does not contain its entry point's program (exit code 127)",
        "pin an image that contains `vllm` (`vllm/vllm-openai:vX.Y.Z`), and set its release with `vllm_version`",
    ),
    132: (
        "illegal-instruction",
        "the processor does not support an instruction that this build uses (exit code 132, SIGILL)",
        ("run it on a host whose processor supports this build (AVX-512 for vLLM's CPU images), or pin another build"),
    ),
    135: (
        "bus-error",
        "it accessed shared memory that does not exist (exit code 135, SIGBUS)",
        'raise the model\'s shm_size to "8 GiB"',
    ),
    137: (
        "killed",
        (
            "it was killed from outside, and its log shows no reason (exit code 137, SIGKILL): usually the "
            "kernel, because the host ran out of memory"
        ),
        (
            "check `dmesg` on the host; give it more memory: raise `memory`, or lower args.cpu_offload_gb, "
            "or move a model off this host"
        ),
    ),
    139: (
        "segmentation-fault",
        "it crashed inside native code (exit code 139, SIGSEGV)",
        (
            "try args.enforce_eager = true to rule out compiled code, then another vLLM release; check "
            "`dmesg` for GPU errors"
        ),
    ),
    143: (
        "terminated",
        "it received SIGTERM and stopped (exit code 143)",
        ("`apply --only drift` starts it again; if nobody stopped it on purpose, check `docker events` on the host"),
    ),
}


def explain_end(exit_code: int | None, *, oom_killed: bool) -> tuple[str, str, str] | None:
    """(pattern, cause, fix); None if the end shows no cause: it runs, or exited with 0, 1 or 2."""
    if oom_killed:
        return (
            "memory-limit",
            "the kernel killed it because it exceeded the container's memory limit",
            (
                "raise the model's `memory` (the weights pass through host memory: allow their size plus 8 GiB), "
                "or leave it out"
            ),
        )
    return _BY_CODE.get(exit_code) if exit_code is not None else None


_SHUT_DOWN = "Application shutdown complete"


def stopped_in_order(log: Sequence[str], exit_code: int | None) -> tuple[str, str, str] | None:
    """(pattern, cause, fix), if the server was stopped and shut down. A dead engine exits with 0, too, but its cause is
    in the log: the caller searches for it first.
    """
    if exit_code != 0 or not any(_SHUT_DOWN in line for line in log[-20:]):
        return None
    return (
        "stopped",
        "it was stopped, and shut down in good order (exit code 0)",
        "`apply --only drift` starts it again; if nobody stopped it on purpose, check `docker events` on the host",
    )


_DEAD = "EngineDeadError: EngineCore encountered an issue"
_ENGINES_ERROR = re.compile(r"^(?:Traceback|Process EngineCore)")


def died_silently(lines: Sequence[Line]) -> tuple[str, str, str, int] | None:
    """(pattern, cause, fix, index of the line), if the API server lost its engine and the engine logged no error.

    This is how a kill -9 of the engine of vLLM 0.32.0 appears: the API server then stops in good order and exits with
    0.
    """
    dead = next((n for n, line in enumerate(lines) if _DEAD in line.text), None)
    if dead is None:
        return None
    engine = [line for line in lines[:dead] if line.process.startswith("EngineCore")]
    if not engine or any(line.level == "error" or _ENGINES_ERROR.search(line.text) for line in engine):
        return None
    if any(line.text.startswith("Process EngineCore") for line in lines[:dead]):
        return None
    return (
        "engine-died-silently",
        "the engine ended without a message: it was killed from outside, usually by the kernel because memory ran out",
        "raise the model's `memory`, or move a model off this host; check `dmesg` there",
        dead,
    )


MOST_WAITS = 2
"""Reports of waiting, one a minute, that are usual while kernels are compiled."""
_WAITS = re.compile(r"No available (?:shared memory broadcast )?block found in \d+ second")
_STILL_WAITS = re.compile(r"Waiting for \d+ local, \d+ remote core engine proc")
"""The API server, between the reports of the engine."""


def hangs(lines: Sequence[Line]) -> tuple[str, str, str, int] | None:
    """(pattern, cause, fix, index of the line), if a start ends with reports that its processes wait for each other.

    A server that is up prints them as well while it has no requests.
    """
    if any(is_up(line) for line in lines):
        return None
    waits = last = 0
    for index in range(len(lines) - 1, -1, -1):
        text = lines[index].text
        if _WAITS.search(text):
            waits, last = waits + 1, max(last, index)
        elif text.strip() and not _STILL_WAITS.search(text):
            break
    if waits <= MOST_WAITS:
        return None
    return (
        "ranks-wait",
        f"the processes of the GPUs wait for one of them, which hangs or still compiles: {waits} reports, one a minute",
        (
            "if it compiles for the first time, wait; otherwise set args.disable_custom_all_reduce = true and "
            'env.NCCL_P2P_DISABLE = "1", and check `nvidia-smi` for a GPU with 100% load or an error'
        ),
        last,
    )
