"""Processes of a server that end each other: which one died first, which one waited too long."""

from __future__ import annotations

import re
import signal

from cortexctl.engines.vllm.diagnosis.pattern import Message, computed, fixed

KILLED = signal.SIGKILL


def _died(match: re.Match[str]) -> Message:
    process, number = match[1], int(match[2])
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    if number == KILLED:
        return (
            f"{process} was killed from outside ({name}): usually the kernel, because the host ran out of memory",
            "raise the model's `memory`; remove args.cpu_offload_gb and args.swap_space; check `dmesg` on the host",
        )
    if name == "SIGBUS":
        return (
            f"{process} died of {name}: /dev/shm in the container is too small",
            'set shm_size = "8 GiB" on the model',
        )
    if name == "SIGILL":
        return (
            f"{process} died of {name}: the processor does not support an instruction that this build uses",
            "move the model to a host with another processor, or pin another build",
        )
    return (
        f"{process} crashed inside native code ({name})",
        "try args.enforce_eager = true, then another release; check `dmesg` for GPU errors",
    )


PATTERNS = (
    computed("worker-killed", r"Worker proc (\S+) died unexpectedly \(exit code: -(\d+)\)", _died),
    computed("old-worker-killed", r"(Worker VllmWorkerProcess) pid \d+ died, exit code: -(\d+)", _died),
    computed("engine-killed", r"Failed core proc\(s\): \{[^}]*'(\w+)': -(\d+)", _died),
    fixed(
        "engine-too-slow",
        r"Timed out waiting for (?:new )?engine core processes to start\..*?Waited (\d+)s",
        r"the engine was not ready within \1 s, vLLM's own limit",
        r'set env.VLLM_ENGINE_READY_TIMEOUT_S = "3600"',
    ),
    fixed(
        "step-too-slow",
        r"TimeoutError: RPC call to (\w+) timed out",
        r"a GPU's process did not answer \1 in time: it hangs, or compiles for very long",
        'set env.VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS = "1200" if it compiles; otherwise env.NCCL_P2P_DISABLE = "1"',
    ),
    fixed(
        "front-end-silent",
        r"Did not receive response from front-end process within (\d+) minutes",
        r"the engine waited \1 minutes for its API server, which did not answer",
        (
            "check earlier lines for the reason why the API server ended; on several nodes check "
            "args.data_parallel_address"
        ),
    ),
    fixed(
        "cuda-before-fork",
        r"Cannot re-initialize CUDA in forked subprocess",
        "CUDA was initialised before the server started its processes by fork",
        'set env.VLLM_WORKER_MULTIPROC_METHOD = "spawn"',
    ),
    fixed(
        "segmentation-fault",
        r"!!!!!!! Segfault encountered !!!!!!!|Fatal Python error: Segmentation fault",
        r"it crashed inside native code",
        "try args.enforce_eager = true, then another release; check `dmesg` for GPU errors",
    ),
    fixed(
        "illegal-instruction-in-log",
        r"Fatal Python error: Illegal instruction",
        "the processor does not support an instruction that this build uses",
        r"move the model to a host with another processor, or pin another build",
    ),
)
