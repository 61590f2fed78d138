"""Which measurements of earlier starts apply to another start.

A value is reused only if everything that it depends on is the same: all values from the same start, the activation peak
from a start with the same batches, weights from one that loads the same, memory outside torch from any model on that
GPU.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

from cortexctl.dataclass import dataclass
from cortexctl.engines.gpu_table import Gpu
from cortexctl.engines.measurement import Measurement, Started, same_gpu, same_model, same_start
from cortexctl.engines.vllm.catalogue import catalogue
from cortexctl.engines.vllm.memory.model_facts import Facts
from cortexctl.engines.vllm.memory.release_changes import loose
from cortexctl.engines.vllm.memory.settings import Settings, read_settings

_AFTER_PROFILING = {
    "block_size",
    "enable_prefix_caching",
    "gpu_memory_utilization",
    "kv_cache_memory_bytes",
    "max_model_len",
    "num_gpu_blocks_override",
    "swap_space",
}
"""Arguments that only decide how the remaining memory is used."""
_BATCHES = {"max_num_batched_tokens", "max_num_seqs"}
_NOT_LOADING = {"CacheConfig", "SchedulerConfig", "CompilationConfig", "AttentionConfig"}
"""Option groups that do not affect the weights."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Measurements of starts on exactly this hardware, in GiB; None: not in the log. `notes`: which values come from
    which start.
    """

    weights_gib: float | None = None
    non_torch_gib: float | None = None
    transient_gib: float | None = None
    graphs_gib: float | None = None
    together_gib: float | None = None
    """Memory outside torch and the activation peak in one number, if the log does not separate them."""
    available_gib: float | None = None
    blocks: int | None = None
    tokens: int | None = None
    notes: tuple[str, ...] = ()


NOTHING_MEASURED = Measured()


def reused(known: Iterable[Measurement], target: Started, facts: Facts, gpu: Gpu | None) -> Measured:
    """The measurements of earlier starts that apply to `target`. For each part the latest conclusive one counts."""
    if not target.version:
        return NOTHING_MEASURED
    settings = _settings_of(target, facts, gpu)
    latest = sorted(known, key=lambda m: m.at, reverse=True)
    measured = NOTHING_MEASURED
    if (exact := same_start(latest, target)) is not None:
        measured = _all_of(exact, gpu, settings)
    if settings.pp > 1:  # the values are of one stage, and it is unknown of which one; blocks are the same for all
        return Measured(blocks=measured.blocks, notes=measured.notes) if measured.blocks else NOTHING_MEASURED
    for m in latest:
        reusable = Measured(
            weights_gib=m.log.weights_gib if _same_weights(m.started, target) else None,
            non_torch_gib=m.log.non_torch_gib if _same_outside(m.started, target) else None,
        )
        unknown = measured.transient_gib is None and measured.together_gib is None
        if unknown and _same_batches(m.started, target, facts, gpu):
            reusable = _parts_of(m, gpu, _settings_of(m.started, facts, gpu))
        measured = _with(measured, m, reusable, target)
    return measured


def _all_of(m: Measurement, gpu: Gpu | None, s: Settings) -> Measured:
    log = m.log
    reusable = _parts_of(m, gpu, s)
    return replace(
        reusable,
        available_gib=log.available_kv_gib,
        blocks=log.num_gpu_blocks,
        tokens=log.kv_cache_tokens,
        notes=(f"measured here on {m.at[:10]}: a start with exactly these arguments",),
    )


def _parts_of(m: Measurement, gpu: Gpu | None, s: Settings) -> Measured:
    log = m.log
    together = None
    if log.transient_gib is None and None not in (log.weights_gib, log.available_kv_gib) and not s.kv_bytes and gpu:
        requested = log.requested_gib or gpu.total_gib * s.utilization
        together = requested - (log.weights_gib or 0.0) - (log.available_kv_gib or 0.0) - (log.graphs_gib or 0.0)
    charged = 0.0 if together is not None and log.graphs_gib is None else log.graphs_gib  # eager starts report nothing
    return Measured(log.weights_gib, log.non_torch_gib, log.transient_gib, charged, together)


def _with(measured: Measured, m: Measurement, reusable: Measured, target: Started) -> Measured:
    """`measured` and the new values of `reusable`, with a note about them."""
    new = {
        name: value
        for name in ("weights_gib", "non_torch_gib", "transient_gib", "graphs_gib", "together_gib")
        if getattr(measured, name) is None and (value := getattr(reusable, name)) is not None
    }
    if not new:
        return measured
    names = ", ".join(_TEXTS[name] for name in new)
    note = f"measured here on {m.at[:10]}: {names}, from a start with {_differences(m.started, target)}"
    return replace(measured, **new, notes=(*measured.notes, note))


_TEXTS = {
    "weights_gib": "weights",
    "non_torch_gib": "memory outside torch",
    "transient_gib": "activation peak",
    "graphs_gib": "CUDA graphs",
    "together_gib": "activation peak and memory outside torch together",
}


def _differences(a: Started, b: Started) -> str:
    if not same_model(a, b):
        return f"another model ({a.model or 'by its config'})"
    differences = [f"vLLM {a.version}"] if a.version != b.version else []
    differences += [f"{n} {_as_text(a.args.get(n))}" for n in _unlike(a, b)]
    differences += ["other variables"] if a.environ != b.environ else []
    return ", ".join(differences) or "the same arguments"


def _as_text(value: Any) -> str:
    return "unset" if value is None else "another value" if str(value).startswith("#") else str(value)


def _unlike(a: Started, b: Started) -> Iterator[str]:
    return (n for n in sorted({*a.args, *b.args}) if a.args.get(n) != b.args.get(n))


def _same_batches(a: Started, target: Started, facts: Facts, gpu: Gpu | None) -> bool:
    """The profiling run is the same: a batch of the same size through the same weights and kernels."""
    if not (same_model(a, target) and same_gpu(a, target) and a.version == target.version):
        return False
    if a.environ != target.environ or not set(_unlike(a, target)) <= _AFTER_PROFILING | _BATCHES:
        return False
    one, other = _settings_of(a, facts, gpu), _settings_of(target, facts, gpu)
    same = one.batched_tokens == other.batched_tokens and one.max_num_seqs == other.max_num_seqs
    return same and one.chunked == other.chunked


def _settings_of(a: Started, facts: Facts, gpu: Gpu | None) -> Settings:
    plain = {n: v for n, v in a.args.items() if not str(v).startswith("#")}
    return read_settings(facts, plain, gpu or Gpu("", 0.0), a.version)


def _same_weights(a: Started, b: Started) -> bool:
    if not (same_model(a, b) and same_gpu(a, b)) or (loose(a.version) or ())[:2] != (loose(b.version) or ())[:2]:
        return False
    return all(n in _AFTER_PROFILING or n == "enforce_eager" or _group(n) in _NOT_LOADING for n in _unlike(a, b))


def _same_outside(a: Started, b: Started) -> bool:
    spread = ("tensor_parallel_size", "pipeline_parallel_size", "enable_sleep_mode")
    same = all(a.args.get(n) == b.args.get(n) for n in spread)
    return same and same_gpu(a, b) and bool(a.gpu) and a.version == b.version and a.environ == b.environ


@cache
def _group(name: str) -> str:
    return catalogue.newest_option(name).group
