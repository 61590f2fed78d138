"""A budget as text that people can follow: a sum, one line a part with the flag that moves it, and a bar a GPU."""

from __future__ import annotations

from collections.abc import Iterable

from cortexctl.engines.estimate import Estimate
from cortexctl.engines.vllm.memory.autofit import Fitted, Tried, at_length
from cortexctl.engines.vllm.memory.budget import Budget
from cortexctl.engines.vllm.memory.stage import StageBudget
from cortexctl.plan.capacity.forecast import GpuLine
from cortexctl.render.style import Ink

WIDTH = 40
"""Characters of a bar."""
_MARKS = ("#", "+", "=", ".")
"""Weights, other, cache, free: told apart without colour."""
_STYLES = {"starts": "green", "refuses": "red", "too close to call": "yellow", "unknown": "dim"}


def budget_text(title: str, found: Budget, ink: Ink) -> str:
    """The whole of one model."""
    lines = [ink(title, "bold")]
    for i, stage in enumerate(found.stages):
        if len(found.stages) > 1:
            lines.append(f"  stage {i}: layers {stage.stage.layers.start} to {stage.stage.layers.stop - 1}")
        lines += _sum(found, stage)
        lines.append(f"  {bar(found, i, ink)}")
    lines += _cache(found)
    lines.append(f"  {ink(_verdict(found), _STYLES[found.verdict])}")
    if found.refusal:
        lines.append(f"    vLLM: {found.refusal.text}")
        lines += [f"    next: {found.refusal.advice}"] if found.refusal.advice else []
    lines += [f"  note: {note}" for note in found.notes]
    return "\n".join(lines)


def _sum(found: Budget, at: StageBudget) -> list[str]:
    s = found.settings
    rows: list[tuple[str, Estimate, str]] = []
    if found.gpu is not None and not s.kv_bytes:
        moved = f"gpu_memory_utilization {s.utilization:g} of {found.gpu.total_gib:.2f}"
        rows.append(("  requested", at.requested, moved))
    sign = "-" if rows else " "
    how = f"tensor_parallel_size {s.tp}, {s.quant.method or s.dtype}"
    rows += [
        (f"{sign} weights", at.weights, how),
        (f"{sign} outside torch", at.non_torch, "driver, NCCL, workspaces"),
        (
            f"{sign} activation peak",
            at.transient,
            f"max_num_batched_tokens {s.batched_tokens}, max_num_seqs {s.max_num_seqs}",
        ),
        (f"{sign} CUDA graphs", at.graphs, "none with enforce_eager" if at.graphs.value else "not charged here"),
    ]
    if at.available.source == "given" or rows[0][0].strip() == "requested":
        pinned = "kv_cache_memory_bytes would set it" if s.behaviour.since(0, 10, 2) else "what is left"
        rows.append(("= KV cache", at.available, "as given" if at.available.source == "given" else pinned))
    return [f"  {name:<18}{part.value:>9.2f} GiB  {_range(part):<20} {why}" for name, part, why in rows]


def _range(part: Estimate) -> str:
    if part.low == part.high:
        return part.source
    return f"{part.low:.2f} to {part.high:.2f}"


def _cache(found: Budget) -> list[str]:
    at = found.tightest
    if not at.pool.groups:
        return ["  no KV cache: the model keeps none"]
    if found.gpu is None and at.available.source != "given":
        return [f"  one request of {found.length:,} tokens needs {at.needed.value:.2f} GiB of KV cache"]
    spread = (
        ""
        if found.concurrency.low == found.concurrency.high
        else (f" ({found.concurrency.low:.1f} to {found.concurrency.high:.1f})")
    )
    tables = f" in {at.pool.tables} groups" if at.pool.tables > 1 else ""
    at_once = f"{found.concurrency.value:.2f} requests of {found.length:,} tokens at once{spread}"
    blocks = f"{int(found.blocks.value):,} blocks of {at.pool.block_size}{tables}"
    lines = [
        f"  {at_once}; one needs {at.needed.value:.2f} GiB",
        f"  {int(found.tokens.value):,} KV cache tokens: {blocks}",
    ]
    if at.pool.padding:
        lines.append(f"  {at.pool.padding} padding layers fill the groups, which is waste")
    return lines


def _verdict(found: Budget) -> str:
    return {
        "starts": "It starts.",
        "refuses": "vLLM refuses to start.",
        "too close to call": "Too close to call: the range of what is estimated holds both answers.",
        "unknown": "Whether it starts is not known without a GPU.",
    }[found.verdict]


def parts_of(found: Budget, stage: int) -> tuple[float, float, float, float]:
    """(weights, other, cache, free) of one GPU of a stage, in GiB."""
    at = found.stages[stage]
    total = found.gpu.total_gib if found.gpu else at.spent + max(at.available.value, 0.0)
    other = at.non_torch.value + at.transient.value + at.graphs.value
    cache = max(0.0, at.available.value)
    return at.weights.value, other, cache, max(0.0, total - at.weights.value - other - cache)


def bar(found: Budget, stage: int, ink: Ink) -> str:
    """One GPU as a bar, with its legend."""
    weights, other, cache, free = parts_of(found, stage)
    total = weights + other + cache + free or 1.0
    sizes = [round(WIDTH * part / total) for part in (weights, other, cache)]
    sizes.append(max(0, WIDTH - sum(sizes)))
    styles = ("blue", "yellow", "green", "dim")
    drawn = "".join(ink(mark * size, style) for mark, size, style in zip(_MARKS, sizes, styles, strict=True))
    return f"[{drawn}] # weights + other = KV cache . free"


def ledger_text(lines: Iterable[GpuLine], ink: Ink) -> str:
    """Each GPU with those who share it."""
    shown = []
    for line in lines:
        shares = ", ".join(f"{s.who} {s.taken:.1f}" for s in line.shares)
        text = f"  {line.host} GPU {line.gpu}: {line.taken:.1f} of {line.total:.1f} GiB ({shares})"
        shown.append(ink(f"{text}: more than there is", "red") if line.over else text)
    return "\n".join(shown)


def fitted_text(found: Fitted, ink: Ink) -> str:
    """The search, step by step."""
    target = found.target
    lines = [f"Wanted: {target.concurrency:g} requests of {target.length:,} tokens at once."]
    lines += [_step(step, target.length, ink) for step in found.steps]
    lines.append(ink("Reached.", "green") if found.reached else ink(f"Not reached: {found.advice}.", "red"))
    return "\n".join(lines)


def _step(step: Tried, length: int, ink: Ink) -> str:
    if step.budget.refusal is not None:
        gave = f"refused ({step.budget.refusal.rule})"
    else:
        gave = f"{at_length(step.budget, length):.2f} at once"
    cost = f"; costs: {step.cost}" if step.cost else ""
    mark = "+" if step.helped else "-"
    return (
        f"  {mark} {step.name}: {gave}{cost}" if step.helped else ink(f"  {mark} {step.name}: {gave}, no help", "dim")
    )
