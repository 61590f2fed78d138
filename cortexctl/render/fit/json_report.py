"""A budget as JSON: every number with its range and source."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cortexctl.engines.estimate import Estimate
from cortexctl.engines.launch_forecast import STAGES
from cortexctl.engines.vllm.memory.autofit import Fitted, at_length
from cortexctl.engines.vllm.memory.budget import Budget
from cortexctl.engines.vllm.memory.stage import StageBudget
from cortexctl.plan.capacity.forecast import GpuLine

Object = dict[str, Any]


def budget_json(budget: Budget) -> Object:
    """GiB and counts. Numbers of one GPU are those of the tightest stage. An unknown number is null."""
    at, known = budget.tightest, budget.gpu is not None
    refusal = budget.refusal
    return {
        "model": budget.facts.architecture,
        "vllm_version": ".".join(map(str, budget.settings.behaviour.version)),
        "vllm_version_known": budget.settings.behaviour.known,
        **_stage(at, known=known),
        "kv_cache_tokens": _part(budget.tokens, whole=True),
        "max_concurrency": _part(budget.concurrency, digits=2),
        "num_gpu_blocks": _part(budget.blocks, whole=True),
        "needed_gib": _part(at.needed),
        "max_model_len": budget.length,
        "block_size": at.pool.block_size,
        "kv_cache_groups": at.pool.tables,
        "kv_cache_padding_layers": at.pool.padding,
        "max_num_seqs": budget.settings.max_num_seqs,
        "max_num_batched_tokens": budget.settings.batched_tokens,
        "stages": [_stage(s, known=known) for s in budget.stages],
        "start_seconds": {name: _part(getattr(budget.start, name), digits=1) for name in STAGES},
        "verdict": budget.verdict,
        "refusal": None
        if refusal is None
        else {
            "rule": refusal.rule,
            "text": refusal.text,
            "advice": refusal.advice,
            "estimated_max_model_len": refusal.estimated_max_model_len,
        },
        "notes": list(budget.notes),
    }


def _stage(s: StageBudget, *, known: bool) -> Object:
    return {
        "weights_gib": _part(s.weights),
        "non_torch_gib": _part(s.non_torch),
        "transient_gib": _part(s.transient),
        "graphs_gib": _part(s.graphs),
        "requested_gib": _part(s.requested) if known else None,
        "available_kv_gib": _part(s.available) if known or s.available.source == "given" else None,
    }


def _part(part: Estimate, *, digits: int = 4, whole: bool = False) -> Object:
    source = "exact" if part.source == "given" else part.source
    if whole:
        return {"value": int(part.value), "low": int(part.low), "high": int(part.high), "source": source}
    return {
        "value": round(part.value, digits),
        "low": round(part.low, digits),
        "high": round(part.high, digits),
        "source": source,
    }


def ledger_json(lines: Iterable[GpuLine]) -> list[Object]:
    """Each GPU with the instances that share it, in GiB."""
    return [
        {
            "host": line.host,
            "gpu": line.gpu,
            "total_gib": round(line.total, 4),
            "taken_gib": round(line.taken, 4),
            "over": line.over,
            "shares": [{"holder": s.holder, "taken_gib": round(s.taken, 4)} for s in line.shares],
        }
        for line in lines
    ]


def fitted_json(fitted: Fitted) -> Object:
    """The search: its steps, and the arguments to set."""
    return {
        "target": {"max_model_len": fitted.target.length, "concurrency": fitted.target.concurrency},
        "reached": fitted.reached,
        "changes": dict(fitted.changes),
        "steps": [
            {
                "name": s.name,
                "changes": dict(s.changes),
                "cost": s.cost,
                "accepted": s.helped,
                "concurrency": round(at_length(s.budget, fitted.target.length), 2),
                "refusal": s.budget.refusal.rule if s.budget.refusal else None,
            }
            for s in fitted.steps
        ],
        "advice": fitted.advice,
        "budget": budget_json(fitted.last),
    }
