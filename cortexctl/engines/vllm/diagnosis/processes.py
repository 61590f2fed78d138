"""Processes of a server that end each other: who died first, who waited too long."""

from __future__ import annotations

import re
import signal

from cortexctl.engines.vllm.diagnosis.pattern import Said, computed, said

KILLED = signal.SIGKILL


def _died(match: re.Match[str]) -> Said:
    who, number = match[1], int(match[2])
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    if number == KILLED:
        return (
            f"{who} was killed from outside ({name}): mostly the kernel, for want of the host's memory",
            "raise the model's `memory`; take out args.cpu_offload_gb and args.swap_space; look at `dmesg` on the host",
        )
    if name == "SIGBUS":
        return f"{who} died of {name}: /dev/shm in the container is too small", 'set shm_size = "8 GiB" on the model'
    if name == "SIGILL":
        return (
            f"{who} died of {name}: the processor does not know an instruction that this build uses",
            "move the model to a host with another processor, or pin another build",
        )
    return (
        f"{who} crashed inside native code ({name})",
        "try args.enforce_eager = true, then another release; look at `dmesg` for errors of the GPU",
    )


PATTERNS = (
    computed("worker-killed", r"Worker proc (\S+) died unexpectedly \(exit code: -(\d+)\)", _died),
    computed("old-worker-killed", r"(Worker VllmWorkerProcess) pid \d+ died, exit code: -(\d+)", _died),
    computed("engine-killed", r"Failed core proc\(s\): \{[^}]*'(\w+)': -(\d+)", _died),
    said(
        "engine-too-slow",
        r"Timed out waiting for (?:new )?engine core processes to start\..*?Waited (\d+)s",
        r"the engine was not ready within \1 s, the limit that vLLM has itself",
        r'set env.VLLM_ENGINE_READY_TIMEOUT_S = "3600"',
    ),
    said(
        "step-too-slow",
        r"TimeoutError: RPC call to (\w+) timed out",
        r"a GPU's process did not answer \1 in time: it hangs, or compiles for very long",
        r'set env.VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS = "1200" where it compiles; else env.NCCL_P2P_DISABLE = "1"',
    ),
    said(
        "front-end-silent",
        r"Did not receive response from front-end process within (\d+) minutes",
        r"the engine waited \1 minutes for its API server in vain",
        r"look further up for what ended the API server; on several nodes check args.data_parallel_address",
    ),
    said(
        "segmentation-fault",
        r"!!!!!!! Segfault encountered !!!!!!!|Fatal Python error: Segmentation fault",
        r"it crashed inside native code",
        r"try args.enforce_eager = true, then another release; look at `dmesg` for errors of the GPU",
    ),
    said(
        "illegal-instruction-in-log",
        r"Fatal Python error: Illegal instruction",
        r"the processor does not know an instruction that this build uses",
        r"move the model to a host with another processor, or pin another build",
    ),
)
