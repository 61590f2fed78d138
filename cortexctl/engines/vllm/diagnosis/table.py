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
"""All exact patterns are tried before any vague one."""
_ALL = tuple(pattern for group in GROUPS for pattern in group.PATTERNS)

TABLE = tuple(sorted(_ALL, key=lambda pattern: pattern.vague))
"""Patterns that name one cause come before those with many possible causes; otherwise the order of the modules."""
