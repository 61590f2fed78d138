"""What the end of a container or of its engine tells where nothing names a cause: it was killed, or it never began."""

from __future__ import annotations

import re
from collections.abc import Sequence

_BY_CODE = {
    125: (
        "engine-refused",
        "the Docker daemon could not start the container at all",
        "read the engine's own message in `cortexctl status`, then correct the model's volumes, gpus or image",
    ),
    126: (
        "not-executable",
        "the image's entry point cannot be executed (exit code 126)",
        "pin an image of vLLM's own (`vllm/vllm-openai:vX.Y.Z`) that is made for this host's processor",
    ),
    127: (
        "no-entry-point",
        "the image has no such program as its entry point names (exit code 127)",
        "pin an image that has `vllm` in it (`vllm/vllm-openai:vX.Y.Z`), and say its release with `vllm_version`",
    ),
    132: (
        "illegal-instruction",
        "the processor does not know an instruction that this build uses (exit code 132, SIGILL)",
        (
            "run it on a host whose processor has what the build wants (AVX-512 for vLLM's CPU images), or pin "
            "another build"
        ),
    ),
    135: (
        "bus-error",
        "it touched shared memory that was not there (exit code 135, SIGBUS)",
        'raise the model\'s shm_size to "8 GiB"',
    ),
    137: (
        "killed",
        (
            "it was killed from outside without a word in its log (exit code 137, SIGKILL): mostly the kernel, "
            "for want of "
            "the host's memory"
        ),
        (
            "look at `dmesg` on the host; give it more memory: raise `memory`, or lower args.cpu_offload_gb, "
            "or move a model off this host"
        ),
    ),
    139: (
        "segmentation-fault",
        "it crashed inside native code (exit code 139, SIGSEGV)",
        (
            "try args.enforce_eager = true to rule out compiled code, then another release of vLLM; "
            "look at `dmesg` for errors of the GPU"
        ),
    ),
    143: (
        "terminated",
        "it was told to stop (exit code 143, SIGTERM), and did",
        (
            "`cortexctl apply --only drift` starts it again; if nobody stopped it on purpose, ask `docker events` on "
            "the host"
        ),
    ),
}


def how_it_ended(exit_code: int | None, *, oom_killed: bool) -> tuple[str, str, str] | None:
    """(pattern, cause, fix); None where the end says nothing of itself: it runs, or ended with 0, 1 or 2."""
    if oom_killed:
        return (
            "memory-limit",
            "the kernel killed it because it used more memory than the container may (its memory limit)",
            (
                "raise the model's `memory` (the weights pass through the host's memory: their size and 8 GiB), "
                "or leave it out"
            ),
        )
    return _BY_CODE.get(exit_code) if exit_code is not None else None


_DEAD = re.compile(r"EngineDeadError: EngineCore encountered an issue")
_ENGINE = re.compile(r"\(EngineCore\w* pid=\d+\)")
_ENGINES_ERROR = re.compile(r"\(EngineCore\w* pid=\d+\) (?:ERROR|Traceback|Process EngineCore)|^Process EngineCore")


def died_without_a_word(log: Sequence[str]) -> tuple[str, str, str, int] | None:
    """(pattern, cause, fix, index of the line), where the API server misses its engine and that never complained.

    A kill -9 of the engine of vLLM 0.32.0 looks so: the API server then stops in good order and exits with 0.
    """
    dead = next((n for n, line in enumerate(log) if _DEAD.search(line)), None)
    if dead is None or any(_ENGINES_ERROR.search(line) for line in log[:dead]):
        return None
    if not any(_ENGINE.search(line) for line in log[:dead]):
        return None
    return (
        "engine-died-silently",
        "the engine ended without a word: it was killed from outside, mostly by the kernel for want of memory",
        "raise the model's `memory`, or move a model off this host; look at `dmesg` there",
        dead,
    )
