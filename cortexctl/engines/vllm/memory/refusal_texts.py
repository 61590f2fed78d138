"""vLLM's own messages when it refuses to start, as each release writes them.

Read in the sources of 57 releases from 0.6.0 to 0.33.0; 0.26.0 printed those for the cache on an H200.
"""

from __future__ import annotations

from cortexctl.engines.vllm.memory.release_changes import Behaviour
from cortexctl.text.units import GIB

_MORE = " See https://docs.vllm.ai/en/latest/configuration/conserving_memory/ for more details."
_CAUTION = (
    ". VLLM_ALLOW_LONG_MAX_MODEL_LEN must be used with extreme caution. If the model uses relative position encoding "
    "(RoPE), positions exceeding derived_max_model_len lead to nan. If the model uses absolute position encoding, "
    "positions exceeding derived_max_model_len will cause a CUDA array out-of-bounds error."
)
NO_LENGTH = (
    "Cannot auto-fit max_model_len: not enough GPU memory available to serve even a single token. Try increasing "
    "`gpu_memory_utilization`."
)
DOES_NOT_LOAD = "torch.OutOfMemoryError: CUDA out of memory."
"""Of torch, while the weights are loaded; numbers and advice follow it."""


def no_memory(acts: Behaviour, *, v1: bool) -> str:
    """Nothing is left for the cache."""
    also = " (this flag also controls CPU memory reservation on the CPU backend, despite its name)"
    return (
        "No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when initializing the "
        f"engine{also if acts.since(0, 22) else ''}.{_MORE if v1 and acts.since(0, 13) else ''}"
    )


def one_request(acts: Behaviour, length: int, needed: float, room: float, longest: int) -> str:
    """The cache holds no request of full length. `needed` and `room`: bytes. `longest`: tokens that fit."""
    models = "model's" if acts.since(0, 22) else "models's"
    need, have = (_size(acts, size) for size in (needed, room))
    also = " (which also controls CPU memory on the CPU backend)" if acts.since(0, 22) else ""
    return (
        f"To serve at least one request with the {models} max seq len ({length}), ({need} KV cache is needed, which is "
        f"larger than the available KV cache memory ({have}). {_estimate(acts, longest)}Try increasing "
        f"`gpu_memory_utilization`{also} or decreasing `max_model_len` when initializing the engine."
        f"{_MORE if acts.since(0, 13) else ''}"
    )


def _size(acts: Behaviour, size: float) -> str:
    if acts.since(0, 14):
        return f"{_rounded(size / GIB)} GiB"
    return f"{size / GIB:.2f} {'GiB' if acts.since(0, 8, 3) else 'GB'}"


def _estimate(acts: Behaviour, longest: int) -> str:
    """Two spaces are left where 0.8.4 to 0.13 print none. Up to 0.9.0 only the beginning was printed."""
    if not acts.since(0, 8, 4):
        return ""
    if not acts.since(0, 9, 1):
        return "Based on the available memory,  " if longest else " "
    estimate = f"Based on the available memory, the estimated maximum model length is {longest}. " if longest else ""
    return estimate if acts.since(0, 14) or longest else " "


def more_than_blocks(length: int, room: int) -> str:
    """Of the first engine: the cache holds `room` tokens."""
    return (
        f"The model's max seq len ({length}) is larger than the maximum number of tokens that can be stored in KV "
        f"cache ({room}). Try increasing `gpu_memory_utilization` or decreasing `max_model_len` when initializing the "
        "engine."
    )


def too_long(acts: Behaviour, length: int, key: str, derived: float, of_tokenizer: int | None) -> str:
    """max_model_len is more than config.json allows. `of_tokenizer`: the length in its tokenizer's config."""
    doubt = "" if acts.since(0, 10, 2) else " This may lead to incorrect model outputs or CUDA errors."
    return (
        f"User-specified max_model_len ({length}) is greater than the derived max_model_len ({key}={derived} or "
        f"model_max_length={of_tokenizer} in model's config.json).{doubt} To allow overriding this maximum, set the "
        f"env var VLLM_ALLOW_LONG_MAX_MODEL_LEN=1{_CAUTION if acts.since(0, 10, 2) else ''}"
    )


def not_free(acts: Behaviour, free_gib: float, total_gib: float, utilization: float) -> str:
    """Less memory is free than is requested."""
    device = " cuda:0" if acts.since(0, 14) else ""
    return (
        f"Free memory on device{device} ({_rounded(free_gib)}/{_rounded(total_gib)} GiB) on startup is less than "
        f"desired GPU memory utilization ({utilization}, {_rounded(total_gib * utilization)} GiB). Decrease GPU memory "
        "utilization or reduce GPU memory used by other processes."
    )


def _rounded(gib: float) -> str:
    """Two decimal places at most. vLLM: `format_gib`."""
    return str(round(gib, 2))
