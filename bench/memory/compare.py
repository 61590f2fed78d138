"""One table: ours and other methods on a file of start-up reports. `python bench/memory/compare.py CASES.jsonl`

Errors are relative to the numbers that vLLM printed. A method without an answer for a case has no error for it.
kvfit is compared if it is installed (`pip install kvfit`); nothing else of the project needs it.
"""

from __future__ import annotations

import importlib.util
import json
import statistics
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import cases
import rivals

from cortexctl.engines.vllm.memory.budget import Budget


def main(path: str) -> None:
    file = Path(path)
    known = [c for c in cases.read_cases(file) if c.get("config")]
    print(f"{len(known)} cases with a config\n")
    exact(known, file.parent)
    weights(known, file.parent)
    from_flags(known, file.parent)


def exact(known: Iterable[dict[str, Any]], folder: Path) -> None:
    """The numbers that follow from the memory for the cache."""
    tokens, concurrency, needed = [], [], []
    for case in known:
        stated, refusal = case["stated"], case.get("refusal") or {}
        available = stated.get("available_kv_gib") or refusal.get("available_gib")
        computed = cases.answer(case, folder, available=available) if available else None
        if computed is None:
            continue
        if printed := printed_tokens(case):
            tokens.append(error(computed.tokens.value, printed))
        if stated.get("max_concurrency"):
            concurrency.append(error(computed.concurrency.value, stated["max_concurrency"]))
        if refusal.get("needed_gib"):
            needed.append(error(computed.tightest.needed.value, refusal["needed_gib"]))
    print("given the available memory         n   median     p90   within 0.5 %")
    for name, errors in (("tokens", tokens), ("concurrency", concurrency), ("needed GiB", needed)):
        row(name, errors, f"{sum(e <= 0.005 for e in errors)} of {len(errors)}")


def weights(known: Iterable[dict[str, Any]], folder: Path) -> None:
    mine, plain = [], []
    for case in known:
        stated = case["stated"].get("model_loading_gib") or case["stated"].get("weights_gib")
        computed = cases.answer(case, folder) if stated else None
        if computed is None:
            continue
        mine.append(error(computed.tightest.weights.value, stated))
        share = rivals.parameters(computed) * rivals._per_parameter(computed) / rivals.GIB / computed.settings.tp  # noqa: SLF001
        plain.append(error(share / computed.settings.pp, stated))
    print("\nweights from config.json           n   median     p90")
    row("cortexctl", mine)
    row("parameters x bytes", plain)
    row("parameters x bytes x 1.2", [abs(1.2 * (1 + e) - 1) for e in plain])


def from_flags(known: Iterable[dict[str, Any]], folder: Path) -> None:
    methods: dict[str, Callable[[Budget, dict[str, Any]], rivals.Answer]] = {
        "cortexctl": lambda b, _: rivals.ours(b),
        "parameters x bytes x 1.2": lambda b, _: rivals.by_parameters(b),
        "GPUStack's rule": lambda b, _: rivals.gpustack(b),
        "the seed's calculator": lambda b, _: rivals.seed(b),
    }
    if importlib.util.find_spec("kvfit"):
        methods["kvfit 0.3"] = rivals.kvfit
    errors: dict[str, list[float]] = {name: [] for name in methods}
    narrow: dict[str, list[float]] = {name: [] for name in methods}
    alarms: dict[str, list[int]] = {name: [0, 0, 0, 0] for name in methods}
    for case in known:
        if cases.gpu(case) is None:
            continue
        computed = cases.answer(case, folder)
        raw = json.loads((folder / case["config"]).read_text(encoding="utf-8"))
        if computed is None:
            continue
        printed = printed_tokens(case)
        for name, method in methods.items():
            answer = method(computed, raw)
            if printed and answer.tokens is not None:
                errors[name].append(error(answer.tokens, printed))
                if (
                    computed.settings.tp <= 2
                    and case.get("vllm_version")
                    and not computed.facts.towers
                    and not computed.gpu.shared
                ):
                    narrow[name].append(errors[name][-1])
            if answer.starts is not None:
                started = bool(case["started"])
                alarms[name][(0 if started else 2) + (answer.starts == started)] += 1
    print("\ntokens from flags alone            n   median     p90   false alarms   refusals found")
    for name in methods:
        wrong, right, missed, caught = alarms[name]
        row(name, errors[name], f"{wrong} of {wrong + right}        {caught} of {missed + caught}")
    print("\n... text models, TP up to 2, version known, memory of their own")
    for name in methods:
        row(name, narrow[name])


def printed_tokens(case: dict[str, Any]) -> float | None:
    """The printed number, or blocks of 16, or the tokens from the concurrency."""
    stated, length = case["stated"], case["flags"].get("max_model_len")
    if stated.get("kv_cache_tokens"):
        return float(stated["kv_cache_tokens"])
    if stated.get("gpu_blocks"):
        return float(stated["gpu_blocks"] * 16)
    return float(stated["max_concurrency"] * length) if stated.get("max_concurrency") and length else None


def error(value: float, stated: float) -> float:
    return abs(value / stated - 1)


def row(name: str, errors: list[float], more: str = "") -> None:
    if not errors:
        print(f"{name:<32}{0:>4}")
        return
    last = sorted(errors)[min(len(errors) - 1, int(0.9 * len(errors)))]
    print(f"{name:<32}{len(errors):>4}{statistics.median(errors):>9.2%}{last:>8.1%}   {more}".rstrip())


if __name__ == "__main__":
    main(sys.argv[1])
