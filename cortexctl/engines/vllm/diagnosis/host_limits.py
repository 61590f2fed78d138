"""The host: memory, /dev/shm, disk, ports; and what the Docker daemon says when it cannot make the container."""

from __future__ import annotations

import math
import re

from cortexctl.engines.vllm.diagnosis.pattern import Said, computed, said
from cortexctl.text.units import GIB


def _shm(match: re.Match[str]) -> Said:
    path, required, free = match[1], float(match[2]), float(match[3])
    size = max(1, 2 ** math.ceil(math.log2(max(1.0, 2 * required / 1024))))
    return (
        f"{path} in the container is too small: {required:g} MiB are wanted, {free:g} MiB are free",
        f'set shm_size = "{max(2, size)} GiB" on the model',
    )


def _nccl_segment(match: re.Match[str]) -> Said:
    return (
        f"/dev/shm in the container is too small for NCCL (a segment of {int(match[1]) / 2**20:.0f} MiB)",  # noqa: S108
        'set shm_size = "8 GiB" on the model',
    )


def _cpu_allocation(match: re.Match[str]) -> Said:
    wanted = int(match[1]) / GIB
    return (
        f"the host's memory ran out: {wanted:.1f} GiB more were wanted",
        "raise the model's `memory`; take out args.cpu_offload_gb and args.swap_space, or move a model off this host",
    )


PATTERNS = (
    computed(
        "shm-too-small",
        r"Insufficient space in (\S+)(?: for .+?)?: ([\d.]+) MiB required, ([\d.]+) MiB free",
        _shm,
    ),
    computed(
        "shm-too-small-for-nccl",
        r"Error while creating shared memory segment \S+ \(size (\d+)\)",
        _nccl_segment,
    ),
    said(
        "shm-bus-error",
        r"Unexpected bus error encountered in worker|Fatal Python error: Bus error",
        r"/dev/shm in the container is too small",  # noqa: S108
        r'set shm_size = "8 GiB" on the model',
    ),
    said(
        "shm-full",
        r"No space left on device: '?/?(?:dev/shm/)?(psm_\w+|nccl-\w+|torch_\w+)",
        r"/dev/shm in the container is full (\1)",  # noqa: S108
        r'set shm_size = "8 GiB" on the model',
    ),
    said(
        "disk-full",
        r"\[Errno 28\] No space left on device(?:: '([^']+)')?|no space left on device|ENOSPC|Disk quota exceeded",
        r"the host's disk is full (\1)",
        r"free space there (`docker system df`, old revisions in `hf_cache`), or point `hf_cache` to a larger disk",
    ),
    computed(
        "host-memory-ran-out",
        r"DefaultCPUAllocator: can't allocate memory: you tried to allocate (\d+) bytes",
        _cpu_allocation,
    ),
    said(
        "host-cannot-allocate",
        r"\[Errno 12\] Cannot allocate memory|^MemoryError\b",
        r"the host's memory ran out",
        r"raise the model's `memory`; take out args.cpu_offload_gb and args.swap_space, or move a model off this host",
    ),
    said(
        "too-many-files",
        r"OSError: \[Errno 24\] Too many open files",
        r"the server ran out of file descriptors",
        r"raise the Docker daemon's default limit of open files (default-ulimits nofile in daemon.json) to 65536",
    ),
    said(
        "folder-missing",
        r"bind source path does not exist: (\S+)",
        r"the folder \1 does not exist on the host",
        r"create it there, or correct models_dir, hf_cache or volumes",
    ),
    said(
        "port-not-permitted",
        r"PermissionError: \[Errno 13\] (?:error while attempting to bind on address|Permission denied$)",
        r"the server may not listen on so low a port in its container (cap_drop = ALL)",
        r"take args.port out, and choose the host's port with `publish`",
    ),
    said(
        "address-not-here",
        r"\[Errno 99\] (?:error while attempting to bind on address|Cannot assign requested address)"
        r"|cannot assign requested address",
        r"there is no such address to listen on",
        r'take args.host out (inside, it is 0.0.0.0), and give `publish` an address of the host, as "127.0.0.1"',
    ),
    said(
        "port-taken",
        r"[Aa]ddress already in use|port is already allocated|EADDRINUSE",
        r"the server's port is taken",
        r"change `publish`, or stop what listens there",
    ),
    said(
        "image-for-another-processor",
        r"exec format error|no matching manifest for (\S+)",
        r"the image is made for another processor than the host's \1",
        r"pin a tag that is built for the host's processor",
    ),
    said(
        "no-such-program",
        r'exec: "([^"]+)": executable file not found',
        r"the image has no program \1",
        r"pin an image that has vLLM in it (`vllm/vllm-openai:vX.Y.Z`), and say its release with `vllm_version`",
    ),
)
