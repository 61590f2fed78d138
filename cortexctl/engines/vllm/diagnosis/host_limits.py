"""Limits of the host: memory, /dev/shm, disk, ports; and the Docker daemon's errors when it cannot create the
container.
"""

from __future__ import annotations

import math
import re

from cortexctl.engines.vllm.diagnosis.pattern import Message, computed, fixed
from cortexctl.text.units import GIB


def _shm(match: re.Match[str]) -> Message:
    path, required, free = match[1], float(match[2]), float(match[3])
    size = max(1, 2 ** math.ceil(math.log2(max(1.0, 2 * required / 1024))))
    return (
        f"{path} in the container is too small: {required:g} MiB are needed, {free:g} MiB are free",
        f'set shm_size = "{max(2, size)} GiB" on the model',
    )


def _nccl_segment(match: re.Match[str]) -> Message:
    return (
        "/dev/shm in the container is too small for NCCL"  # noqa: S108
        + (f" (a segment of {int(match[1]) / 2**20:.0f} MiB)" if int(match[1]) else ""),
        'set shm_size = "8 GiB" on the model',
    )


def _cpu_allocation(match: re.Match[str]) -> Message:
    required = int(match[1]) / GIB
    return (
        f"the host's memory ran out: {required:.1f} GiB more were needed",
        "raise the model's `memory`; remove args.cpu_offload_gb and args.swap_space, or move a model off this host",
    )


PATTERNS = (
    computed(
        "shm-too-small",
        r"Insufficient space in (\S+)(?: for .+?)?: ([\d.]+) MiB required, ([\d.]+) MiB free",
        _shm,
    ),
    computed(
        "shm-too-small-for-nccl",
        r"Error while (?:creating|attaching to) shared memory segment \S+ \(size (\d+)\)",
        _nccl_segment,
    ),
    fixed(
        "shm-bus-error",
        r"Unexpected bus error encountered in worker|Fatal Python error: Bus error",
        r"/dev/shm in the container is too small",  # noqa: S108
        r'set shm_size = "8 GiB" on the model',
    ),
    fixed(
        "shm-full",
        r"No space left on device: '?/?(?:dev/shm/)?(psm_\w+|nccl-\w+|torch_\w+)",
        r"/dev/shm in the container is full (\1)",  # noqa: S108
        r'set shm_size = "8 GiB" on the model',
    ),
    fixed(
        "disk-full",
        r"\[Errno 28\] No space left on device(?:: '([^']+)')?|[Nn]o space left on device(?: \(os error 28\))?"
        r"|ENOSPC|Disk quota exceeded",
        r"the host's disk is full (\1)",
        "free space there (`docker system df`, old revisions in `hf_cache`), or point `hf_cache` to a larger disk",
    ),
    computed(
        "host-memory-ran-out",
        r"DefaultCPUAllocator: can't allocate memory: you tried to allocate (\d+) bytes",
        _cpu_allocation,
    ),
    fixed(
        "host-cannot-allocate",
        r"\[Errno 12\] Cannot allocate memory|^MemoryError\b",
        r"the host's memory ran out",
        "raise the model's `memory`; remove args.cpu_offload_gb and args.swap_space, or move a model off this host",
    ),
    fixed(
        "too-many-files",
        r"OSError: \[Errno 24\] Too many open files",
        r"the server ran out of file descriptors",
        "raise the Docker daemon's default limit of open files (default-ulimits nofile in daemon.json) to 65536",
    ),
    fixed(
        "folder-missing",
        r"bind source path does not exist: (\S+)",
        r"the folder \1 does not exist on the host",
        r"create it there, or correct models_dir, hf_cache or volumes",
    ),
    fixed(
        "port-not-permitted",
        r"PermissionError: \[Errno 13\] (?:error while attempting to bind on address|Permission denied$)",
        "the server may not listen on such a low port in its container (cap_drop = ALL)",
        "remove args.port, and choose the host's port with `publish`",
    ),
    fixed(
        "address-not-here",
        r"\[Errno 99\] (?:error while attempting to bind on address|Cannot assign requested address)"
        r"|cannot assign requested address",
        "the address to listen on does not exist",
        (
            "remove args.host (in the container it is 0.0.0.0), and set `publish` to an address of the host, "
            'such as "127.0.0.1"'
        ),
    ),
    fixed(
        "port-taken",
        r"[Aa]ddress already in use|port is already allocated|EADDRINUSE",
        "the server's port is already in use",
        "change `publish`, or stop the program that uses the port",
    ),
    fixed(
        "image-for-another-processor",
        r"exec format error|no matching manifest for (\S+)",
        r"the image is built for another processor type than the host's \1",
        "pin a tag that is built for the host's processor",
    ),
    fixed(
        "no-program-named",
        r"exec: (--?[\w-]*): invalid option|exec: \"(--?[\w-]+)\": executable file not found",
        r"the image's entry point starts the program that the command names, and the command begins with an "
        r"option: \1\2",
        "write `vllm serve MODEL` before the options (images of NVIDIA do not start vLLM themselves), or pin "
        "vllm/vllm-openai",
    ),
    fixed(
        "user-without-name",
        r"getpwuid\(\): uid not found: (\d+)",
        r"the container runs as user \1, which the image does not have, and PyTorch needs the name",
        'set env.USER = "vllm" and env.HOME to a folder that this user can write, or run it as a user of the image',
    ),
    fixed(
        "no-more-threads",
        r"can't start new thread|pthread_create failed|Thread creation failed",
        "the container cannot start further threads",
        "update the Docker daemon (before 20.10.10 it blocks new threads of current images), and raise its limit of "
        "processes (pids-limit, default-ulimits nproc in daemon.json)",
    ),
    fixed(
        "no-such-program",
        r"exec: \"([^\"]+)\": executable file not found"
        r"|^\S*sh: (?:line )?\d+: (?:exec: )?([\w./-]+): (?:command )?not found"
        r"|No module named '?(vllm)\b(?!\._)",
        r"the image does not contain the program \1\2\3",
        "pin an image that contains vLLM (`vllm/vllm-openai:vX.Y.Z`), and set its release with `vllm_version`",
    ),
    fixed(
        "no-such-image",
        r"manifest for (\S+) not found|pull access denied for ([^\s,]+)",
        r"the registry does not have the image \1\2, or it is private",
        "correct `image` (vLLM's tags are vX.Y.Z), or log in to its registry on the host: `docker login`",
    ),
    fixed(
        "registry-rate-limit",
        r"toomanyrequests: ",
        "the registry of the image refuses further downloads from this address for now",
        "wait, log in to the registry on the host (`docker login`), or use a mirror in `image`",
    ),
)
