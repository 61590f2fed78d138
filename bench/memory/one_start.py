"""One start of vLLM in this process, measured between the worker's steps: `one_start.py REQUEST RESULT`. See on_gpu.py.

vLLM's own numbers are read where it subtracts them, in bytes: nothing is measured a second time. Written for the
workers of 0.21 to 0.32 on one GPU.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")

STAGES = (
    "init_device",
    "load_model",
    "determine_available_memory",
    "initialize_from_config",
    "compile_or_warm_up_model",
)
CACHE_HIT = "Directly load"


class Watch(logging.Handler):
    """The lines of the log."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def number(self, pattern: str) -> float | None:
        for line in self.lines:
            if match := re.search(pattern, line):
                return float(match[1].replace(",", ""))
        return None


class Probe:
    """The worker, the configuration of its cache, and the seconds of its steps."""

    def __init__(self) -> None:
        self.worker: Any = None
        self.cache: Any = None
        self.stage = "config"
        self.seconds: dict[str, float] = {}
        self.graphs: int | None = None

    def install(self, worker: type) -> None:
        for stage in STAGES:
            setattr(worker, stage, self._timed(stage, getattr(worker, stage)))

    def _timed(self, stage: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def timed(worker: Any, *args: Any, **kwargs: Any) -> Any:
            self.worker, self.stage = worker, stage
            if stage == "initialize_from_config":
                self.cache = args[0] if args else next(iter(kwargs.values()))
            if stage == "compile_or_warm_up_model" and not worker.model_config.enforce_eager:
                worker.model_runner.capture_model = self._capture(worker.model_runner.capture_model)
            began = time.monotonic()
            try:
                return step(worker, *args, **kwargs)
            finally:
                self.seconds[stage] = round(time.monotonic() - began, 2)

        return timed

    def _capture(self, capture: Callable[[], int]) -> Callable[[], int]:
        def timed() -> int:
            began = time.monotonic()
            self.graphs = capture()
            self.seconds["capture"] = round(time.monotonic() - began, 2)
            return self.graphs

        return timed


def main(request: dict[str, Any], result: Path) -> None:
    watch, probe = Watch(), Probe()
    import torch
    import vllm
    from vllm.engine.arg_utils import EngineArgs
    from vllm.usage.usage_lib import UsageContext
    from vllm.v1.engine.core import EngineCore
    from vllm.v1.executor.abstract import Executor
    from vllm.v1.worker.gpu_worker import Worker

    logging.getLogger("vllm").addHandler(watch)
    probe.install(Worker)
    began, config, error = time.monotonic(), None, None
    try:
        config = EngineArgs(**arguments(request)).create_engine_config(usage_context=UsageContext.OPENAI_API_SERVER)
        probe.seconds["config"] = round(time.monotonic() - began, 2)
        EngineCore(config, Executor.get_class(config), log_stats=False)
    except Exception as cause:
        error = {"kind": type(cause).__module__ + "." + type(cause).__name__, "stage": probe.stage, "text": str(cause)}
        if probe.worker is None or config is None:
            raise
    probe.seconds["total"] = round(time.monotonic() - began, 2)
    line = {key: request[key] for key in ("case", "model", "config", "flags", "env") if key in request}
    line |= {
        "vllm": vllm.__version__,
        "torch": torch.__version__,
        "gpu": torch.cuda.get_device_name(),
        "capability": float("{}.{}".format(*torch.cuda.get_device_capability())),
        "driver": driver(),
        "weights_are": request.get("weights_are", "dummy"),
        "started": error is None,
        "refusal": error,
        **memory(probe, watch),
        "effective": effective(config, probe.worker),
        "compiled": None if config.model_config.enforce_eager else compiled(watch),
        "seconds": probe.seconds,
    }
    result.write_text(json.dumps(line), encoding="utf-8")


def arguments(request: dict[str, Any]) -> dict[str, Any]:
    """The flags with the folders of the models."""
    paths, flags = request["paths"], dict(request["flags"])
    if (draft := flags.get("speculative_config")) and draft.get("model") in paths:
        flags["speculative_config"] = {**draft, "model": paths[draft["model"]]}
    path = Path(paths[request["model"]])
    bare = not any(path.glob("tokenizer*"))
    flags.setdefault("load_format", "auto" if request.get("weights_are") == "real" else "dummy")
    return {"model": str(path), "skip_tokenizer_init": bare, **flags}


def memory(probe: Probe, watch: Watch) -> dict[str, Any]:
    """The terms in bytes; what was not reached is None."""
    worker, cache = probe.worker, probe.cache
    snapshot = getattr(worker, "init_snapshot", None)
    runner = getattr(worker, "model_runner", None)
    config = worker.vllm_config
    return {
        "gpu_total_bytes": getattr(snapshot, "total_memory", None),
        "free_at_start_bytes": getattr(snapshot, "free_memory", None),
        "requested_bytes": _whole(getattr(worker, "requested_memory", None)),
        "weights_bytes": _whole(getattr(runner, "model_memory_usage", None)),
        "peak_activation_bytes": getattr(worker, "peak_activation_memory", None),
        "non_torch_bytes": getattr(worker, "non_torch_memory", None),
        "cudagraph_estimate_bytes": getattr(worker, "cudagraph_memory_estimate", None),
        "cudagraph_capture_bytes": probe.graphs,
        "available_kv_bytes": available(worker),
        "kv_cache_tokens": _whole(watch.number(r"GPU KV cache size: ([\d,]+) tokens")),
        "max_concurrency": watch.number(r"Maximum concurrency for .*: ([\d.,]+)x"),
        "num_gpu_blocks": cache.num_blocks if cache else None,
        "block_size": config.cache_config.block_size if cache else None,
        "kv_groups": [group(of) for of in cache.kv_cache_groups] if cache else None,
        "max_model_len": config.model_config.max_model_len,
        "free_after_start_bytes": free(),
    }


def free() -> int | None:
    """What the card has free now, in bytes, with all that the start holds; None without a card."""
    import torch

    return torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else None


def available(worker: Any) -> int | None:
    """As set, or as profiled."""
    return worker.cache_config.kv_cache_memory_bytes or _whole(getattr(worker, "available_kv_cache_memory_bytes", None))


def group(of: Any) -> dict[str, Any]:
    spec = of.kv_cache_spec
    names = ("block_size", "page_size_bytes", "num_kv_heads", "head_size", "sliding_window", "page_size_padded")
    return {"spec": type(spec).__name__, "layers": len(of.layer_names)} | {n: getattr(spec, n, None) for n in names}


def effective(config: Any, worker: Any) -> dict[str, Any]:
    scheduler, cache, model = config.scheduler_config, config.cache_config, config.model_config
    compilation = config.compilation_config
    sizes = compilation.cudagraph_capture_sizes or []
    return {
        "max_num_batched_tokens": scheduler.max_num_batched_tokens,
        "max_num_seqs": scheduler.max_num_seqs,
        "max_model_len": model.max_model_len,
        "chunked_prefill": bool(scheduler.enable_chunked_prefill),
        "async_scheduling": bool(scheduler.async_scheduling),
        "gpu_memory_utilization": cache.gpu_memory_utilization,
        "kv_cache_dtype": str(cache.cache_dtype),
        "prefix_caching": bool(cache.enable_prefix_caching),
        "cudagraph_mode": getattr(compilation.cudagraph_mode, "name", None),
        "n_capture_sizes": len(sizes),
        "max_capture_size": max(sizes, default=0),
        "dtype": str(model.dtype),
        "quantization": model.quantization,
        "v2_model_runner": bool(getattr(worker, "use_v2_model_runner", False)),
        "runner_type": model.runner_type,
        "enforce_eager": bool(model.enforce_eager),
    }


def compiled(watch: Watch) -> str:
    return "from its cache" if any(CACHE_HIT in line for line in watch.lines) else "cold"


def driver() -> str:
    path = Path("/proc/driver/nvidia/version")
    match = re.search(r"Kernel Module\s+(?:for \S+\s+)?([\d.]+)", path.read_text()) if path.exists() else None
    return match[1] if match else ""


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), Path(sys.argv[2]))
