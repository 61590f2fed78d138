"""Models and start-up reports that the tests of memory share."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from cortexctl.engines.gpu_models import parse_gpu
from cortexctl.engines.vllm.memory.budget import Budget, budget
from cortexctl.engines.vllm.memory.model_facts import Facts, read_facts
from cortexctl.engines.vllm.memory.stage import BudgetInputs

HERE = Path(__file__).parent
CONFIGS = HERE / "fixtures" / "configs"
CASES = HERE / "cases" / "memory"
NAMES = sorted(path.stem for path in CONFIGS.glob("*.json"))


def config_of(name: str) -> dict[str, Any]:
    """A public model's config.json, cut down to what memory depends on."""
    config: dict[str, Any] = json.loads((CONFIGS / f"{name}.json").read_text(encoding="utf-8"))
    return config


@cache
def facts_of(name: str) -> Facts:
    return read_facts(config_of(name))


def budget_of(name: str, gpu: str | None = None, version: str | None = "0.32.0", **args: Any) -> Budget:
    """Of a launch with these arguments; `available` and `free` are GiB, `environ` a table."""
    at = parse_gpu(gpu)[0] if gpu else None
    extra = {"available_gib": args.pop("available", None), "free_gib": args.pop("free", None)}
    environ = args.pop("environ", {})
    return budget(facts_of(name), BudgetInputs(args, at, version, environ, **extra))
