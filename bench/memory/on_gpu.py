"""Our weights and cache sizes against the memory of a real GPU: models of public architectures with random weights,
created by transformers on the GPU. Needs torch, transformers and a GPU; nothing is downloaded.

    python bench/memory/on_gpu.py tests/fixtures/configs/*.json

`weights`: torch's allocated memory after the model was created, against ours at tensor_parallel_size 1. transformers
keeps projections apart that vLLM fuses, and no rotary tables of vLLM's size, so a few tenths of a percent are theirs.
`cache`: bytes of one token in the keys and values that the model itself holds, against ours, if all layers
hold all tokens.
"""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from cortexctl.engines.gpu_models import gpu_of
from cortexctl.engines.vllm.memory.budget import Budget, budget
from cortexctl.engines.vllm.memory.model_facts import read_facts
from cortexctl.engines.vllm.memory.stage import BudgetInputs

GIB = 2**30
LARGEST = 70.0
"""Largest model that is tried, in GiB of weights."""
TOKENS = 64


def ours(config: dict[str, Any]) -> Budget:
    args = {"max_model_len": 256, "enforce_eager": True, "dtype": "bfloat16"}
    return budget(read_facts(config), BudgetInputs(args, gpu_of("H100"), "0.32.0"))


def bytes_per_token(computed: Budget) -> float:
    """For a pool with one group: all layers hold every token."""
    pool = computed.tightest.pool
    blocks = pool.blocks(8 * GIB)
    return 8 * GIB / (pool.tokens(blocks, 256) or 1)


def measure(config: dict[str, Any]) -> tuple[float, float]:
    """(GiB that torch holds, bytes of one token in the cache; 0 if it holds something else)."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    before = torch.cuda.memory_allocated()
    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config), dtype=torch.bfloat16)
    allocated = (torch.cuda.memory_allocated() - before) / GIB
    try:
        with torch.inference_mode():
            output = model(torch.zeros((1, TOKENS), dtype=torch.long, device="cuda"), use_cache=True)
        layers = getattr(output.past_key_values, "layers", [])
        tensors = [t for layer in layers for t in (layer.keys, layer.values)]
        per_token = sum(t.numel() * t.element_size() for t in tensors) / TOKENS
    except Exception as cause:  # a model may hold states instead
        sys.stderr.write(f"  no cache read: {type(cause).__name__}: {cause}\n")
        per_token = 0.0
    return allocated, per_token


def main(files: list[str]) -> None:
    import torch

    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    print(f"{'config':<34}{'architecture':<38}{'GiB':>8}{'ours':>8}{'off':>8}{'B/token':>10}{'ours':>10}")
    for file in files:
        config = json.loads(Path(file).read_text())
        try:
            computed = ours(config)
        except Exception as cause:
            print(f"{Path(file).stem:<34}not read: {cause}")
            continue
        weights = computed.tightest.weights.value
        if config.get("quantization_config") or weights > LARGEST:
            continue
        try:
            allocated, per_token = measure(config)
        except Exception as cause:
            print(f"{Path(file).stem:<34}not created: {type(cause).__name__}: {str(cause)[:90]}")
            allocated = per_token = 0.0
        gc.collect()
        torch.cuda.empty_cache()
        if allocated:
            one_group = len(computed.tightest.pool.groups) == 1
            cache = f"{per_token:>10.0f}{bytes_per_token(computed):>10.0f}" if per_token and one_group else ""
            off = f"{100 * (weights / allocated - 1):>+7.2f}%"
            print(f"{Path(file).stem:<34}{computed.facts.architecture:<38}{allocated:>8.2f}{weights:>8.2f}{off}{cache}")


if __name__ == "__main__":
    main(sys.argv[1:])
