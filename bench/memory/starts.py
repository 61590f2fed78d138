"""Measured starts: what was started, and the forecast from the same flags. README.md has the format of the files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from cortexctl.engines.gpu_models import gpu_of
from cortexctl.engines.vllm.memory.budget import Budget, budget
from cortexctl.engines.vllm.memory.drafts import read_draft
from cortexctl.engines.vllm.memory.model_facts import Facts, read_facts
from cortexctl.engines.vllm.memory.speculation import read_speculation
from cortexctl.engines.vllm.memory.stage import BudgetInputs
from cortexctl.model_files.files import ModelFiles

TRUTH = Path(__file__).with_name("truth")
GIB = 2**30


@dataclass(frozen=True, slots=True)
class Start:
    """`measured`: the line of the file. `folder`: where the config.json of its model is."""

    measured: Mapping[str, Any]
    folder: Path

    @property
    def name(self) -> str:
        return str(self.measured["case"])

    @property
    def config(self) -> Mapping[str, Any]:
        return read_config(self.folder / self.measured["config"])

    @property
    def family(self) -> str:
        return family(self.measured, self.config)

    @property
    def has_cache(self) -> bool:
        """A model that only pools has none; a start that was refused had memory for one, or too little."""
        return bool(self.measured.get("kv_groups")) or not self.measured["started"]

    def gib(self, what: str) -> float | None:
        """A measured number of bytes in GiB; None if it was not measured."""
        value = self.measured.get(f"{what}_bytes")
        return None if value is None else value / GIB


def read_starts(folder: Path = TRUTH) -> list[Start]:
    """All starts of a folder: of each card and release."""
    return [
        Start(json.loads(line), folder)
        for path in sorted(folder.glob("*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]


@cache
def read_config(path: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return config


def forecast(start: Start, *, available: float | None = None) -> Budget:
    """From the flags and the card; `available`: given the memory for the cache. Raises ValueError or KeyError for a
    model that cannot be read.
    """
    measured, args = start.measured, dict(start.measured["flags"])
    gpu = gpu_of(measured["gpu"], measured["gpu_total_bytes"] / GIB)
    if capability := measured.get("capability"):
        gpu = replace(gpu, capability=float(capability))
    speculation = read_speculation(args)
    files = {speculation.model: ModelFiles(_draft(start, speculation.model))} if speculation.model else {}
    inputs = BudgetInputs(
        args,
        gpu,
        measured["vllm"],
        measured["env"],
        draft=read_draft(speculation, files),
        free_gib=start.gib("free_at_start"),
        available_gib=available,
    )
    return budget(_facts(start), inputs)


def _facts(start: Start) -> Facts:
    return read_facts(start.config, start.measured["flags"])


def _draft(start: Start, model: str) -> dict[str, Any]:
    return read_config(start.folder / "configs" / f"{model}.json")


def family(measured: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """The first that fits. It depends on the truth and the config alone, not on the forecast."""
    return next(_families(measured, config))


def _families(measured: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[str]:
    text = config.get("text_config") or config
    kind = str(text.get("model_type") or config.get("model_type") or "")
    quantised = str(measured["effective"].get("quantization") or "").removeprefix("auto_")
    if not measured["started"]:
        yield "refusals"
    if measured["effective"].get("runner_type") == "pooling":
        yield "pooling"
    if measured["flags"].get("speculative_config"):
        yield "n-gram, draft"
    if "mamba" in kind or any(name in text for name in ("mamba_d_state", "linear_num_value_heads", "state_size")):
        yield "hybrid, states"
    if kind.startswith("gpt_oss"):
        yield "gpt-oss"
    if text.get("kv_lora_rank"):
        yield "latent"
    if any(text.get(name) for name in ("num_experts", "num_local_experts", "n_routed_experts")):
        yield "MoE"
    if kind.startswith("gemma"):
        yield "Gemma"
    if config.get("vision_config"):
        yield "vision"
    if quantised.startswith(("awq", "gptq")):
        yield "AWQ, GPTQ"
    yield "dense fp8" if quantised else "dense bf16"
