"""Several GPUs and several processes: how a model is divided, NCCL, Ray, meeting each other."""

from __future__ import annotations

import re

from cortexctl.engines.vllm.diagnosis.pattern import Said, computed, said

MOST = 64
"""More GPUs than that nobody splits one layer over."""


def _sizes(number: int) -> str:
    """The ways to split `number` evenly, one short of each part alone: '1, 2, 4, 7, 14' for 28."""
    return ", ".join(str(n) for n in range(1, min(number, MOST + 1)) if number % n == 0)


def _heads(match: re.Match[str]) -> Said:
    heads, size = int(match[1]), int(match[2])
    return (
        f"{heads} attention heads cannot be split over tensor_parallel_size {size}",
        f"set args.tensor_parallel_size (and gpus) to one that divides {heads}: {_sizes(heads)}",
    )


def _not_divisible(match: re.Match[str]) -> Said:
    number, size = int(match[1]), int(match[2])
    return (
        f"a layer of {number} cannot be split over {size} GPUs",
        f"set args.tensor_parallel_size (and gpus) to one that divides {number}: {_sizes(number)}",
    )


def _too_few_gpus(match: re.Match[str]) -> Said:
    wanted, have = int(match[1]), int(match[2])
    return (
        (
            f"tensor_parallel_size x pipeline_parallel_size is {wanted}, and the container has {have} "
            f"GPU{'' if have == 1 else 's'}"
        ),
        f"set gpus = {wanted} on the model, or args.tensor_parallel_size = {max(1, have)}",
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
    said(
        "no-pipeline",
        r"Pipeline parallelism is not supported for this model",
        r"the model cannot be cut into stages",
        r"set args.pipeline_parallel_size = 1, and args.tensor_parallel_size to the number of GPUs",
    ),
    said(
        "no-experts",
        r"Number of experts in the model must be greater than 0 when expert parallelism is enabled",
        r"enable_expert_parallel is set, and the model has no experts",
        r"take out args.enable_expert_parallel",
    ),
    said(
        "more-ranks-than-numa-nodes",
        r"Not enough (?:allowed )?NUMA nodes to bind threads of (\d+) (?:local )?CPU ?[Ww]orkers?\. "
        r".*?(?:has|are|only)",
        r"tensor_parallel_size \1 wants as many NUMA nodes of the processor as ranks",
        r"set args.tensor_parallel_size = 1",
    ),
    said(
        "ray-missing",
        r"Unable to load Ray|Failed to import Ray|Using Ray backend requires installation of ray",
        r"the image has no Ray, which distributed_executor_backend = ray (or several nodes) needs",
        r'set args.distributed_executor_backend = "mp"',
    ),
    said(
        "ray-too-few-gpus",
        r"number of required (\w+)s exceeds the total number of available \w+s in the placement group"
        r"|Cannot provide a placement group|Ray does not allocate any GPUs|You don't have enough GPUs available"
        r"|Current node has no (\w+) available|No nodes with resources found in Ray cluster",
        r"Ray has not as many GPUs as the model wants",
        r'set args.distributed_executor_backend = "mp" on one host; else let `ray status` show why a node is missing',
    ),
    said(
        "same-gpu-twice",
        r"Duplicate GPU detected",
        r"two ranks were given the same GPU",
        r"set `gpus` to as many different ones as ranks, and take CUDA_VISIBLE_DEVICES out of `env`",
    ),
    said(
        "no-peer-access",
        r"peer access is not supported between these two devices|Cuda failure 'peer mapping resources exhausted'",
        r"the GPUs cannot reach each other's memory",
        r'set env.NCCL_P2P_DISABLE = "1" and args.disable_custom_all_reduce = true',
    ),
    said(
        "nccl-timed-out",
        r"Watchdog caught collective operation timeout|ncclRemoteError|NCCL communicator was aborted",
        r"one GPU's process waited for another in vain (NCCL timed out)",
        r'set env.NCCL_DEBUG = "INFO" to see which; try env.NCCL_P2P_DISABLE = "1", and shm_size = "8 GiB"',
    ),
    said(
        "nccl-missing",
        r"Failed to load NCCL library from (\S+?)\. ",
        r"the image has no NCCL that can be loaded (\1)",
        r"take an unchanged image of vLLM, and VLLM_NCCL_SO_PATH out of `env`",
    ),
    said(
        "nccl-failed",
        r"NCCL error: (.+)|ncclUnhandledCudaError.*|ncclSystemError.*|ncclInternalError.*",
        r"the GPUs' processes could not connect to each other (NCCL) \1",
        r'set env.NCCL_DEBUG = "INFO" for its own words; first try shm_size = "8 GiB", then env.NCCL_P2P_DISABLE = "1"',
        vague=True,
    ),
    said(
        "ranks-did-not-meet",
        r"client socket has timed out after (\S+) while trying to connect to \(([^)]+)\)",
        r"a process did not find the first one at \2 within \1",
        r"check args.master_addr and that the nodes reach each other; on one host take VLLM_HOST_IP out of `env`",
    ),
    said(
        "gloo-not-connected",
        r"Gloo connectFullMesh failed|Unable to find address for: (\w+)|Unable to resolve hostname to a "
        r"\(local\) address",
        r"the processes cannot find each other's network address \1",
        r'set env.GLOO_SOCKET_IFNAME and env.NCCL_SOCKET_IFNAME to the interface that is up ("eth0" in a container)',
    ),
)
