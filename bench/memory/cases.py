"""Start-up reports as test cases: the flags of vLLM, and the numbers that it printed. One JSON object per line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from cortexctl.engines.gpu_models import gpu_of
from cortexctl.engines.gpu_table import Gpu
from cortexctl.engines.vllm.memory.budget import Budget, budget
from cortexctl.engines.vllm.memory.drafts import Draft, read_draft
from cortexctl.engines.vllm.memory.model_facts import Facts, read_facts
from cortexctl.engines.vllm.memory.speculation import read_speculation
from cortexctl.engines.vllm.memory.stage import BudgetInputs
from cortexctl.model_files.files import ModelFiles

_PLAIN = (
    "tensor_parallel_size",
    "pipeline_parallel_size",
    "data_parallel_size",
    "enable_expert_parallel",
    "gpu_memory_utilization",
    "max_model_len",
    "max_num_seqs",
    "max_num_batched_tokens",
    "dtype",
    "kv_cache_dtype",
    "enforce_eager",
    "enable_lora",
    "enable_prefix_caching",
    "num_gpu_blocks_override",
)


def read_cases(path: Path) -> list[dict[str, Any]]:
    """All cases of a file that do not contradict themselves."""
    cases = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [case for case in cases if not case.get("suspect")]


def arguments(case: dict[str, Any]) -> dict[str, Any]:
    """A case's flags by vLLM's names."""
    flags = case["flags"]
    args = {name: flags[name] for name in _PLAIN if flags.get(name) is not None}
    if flags.get("quantization_override"):
        args["quantization"] = flags["quantization_override"].removesuffix("-online")
    if flags.get("speculative"):
        args["speculative_config"] = flags["speculative"]
    if flags.get("text_only"):
        args["limit_mm_per_prompt"] = {"image": 0, "video": 0}
    if flags.get("kv_cache_memory_bytes_gib"):
        args["kv_cache_memory_bytes"] = int(flags["kv_cache_memory_bytes_gib"] * 2**30)
    return args


def gpu(case: dict[str, Any]) -> Gpu | None:
    """The GPU, as far as it is stated."""
    name, total = case["gpu"].get("name") or "", case["gpu"].get("total_gib")
    try:
        return gpu_of(name, total)
    except ValueError:
        return None


def facts(case: dict[str, Any], folder: Path) -> Facts | None:
    """The model, if the case has its config."""
    if not case.get("config"):
        return None
    return read_facts(json.loads((folder / case["config"]).read_text(encoding="utf-8")))


def inputs_of(case: dict[str, Any], *, available: float | None = None) -> BudgetInputs:
    """The inputs from the flags. The engine is passed as its environment variable."""
    environ = {"VLLM_USE_V1": "1" if case["engine"] == "V1" else "0"} if case.get("engine") else {}
    extra = {"entrypoint": case["entrypoint"]} if case.get("entrypoint") else {}
    return BudgetInputs(
        {**arguments(case), **extra}, gpu(case), case.get("vllm_version"), environ, available_gib=available
    )


def draft(case: dict[str, Any], folder: Path) -> Draft | None:
    """The draft model; its files are known if the case has a `draft_config`."""
    speculation = read_speculation(arguments(case))
    path = case.get("draft_config")
    config = json.loads((folder / path).read_text(encoding="utf-8")) if path else None
    return read_draft(speculation, {speculation.model: ModelFiles(config)} if config else {})


def answer(case: dict[str, Any], folder: Path, *, available: float | None = None) -> Budget | None:
    """Our budget for a case; None without a config."""
    known = facts(case, folder)
    return budget(known, replace(inputs_of(case, available=available), draft=draft(case, folder))) if known else None
