"""A budget as text for people: a sum, one line per part with the option that changes it, and one bar per GPU."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cortexctl.engines.estimate import Estimate
from cortexctl.engines.vllm.memory.autofit import Fitted, Tried, at_length
from cortexctl.engines.vllm.memory.basis import MEASURED
from cortexctl.engines.vllm.memory.budget import NO_GPU, Budget
from cortexctl.engines.vllm.memory.overhead import beside_budget
from cortexctl.engines.vllm.memory.stage import StageBudget
from cortexctl.plan.capacity.forecast import GpuLine
from cortexctl.render.style import Ink
from cortexctl.text.units import about_range

WIDTH = 40
"""Width of a bar in characters."""
_MARKS = ("#", "+", "=", ".")
"""Weights, other, cache, free: they differ without colour, too."""
_STYLES = {"starts": "green", "refuses": "red", "uncertain": "yellow", "unknown": "dim"}


def budget_text(title: str, budget: Budget, ink: Ink) -> str:
    """The complete budget of one model."""
    lines = [ink(title, "bold")]
    for i, stage in enumerate(budget.stages):
        if len(budget.stages) > 1:
            lines.append(f"  stage {i}: layers {stage.stage.layers.start} to {stage.stage.layers.stop - 1}")
        lines += _sum(budget, stage)
        lines.append(f"  {bar(budget, i, ink)}")
    lines += _cache(budget)
    lines.append(f"  {ink(_verdict(budget), _STYLES[budget.verdict])}")
    if budget.refusal:
        lines.append(f"    vLLM: {budget.refusal.text}")
        lines += [f"    next: {budget.refusal.advice}"] if budget.refusal.advice else []
    lines += _start(budget) if budget.verdict in {"starts", "uncertain"} else []
    lines += [f"  note: {note}" for note in budget.notes]
    return "\n".join(lines)


def _start(budget: Budget) -> Iterator[str]:
    """The time until it serves, by stage, and that of a start with a full cache of compiled graphs."""
    start = budget.start
    disk = "disk not measured" if start.weights.source == "assumed" else "disk measured"
    stages = {
        "process": start.process,
        f"weights ({disk})": start.weights,
        "engine": start.engine,
        "compiling": start.compiling,
        "graphs": start.graphs,
    }
    parts = ", ".join(f"{name} {_times(part)}" for name, part in stages.items() if part.high)
    yield f"  It serves after {_times(start.total())} (forecast): {parts}."
    if start.compiling.high:
        yield f"  With its compiled graphs from a cache: {_times(start.total(is_first=False))}."


def _times(part: Estimate) -> str:
    return about_range(part.low, part.high)


def _sum(budget: Budget, at: StageBudget) -> list[str]:
    s = budget.settings
    rows: list[tuple[str, Estimate, str]] = []
    if budget.gpu is not None and not s.kv_bytes:
        option = f"gpu_memory_utilization {s.utilization:g} of {budget.gpu.total_gib:.2f}"
        rows.append(("  requested", at.requested, option))
    sign = "-" if rows else " "
    missing = MEASURED.missing(s, budget.gpu) if budget.gpu else ""
    guess = f"; a guess for {missing}" if missing and at.transient.source == "fitted" else ""
    draft = ", with its draft" if s.speculation.model and not budget.uncounted else ""
    split = f"tensor_parallel_size {s.tp}, {s.quant.method or s.dtype}{draft}"
    rows += [
        (f"{sign} weights", at.weights, split),
        (f"{sign} outside torch", at.non_torch, "driver, NCCL, workspaces"),
        (
            f"{sign} activation peak",
            at.transient,
            f"max_num_batched_tokens {s.batched_tokens}, max_num_seqs {s.max_num_seqs}{guess}",
        ),
        (f"{sign} CUDA graphs", at.graphs, _graphs(budget, at, missing)),
    ]
    if at.available.source == "given" or rows[0][0].strip() == "requested":
        pinned = "kv_cache_memory_bytes would set it" if s.behaviour.since(0, 10, 2) else "the remainder"
        why = "as given" if at.available.source == "given" else pinned
        rows.append(("= KV cache", at.available, why) if at.pool.groups else ("= unused", at.available, "no KV cache"))
    return [f"  {name:<18}{part.value:>9.2f} GiB  {_range(part):<20} {why}" for name, part, why in rows]


def _graphs(budget: Budget, at: StageBudget, missing: str) -> str:
    if at.graphs.value:
        return "enforce_eager avoids them"
    beside = beside_budget(budget.facts, budget.settings, budget.gpu or NO_GPU)
    if missing or not beside.value or at.graphs.source == "measured here":
        return "not charged here"
    return f"{beside.low:.1f} to {beside.high:.1f} GiB are captured beside the budget"


def _range(part: Estimate) -> str:
    if part.low == part.high:
        return part.source
    return f"{part.low:.2f} to {part.high:.2f}"


def _cache(budget: Budget) -> list[str]:
    at = budget.tightest
    if not at.pool.groups:
        return ["  the model has no KV cache"]
    if budget.gpu is None and at.available.source != "given":
        return [f"  one request of {budget.length:,} tokens needs {at.needed.value:.2f} GiB of KV cache"]
    spread = (
        ""
        if budget.concurrency.low == budget.concurrency.high
        else (f" ({budget.concurrency.low:.1f} to {budget.concurrency.high:.1f})")
    )
    tables = f" in {at.pool.tables} groups" if at.pool.tables > 1 else ""
    at_once = f"{budget.concurrency.value:.2f} requests of {budget.length:,} tokens at once{spread}"
    blocks = f"{int(budget.blocks.value):,} blocks of {at.pool.block_size}{tables}"
    lines = [
        f"  {at_once}; one needs {at.needed.value:.2f} GiB",
        f"  {int(budget.tokens.value):,} KV cache tokens: {blocks}",
    ]
    if at.pool.padding:
        lines.append(f"  {at.pool.padding} padding layers fill the groups and are wasted")
    return lines


def _verdict(budget: Budget) -> str:
    return {
        "starts": "It starts.",
        "refuses": "vLLM refuses to start.",
        "uncertain": "Uncertain: the range of the estimate allows both answers.",
        "unknown": "Whether it starts is not known without a GPU.",
    }[budget.verdict]


def parts_of(budget: Budget, stage: int) -> tuple[float, float, float, float]:
    """(weights, other, cache, free) of one GPU of a stage, in GiB."""
    at = budget.stages[stage]
    total = budget.gpu.total_gib if budget.gpu else at.spent + max(at.available.value, 0.0)
    other = at.non_torch.value + at.transient.value + at.graphs.value
    cache = max(0.0, at.available.value) if at.pool.groups else 0.0
    return at.weights.value, other, cache, max(0.0, total - at.weights.value - other - cache)


def bar(budget: Budget, stage: int, ink: Ink) -> str:
    """One GPU as a bar, with its legend."""
    weights, other, cache, free = parts_of(budget, stage)
    total = weights + other + cache + free or 1.0
    sizes = [round(WIDTH * part / total) for part in (weights, other, cache)]
    sizes.append(max(0, WIDTH - sum(sizes)))
    styles = ("blue", "yellow", "green", "dim")
    drawn = "".join(ink(mark * size, style) for mark, size, style in zip(_MARKS, sizes, styles, strict=True))
    return f"[{drawn}] #: weights, +: other, =: KV cache, .: free"


def ledger_text(lines: Iterable[GpuLine], ink: Ink) -> str:
    """Each GPU with the instances that share it."""
    shown = []
    for line in lines:
        shares = ", ".join(f"{s.holder} {s.taken:.1f}" for s in line.shares)
        text = f"  {line.host} GPU {line.gpu}: {line.taken:.1f} of {line.total:.1f} GiB ({shares})"
        shown.append(ink(f"{text}: more than the GPU has", "red") if line.over else text)
    return "\n".join(shown)


def fitted_text(fitted: Fitted, ink: Ink) -> str:
    """The search, step by step."""
    target = fitted.target
    lines = [f"Target: {target.concurrency:g} requests of {target.length:,} tokens at once."]
    lines += [_step(step, target.length, ink) for step in fitted.steps]
    lines.append(ink("Reached.", "green") if fitted.reached else ink(f"Not reached: {fitted.advice}.", "red"))
    return "\n".join(lines)


def _step(step: Tried, length: int, ink: Ink) -> str:
    if step.budget.refusal is not None:
        gave = f"refused ({step.budget.refusal.rule})"
    else:
        gave = f"{at_length(step.budget, length):.2f} at once"
    cost = f"; costs: {step.cost}" if step.cost else ""
    mark = "+" if step.helped else "-"
    return (
        f"  {mark} {step.name}: {gave}{cost}" if step.helped else ink(f"  {mark} {step.name}: {gave}, no gain", "dim")
    )
