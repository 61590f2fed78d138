"""Causes from the end of a container or of its engine, if nothing names a cause: it was killed, or it never started."""

from __future__ import annotations

import re
from collections.abc import Sequence

_BY_CODE = {
    125: (
        "engine-refused",
        "the Docker daemon could not start the container at all",
        "read the daemon's own message in `cortexctl status`, then correct the model's volumes, gpus or image",
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
        (
            "`cortexctl apply --only drift` starts it again; if nobody stopped it on purpose, check `docker "
            "events` on the host"
        ),
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


_DEAD = re.compile(r"EngineDeadError: EngineCore encountered an issue")
_ENGINE = re.compile(r"\(EngineCore\w* pid=\d+\)")
_ENGINES_ERROR = re.compile(r"\(EngineCore\w* pid=\d+\) (?:ERROR|Traceback|Process EngineCore)|^Process EngineCore")


def died_silently(log: Sequence[str]) -> tuple[str, str, str, int] | None:
    """(pattern, cause, fix, index of the line), if the API server lost its engine and the engine logged no error.

    This is how a kill -9 of the engine of vLLM 0.32.0 appears: the API server then stops in good order and exits with
    0.
    """
    dead = next((n for n, line in enumerate(log) if _DEAD.search(line)), None)
    if dead is None or any(_ENGINES_ERROR.search(line) for line in log[:dead]):
        return None
    if not any(_ENGINE.search(line) for line in log[:dead]):
        return None
    return (
        "engine-died-silently",
        "the engine ended without a message: it was killed from outside, usually by the kernel because memory ran out",
        "raise the model's `memory`, or move a model off this host; check `dmesg` there",
        dead,
    )
