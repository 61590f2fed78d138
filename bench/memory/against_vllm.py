"""Compares the exact part with vLLM's own planning code, on the same caches. Needs an installed vLLM 0.32.

`PYTHONPATH=. python bench/memory/against_vllm.py CONFIG.json…` draws settings for every config, and prints each
difference in blocks, tokens, concurrency, the least memory and the longest request that fits.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch  # type: ignore[import-not-found]
from vllm.v1.core import kv_cache_utils as theirs  # type: ignore[import-not-found]
from vllm.v1.kv_cache_interface import (  # type: ignore[import-not-found]
    ChunkedLocalAttentionSpec,
    FullAttentionSpec,
    MambaSpec,
    SlidingWindowSpec,
)
from vllm.v1.kv_cache_layout import KVCacheLayout  # type: ignore[import-not-found]

from cortexctl.engines.vllm.memory.budget import budget
from cortexctl.engines.vllm.memory.caches import Cache, CacheOptions, layer_caches
from cortexctl.engines.vllm.memory.lengths import longest_request
from cortexctl.engines.vllm.memory.model_facts import Facts, read_facts
from cortexctl.engines.vllm.memory.release_changes import behaviour
from cortexctl.engines.vllm.memory.settings import Settings
from cortexctl.engines.vllm.memory.stage import BudgetInputs

VERSION, DRAWS = "0.32.0", 60
GIB = 2**30


def main(paths: list[str]) -> int:
    draw = random.Random(7)
    compared = different = 0
    for path in paths:
        facts = read_facts(json.loads(Path(path).read_text(encoding="utf-8")))
        if facts.pooling:
            continue
        for _ in range(DRAWS):
            compared += 1
            if text := difference(facts, draw):
                different += 1
                print(f"{Path(path).stem}: {text}")
    print(f"{compared} settings compared, {different} differ")
    return 1 if different else 0


def difference(facts: Facts, draw: random.Random) -> str:
    """The difference; empty if both agree."""
    most = longest_request(facts.lengths, behaviour(VERSION)).most
    args = {
        "max_model_len": min(draw.choice([1000, 4096, 8192, 32768, 131072]), most),
        "max_num_batched_tokens": draw.choice([512, 2048, 8192]),
        "max_num_seqs": 64,
        "tensor_parallel_size": draw.choice([1, 2, 4]),
        "enable_prefix_caching": draw.choice([True, False]),
        "kv_cache_dtype": draw.choice(["auto", "fp8"]),
    }
    available = draw.uniform(0.05, 80) * GIB
    computed = budget(facts, BudgetInputs(args, version=VERSION, available_gib=available / GIB))
    ours = (
        int(computed.blocks.value),
        int(computed.tokens.value),
        round(computed.concurrency.value, 6),
        computed.tightest.pool.needed(computed.length),
        computed.tightest.pool.longest(available, computed.length),
    )
    block = computed.tightest.pool.block_size or computed.settings.block
    real = vllm_numbers(facts, computed.settings, block, int(available))
    return "" if ours == real else f"{args} {available / GIB:.3f} GiB: ours {ours}, vLLM {real}"


def vllm_numbers(facts: Facts, s: Settings, block: int, available: int) -> tuple[int, int, float, int, int]:
    keeping = CacheOptions(s.tp, s.cache_bytes, s.model_bytes, s.behaviour, kv_dtype=s.kv_dtype)
    caches = layer_caches(facts, range(len(facts.layers)), keeping)
    page = block * min((c.token for c in caches if c.kind != "state"), default=1)
    specs = {f"layer.{i}": spec(cache, block, page, s) for i, cache in enumerate(caches)}
    config = stand_in(s)
    groups = theirs.get_kv_cache_groups(config, dict(specs))
    planned = theirs.get_kv_cache_config_from_groups(config, groups, available)
    tokens, concurrency = theirs.get_kv_cache_capacity(config, planned)
    needed = theirs._max_memory_usage_bytes_from_groups(config, groups)  # noqa: SLF001
    per_block = theirs._pool_bytes_per_block(config, groups)  # noqa: SLF001
    longest = theirs._estimate_max_model_len_from_groups(config, groups, available - per_block)  # noqa: SLF001
    return planned.num_blocks, tokens, round(concurrency, 6), needed, longest


def spec(cache: Cache, block: int, page: int, s: Settings) -> Any:
    """The cache of one layer in vLLM's form, with widths that give the same bytes."""
    if cache.kind == "state":
        mode = s.states.mode
        size = s.max_model_len if mode == "none" else block
        padded = max(page, cache.state)
        return MambaSpec(
            block_size=size,
            shapes=((cache.state // 2,),),
            dtypes=(torch.float16,),
            page_size_padded=padded,
            mamba_cache_mode=mode,
            num_prefill_checkpoint_blocks=s.states.pages - 2 if mode == "align" else 0,
        )
    plain = {"block_size": block, "num_kv_heads": 1, "head_size": cache.token // 2, "dtype": torch.uint8}
    if cache.kind == "sliding":
        return SlidingWindowSpec(**plain, sliding_window=cache.window)
    if cache.kind == "chunked":
        return ChunkedLocalAttentionSpec(**plain, attention_chunk_size=cache.window)
    return FullAttentionSpec(**plain)


def stand_in(s: Settings) -> Any:
    """The parts of a configuration that the planning code reads."""
    cache = SimpleNamespace(
        num_gpu_blocks_override=None,
        mamba_cache_mode=s.states.mode,
        prefix_cache_retention_interval=None,
        get_resolved_kv_cache_layout=lambda: KVCacheLayout.LBNHC,
    )
    return SimpleNamespace(
        model_config=SimpleNamespace(max_model_len=s.max_model_len, original_max_model_len=s.max_model_len),
        cache_config=cache,
        scheduler_config=SimpleNamespace(disable_hybrid_kv_cache_manager=False),
        parallel_config=SimpleNamespace(decode_context_parallel_size=1, prefill_context_parallel_size=1),
        attention_config=SimpleNamespace(hisparse_config=None),
        speculative_config=None,
        max_in_flight_tokens=s.in_flight,
        num_prefill_lookahead_tokens=0,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
