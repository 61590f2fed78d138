"""Tokens in a block of the KV cache, by release: 16, or what the kernels for latent vectors on this GPU take.

vLLM: `CudaPlatform.check_and_update_config` up to 0.17, since then `update_block_size_for_backend` with
`_get_backend_priorities` and each backend's `get_supported_kernel_block_sizes`, read in 28 releases from 0.8.5 to
0.33.0. Measured: FLASH_ATTN_MLA with 16 on Hopper in 0.26.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from math import lcm
from typing import Any

from cortexctl.engines.gpu_table import Gpu
from cortexctl.engines.vllm.memory.layers import Latent
from cortexctl.engines.vllm.memory.model_facts import Facts
from cortexctl.engines.vllm.memory.release_changes import Behaviour
from cortexctl.engines.vllm.memory.states import States

DEFAULT = 16
_KERNELS = {
    "FLASHMLA": 64,
    "CUTLASS_MLA": 128,
    "FLASHINFER_MLA": 32,
    "TOKENSPEED_MLA": 32,
    "FLASHMLA_SPARSE": 64,
    "FLASH_ATTN_MLA_SPARSE": 64,
    "FLASHINFER_MLA_SPARSE": 32,
    "FLASHINFER_MLA_SPARSE_SM120": 64,
}
"""Of the backends for latent vectors, the smallest block that is not 16; others take 16."""


def block_size(
    acts: Behaviour, args: Mapping[str, Any], gpu: Gpu, facts: Facts, kv: str, environ: Mapping[str, str]
) -> int:
    """Tokens, before a block is raised to the size of a state. `kv`: the type of the cache. Up to 0.17, a set block
    that the kernels do not take is replaced.
    """
    setting = args.get("block_size")
    setting = setting if isinstance(setting, int) and not isinstance(setting, bool) else 0
    latent = _latent(facts)
    if latent is None or environ.get("VLLM_MLA_DISABLE") == "1" or not acts.since(0, 8):
        return setting or DEFAULT
    backend = _named(args, environ) or _chosen(acts, args, gpu, latent, kv)
    kernel = _KERNELS.get(backend, DEFAULT)
    if acts.since(0, 18):
        return setting or kernel
    if backend == "FLASHINFER_MLA":
        return setting if setting and (setting == kernel or setting % 64 == 0) else 64
    return setting if setting and setting % kernel == 0 else kernel


@lru_cache(maxsize=64)
def _latent(facts: Facts) -> Latent | None:
    return next((m for layer in facts.layers for m in layer.mixers if isinstance(m, Latent)), None)


def _named(args: Mapping[str, Any], environ: Mapping[str, str]) -> str:
    """The backend that the launch asks for."""
    config = args.get("attention_config")
    named = args.get("attention_backend") or (config.get("backend") if isinstance(config, Mapping) else None)
    return str(named or environ.get("VLLM_ATTENTION_BACKEND") or "").upper()


def _chosen(acts: Behaviour, args: Mapping[str, Any], gpu: Gpu, latent: Latent, kv: str) -> str:
    """The first backend of the release's list that serves the GPU, the widths and the type of the cache."""
    if gpu.capability < 9:
        return "TRITON_MLA"
    if latent.index_dim and acts.since(0, 11):
        return _sparse(acts, args, gpu, latent, kv)
    if gpu.capability < 10:
        in_16_bits = not kv.startswith("fp8")
        return "FLASH_ATTN_MLA" if acts.since(0, 18) and in_16_bits else "FLASHMLA"
    if gpu.capability >= 11 or not acts.since(0, 10, 1):
        return "TRITON_MLA"
    return "FLASHINFER_MLA" if acts.since(0, 15) and latent.nope == 128 else "CUTLASS_MLA"


def _sparse(acts: Behaviour, args: Mapping[str, Any], gpu: Gpu, latent: Latent, kv: str) -> str:
    """Attention to the tokens that an indexer selects."""
    if gpu.capability >= 12 and acts.since(0, 18):
        return "FLASHINFER_MLA_SPARSE_SM120"
    heads = latent.heads // max(1, int(args.get("tensor_parallel_size") or 1))
    in_8_bits = kv.startswith("fp8") and acts.since(0, 19)
    if 10 <= gpu.capability < 11 and acts.since(0, 18) and (in_8_bits or heads <= 16):
        return "FLASHINFER_MLA_SPARSE"
    return "FLASHMLA_SPARSE"


def raised_block(block: int, state: int, token: int, states: States, *, acts: Behaviour, latent: bool) -> int:
    """Tokens of attention's block: its page is at least the largest state. `state`: bytes of that; `token`: bytes of
    a token in the smallest cache. 0 for either: the block stays. vLLM: `_align_hybrid_block_size`.
    """
    if not state or not token:
        return block
    if acts.since(0, 20):
        unit = max(block, 128) if latent and acts.since(0, 27) else block
    else:
        unit = (128 if block % 128 == 0 else 64) if latent else DEFAULT
    if states.mode == "all":
        unit = lcm(unit, states.chunk)
    return max(block, unit * -(-state // (unit * token)))
