"""Several GPUs and processes: how a model is split, NCCL, Ray, and connecting the processes."""

from __future__ import annotations

import re

from cortexctl.engines.vllm.diagnosis.pattern import Message, computed, fixed

MOST = 64
"""The most GPUs that one layer is split over in practice."""


def _sizes(number: int) -> str:
    """The sizes that divide `number` evenly, without the case of one element per GPU: '1, 2, 4, 7, 14' for 28."""
    return ", ".join(str(n) for n in range(1, min(number, MOST + 1)) if number % n == 0)


def _heads(match: re.Match[str]) -> Message:
    heads, size = int(match[1]), int(match[2])
    return (
        f"{heads} attention heads cannot be split over tensor_parallel_size {size}",
        f"set args.tensor_parallel_size (and gpus) to a divisor of {heads}: {_sizes(heads)}",
    )


def _not_divisible(match: re.Match[str]) -> Message:
    number, size = int(match[1]), int(match[2])
    return (
        f"a layer of {number} cannot be split over {size} GPUs",
        f"set args.tensor_parallel_size (and gpus) to a divisor of {number}: {_sizes(number)}",
    )


def _too_few_gpus(match: re.Match[str]) -> Message:
    required, have = int(match[1]), int(match[2])
    return (
        (
            f"tensor_parallel_size x pipeline_parallel_size is {required}, but the container has {have} "
            f"GPU{'' if have == 1 else 's'}"
        ),
        f"set gpus = {required} on the model, or args.tensor_parallel_size = {max(1, have)}",
    )


PATTERNS = (
    computed(
        "heads-not-divisible",
        r"Total number of attention heads \((\d+)\) must be divisible by tensor parallel size \((\d+)\)",
        _heads,
    ),
    computed("layer-not-divisible", r"AssertionError: (\d+) is not divisible by (\d+)", _not_divisible),
    computed(
        "more-ranks-than-gpus",
        r"World size \((\d+)\) is larger than the number of available GPUs \((\d+)\)",
        _too_few_gpus,
    ),
    computed(
        "more-ranks-than-local-gpus",
        r"(?:set tensor_parallel_size|that world_size) \((\d+)\) (?:to|is) less than (?:than )?max local gpu "
        r"count \((\d+)\)",
        _too_few_gpus,
    ),
    fixed(
        "no-pipeline",
        r"Pipeline parallelism is not supported for this model",
        "the model does not support pipeline parallelism",
        r"set args.pipeline_parallel_size = 1, and args.tensor_parallel_size to the number of GPUs",
    ),
    fixed(
        "no-experts",
        r"Number of experts in the model must be greater than 0 when expert parallelism is enabled",
        "enable_expert_parallel is set, but the model has no experts",
        "remove args.enable_expert_parallel",
    ),
    fixed(
        "more-ranks-than-numa-nodes",
        r"Not enough (?:allowed )?NUMA nodes to bind threads of (\d+) (?:local )?CPU ?[Ww]orkers?\. "
        r".*?(?:has|are|only)",
        r"tensor_parallel_size \1 needs one NUMA node of the processor per rank",
        r"set args.tensor_parallel_size = 1",
    ),
    fixed(
        "ray-missing",
        r"Unable to load Ray|Failed to import Ray|Using Ray backend requires installation of ray",
        "the image has no Ray, which distributed_executor_backend = ray (or several nodes) needs",
        r'set args.distributed_executor_backend = "mp"',
    ),
    fixed(
        "ray-too-few-gpus",
        r"number of required (\w+)s exceeds the total number of available \w+s in the placement group"
        r"|Cannot provide a placement group|Ray does not allocate any GPUs|You don't have enough GPUs available"
        r"|Current node has no (\w+) available|No nodes with resources found in Ray cluster",
        "Ray has fewer GPUs than the model needs",
        (
            'set args.distributed_executor_backend = "mp" on one host; on several, check with `ray status` '
            "why a node is missing"
        ),
    ),
    fixed(
        "same-gpu-twice",
        r"Duplicate GPU detected",
        "two ranks use the same GPU",
        "set `gpus` to as many different GPUs as there are ranks, and remove CUDA_VISIBLE_DEVICES from `env`",
    ),
    fixed(
        "no-peer-access",
        r"peer access is not supported between these two devices|Cuda failure 'peer mapping resources exhausted'",
        "the GPUs cannot access each other's memory",
        r'set env.NCCL_P2P_DISABLE = "1" and args.disable_custom_all_reduce = true',
    ),
    fixed(
        "nccl-timed-out",
        r"Watchdog caught collective operation timeout|ncclRemoteError|NCCL communicator was aborted",
        "one GPU's process timed out waiting for another (NCCL)",
        'set env.NCCL_DEBUG = "INFO" to see which one; try env.NCCL_P2P_DISABLE = "1", and shm_size = "8 GiB"',
    ),
    fixed(
        "nccl-missing",
        r"Failed to load NCCL library from (\S+?)\. ",
        r"the image has no NCCL that can be loaded (\1)",
        "use an unmodified vLLM image, and remove VLLM_NCCL_SO_PATH from `env`",
    ),
    fixed(
        "nccl-usage",
        r"ncclInvalidUsage.*|ncclInvalidArgument.*|NCCL error: invalid (?:usage|argument).*",
        "NCCL rejects how the GPUs are used: usually two ranks have the same GPU, or the nodes have different "
        "NCCL versions",
        "set `gpus` to as many different GPUs as there are ranks, remove CUDA_VISIBLE_DEVICES from `env`, and "
        "use one image on "
        'all nodes; env.NCCL_DEBUG = "INFO" shows the reason',
    ),
    fixed(
        "nccl-out-of-memory",
        r"Cuda failure (?:\d+ )?'out of memory'",
        "the GPU has no memory left for NCCL's buffers",
        "lower args.gpu_memory_utilization by 0.05, and stop other processes on these GPUs (nvidia-smi shows them)",
    ),
    fixed(
        "nccl-failed",
        r"NCCL error: (.+)|ncclUnhandledCudaError.*|ncclSystemError.*|ncclInternalError.*",
        r"the GPUs' processes could not connect to each other (NCCL) \1",
        'set env.NCCL_DEBUG = "INFO" for details; first try shm_size = "8 GiB", then env.NCCL_P2P_DISABLE = "1"',
        vague=True,
    ),
    fixed(
        "ranks-did-not-meet",
        r"client socket has timed out after (\S+) while trying to connect to \(([^)]+)\)",
        r"a process could not connect to the first one at \2 within \1",
        "check args.master_addr and that the nodes can reach each other; on one host remove VLLM_HOST_IP from `env`",
    ),
    fixed(
        "gloo-not-connected",
        r"Gloo connectFullMesh failed|Bootstrap : no socket interface found|Unable to find address for: (\w+)"
        r"|Unable to resolve hostname to a "
        r"\(local\) address",
        r"the processes could not find each other's network address \1",
        'set env.GLOO_SOCKET_IFNAME and env.NCCL_SOCKET_IFNAME to the active interface ("eth0" in a container)',
    ),
)
