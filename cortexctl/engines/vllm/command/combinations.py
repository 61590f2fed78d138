"""Arguments that are valid one by one, and not together or not on a GPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cortexctl.engines.base import ArgumentIssue

CUDA_BLOCK = 16
"""The attention backends for CUDA need a block of the KV cache with a multiple of this number of tokens."""
_OF_GRAPHS = ("cudagraph_capture_sizes", "cuda_graph_sizes", "max_cudagraph_capture_size", "max_seq_len_to_capture")
_KEYS_OF_GRAPHS = (
    "cudagraph_capture_sizes",
    "max_cudagraph_capture_size",
    "cudagraph_mode",
    "cudagraph_num_of_warmups",
)


def check_combinations(args: Mapping[str, Any]) -> Iterator[ArgumentIssue]:
    """`args`: of one launch, by name. All findings are warnings."""
    size = args.get("block_size")
    if type(size) is int and size > 0 and size % CUDA_BLOCK:
        yield ArgumentIssue(
            "block_size",
            "CX302",
            f"block_size = {size} is not a multiple of {CUDA_BLOCK}, which the attention backends for CUDA need",
            f"leave it out, or use {CUDA_BLOCK} or 32; only other platforms (CPU, ROCm, TPU) have smaller blocks",
            fatal=False,
            about="value",
        )
    if args.get("enforce_eager") is True:
        for name in _graphs_in(args):
            yield ArgumentIssue(
                name.partition(".")[0],
                "CX303",
                f"{name} has no effect with enforce_eager, which turns CUDA graphs off",
                f"remove {name}, or enforce_eager",
                fatal=False,
            )


def _graphs_in(args: Mapping[str, Any]) -> Iterator[str]:
    yield from (name for name in _OF_GRAPHS if args.get(name))
    config = args.get("compilation_config")
    if isinstance(config, Mapping):
        yield from (f"compilation_config.{key}" for key in _KEYS_OF_GRAPHS if config.get(key))
