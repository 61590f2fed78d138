"""All patterns, in the order in which they are tried."""

from __future__ import annotations

from cortexctl.engines.vllm.diagnosis import (
    arguments,
    checkpoint,
    features,
    gpu_memory,
    gpus,
    host_limits,
    parallel,
    precision,
    processes,
    source,
)

GROUPS = (
    arguments,
    gpu_memory,
    parallel,
    precision,
    features,
    gpus,
    host_limits,
    source,
    checkpoint,
    processes,
)
"""What is exact of all goes before what is vague of any."""
_ALL = tuple(pattern for group in GROUPS for pattern in group.PATTERNS)

TABLE = tuple(sorted(_ALL, key=lambda pattern: pattern.vague))
"""What names its cause stands before what can have many; within that, as in the modules."""
