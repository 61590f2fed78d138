"""Forecasts <-> plain JSON values, with the names of `fit --format json`."""

from __future__ import annotations

import dataclasses
from typing import Any

from cortexctl.engines.launch_forecast import Forecast, ForecastRefusal, StageForecast
from cortexctl.plan.capacity.forecast import GpuLine, GpuShare, InstanceForecast

_STAGE = {
    "weights_gib": "weights",
    "non_torch_gib": "non_torch",
    "transient_gib": "transient",
    "graphs_gib": "graphs",
    "requested_gib": "requested",
    "available_kv_gib": "available",
}
"""JSON's name -> the field."""
_NUMBERS = {"kv_cache_tokens": "tokens", "max_concurrency": "concurrency", "needed_gib": "needed"}
_FORECAST = {"gpu": "device", "gpu_total": "device_gib", "tightest": "tightest_stage", "start": "start_seconds"}
NAMES: dict[type, dict[str, str]] = {
    StageForecast: {field: name for name, field in _STAGE.items()},
    Forecast: {**_FORECAST, **{field: name for name, field in _NUMBERS.items()}},
    ForecastRefusal: {"fits": "estimated_max_model_len"},
    GpuLine: {"total": "total_gib"},
    GpuShare: {"taken": "taken_gib", "low": "low_gib"},
}
"""By class: the JSON names of its fields."""


def instance_to_dict(instance: InstanceForecast) -> dict[str, Any]:
    return {
        "address": instance.address,
        "host": instance.host,
        "gpus": list(instance.gpus),
        "before": _forecast_to_dict(instance.before) if instance.before else None,
        "after": _forecast_to_dict(instance.after) if instance.after else None,
        "why_unknown": instance.why_unknown,
        "why_unknown_before": instance.why_unknown_before,
    }


def _forecast_to_dict(forecast: Forecast) -> dict[str, Any]:
    refusal = forecast.refusal
    return {
        "verdict": forecast.verdict,
        "refusal": {
            "rule": refusal.rule,
            "text": refusal.text,
            "advice": refusal.advice,
            "estimated_max_model_len": refusal.fits,
        }
        if refusal
        else None,
        "device": forecast.gpu,
        "device_gib": forecast.gpu_total,
        "max_model_len": forecast.max_model_len,
        **{name: dataclasses.asdict(getattr(forecast, field)) for name, field in _NUMBERS.items()},
        "stages": [
            {name: dataclasses.asdict(getattr(stage, field)) for name, field in _STAGE.items()}
            for stage in forecast.stages
        ],
        "tightest_stage": forecast.tightest,
        "notes": list(forecast.notes),
        "uncounted": forecast.uncounted,
        "start_seconds": dataclasses.asdict(forecast.start) if forecast.start else None,
    }


def line_to_dict(line: GpuLine) -> dict[str, Any]:
    return {
        "host": line.host,
        "gpu": line.gpu,
        "total_gib": line.total,
        "taken_gib": round(line.taken, 4),
        "over": line.over,
        "shares": [{"holder": s.holder, "taken_gib": s.taken, "low_gib": s.low} for s in line.shares],
    }
