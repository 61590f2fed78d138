"""Published start-up reports: the flags of vLLM, and the numbers that it printed. One JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.memory.errors import WITHIN, Error
from bench.memory.starts import TRUTH, read_config
from cortexctl.engines.gpu_models import gpu_of
from cortexctl.engines.vllm.memory.budget import Budget, budget
from cortexctl.engines.vllm.memory.drafts import Draft, read_draft
from cortexctl.engines.vllm.memory.model_facts import Facts, read_facts
from cortexctl.engines.vllm.memory.speculation import read_speculation
from cortexctl.engines.vllm.memory.stage import BudgetInputs
from cortexctl.model_files.files import ModelFiles

if TYPE_CHECKING:  # older commits have it elsewhere, and `--before` runs with them
    from cortexctl.engines.gpu_table import Gpu

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


REPORTS = TRUTH / "reports"


def read_reports(path: Path = REPORTS / "reports.jsonl") -> list[dict[str, Any]]:
    """The reports that do not contradict themselves and whose config is known."""
    cases = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [case for case in cases if not case.get("suspect") and case.get("config")]


def errors_of(case: dict[str, Any], folder: Path = REPORTS) -> Iterator[Error]:
    """Against the numbers that it printed."""
    for term, value, reason in _errors(case, folder):
        yield Error(f"{case['id']} {case['model']}", "", term, value, reason)


def _errors(case: dict[str, Any], folder: Path) -> Iterator[tuple[str, float, str]]:
    stated, refusal = case["stated"], case.get("refusal") or {}
    known = gpu(case)
    computed, printed = answer(case, folder), printed_tokens(case)
    left = stated.get("available_kv_gib") or refusal.get("available_gib")
    at = computed.tightest
    if weights := stated.get("model_loading_gib") or stated.get("weights_gib"):
        numbers = f"{at.weights.value:.2f} for {weights:.2f} GiB"
        yield "reported weights", 100 * (at.weights.value / weights - 1), numbers
    if left and printed:
        exact = comparable_tokens(case, answer(case, folder, available=left))
        wrong = abs(exact / printed - 1) > WITHIN
        yield "reported tokens given the memory", float(wrong), f"{exact:,.0f} for {printed:,.0f}"
    if known is None or "gpu_memory_utilization" in case.get("inferred", ()):
        return  # a share that was deduced from the printed numbers would be compared with itself
    if left:
        low, high, value = at.available.low, at.available.high, at.available.value
        numbers = f"{value:.2f} ({low:.2f} to {high:.2f}) for {left:.2f} GiB"
        yield "reported memory for the cache", value - left, numbers
        yield "reported range holds the memory", float(not low <= left <= high), numbers
    if printed:
        value = comparable_tokens(case, computed)
        error, reason = 100 * (value / printed - 1), f"{value:,.0f} for {printed:,.0f}"
        yield "reported tokens from flags", error, reason
        s = computed.settings
        if s.tp <= 2 and case.get("vllm_version") and not computed.facts.towers and not known.shared:
            yield "... text, at most two GPUs, release known", error, reason
    yield from _verdicts(case, computed)


def _verdicts(case: dict[str, Any], computed: Budget) -> Iterator[tuple[str, float, str]]:
    reason = computed.refusal.text if computed.refusal else ""
    if not case["started"]:
        yield "reported missed refusals", float(computed.verdict == "starts"), str(case.get("refusal") or "")
        return
    yield "reported false alarms", float(computed.verdict == "refuses"), reason
    if states_everything(case):
        yield "... everything stated", float(computed.verdict == "refuses"), reason


def states_everything(case: dict[str, Any]) -> bool:
    """The release, the card, its share and the longest request; nothing was deduced from the printed numbers."""
    flags = case["flags"]
    named = case.get("vllm_version") and (case["gpu"].get("name") or case["gpu"].get("total_gib"))
    return bool(
        named and flags.get("gpu_memory_utilization") and flags.get("max_model_len") and not case.get("inferred")
    )


def printed_tokens(case: dict[str, Any]) -> float | None:
    """The printed number, or blocks of 16, or the tokens from the concurrency."""
    stated, length = case["stated"], case["flags"].get("max_model_len")
    if stated.get("kv_cache_tokens"):
        return float(stated["kv_cache_tokens"])
    if stated.get("gpu_blocks"):
        return float(stated["gpu_blocks"] * 16)
    return float(stated["max_concurrency"] * length) if stated.get("max_concurrency") and length else None


def comparable_tokens(case: dict[str, Any], computed: Budget) -> float:
    """Our tokens; those from our concurrency if the report has no more than that: releases before 0.20.2 count the
    tokens of a cache with several groups in another way.
    """
    stated, length = case["stated"], case["flags"].get("max_model_len")
    if stated.get("kv_cache_tokens") or stated.get("gpu_blocks") or not length:
        return computed.tokens.value
    return computed.concurrency.value * float(length)


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


def facts(case: dict[str, Any], folder: Path) -> Facts:
    return read_facts(read_config(folder / case["config"]))


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
    return read_draft(speculation, {speculation.model: ModelFiles(read_config(folder / path))} if path else {})


def answer(case: dict[str, Any], folder: Path = REPORTS, *, available: float | None = None) -> Budget:
    """Our budget for a report. Raises ValueError for a config that cannot be read."""
    return budget(facts(case, folder), replace(inputs_of(case, available=available), draft=draft(case, folder)))
