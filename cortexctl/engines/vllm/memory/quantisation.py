"""How a checkpoint is quantised: bytes per parameter of each module, and the modules that stay unquantised."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any

from cortexctl.dataclass import dataclass
from cortexctl.engines.vllm.memory.config import Config


@dataclass(frozen=True, slots=True)
class Scheme:
    """`size`: bytes per parameter, including scales and zero points; `packed`: without them. `group`, `block`: a split
    must contain a whole number of them.
    """

    name: str
    size: float
    group: int = 0
    block: int = 0
    experts_only: bool = False
    symmetric: bool = False
    """Zero points are all the same and dropped when it is loaded."""
    guessed: bool = False
    """The method is unknown."""

    @property
    def packed(self) -> float:
        """Bytes per parameter of the numbers alone, which are an allocation of their own."""
        return int(self.size * 8) / 8


AS_STORED = Scheme("", 0.0)
"""Not quantised: the size is that of the model's dtype."""


@dataclass(frozen=True, slots=True, eq=False)
class Quantisation:
    """`scheme` applies to linear layers without an entry; `leaves`: by the last part of a module's name; `unquantised`:
    patterns of modules that stay as stored.
    """

    method: str = ""
    scheme: Scheme = AS_STORED
    leaves: Mapping[str, Scheme] = field(default_factory=dict)
    unquantised: Patterns | None = None
    experts_only: bool = False
    """The recipe leaves everything but the experts as stored."""
    spares_states: bool = False
    """It leaves the projections of linear attention as stored."""
    kv_scheme: str = ""
    """The type of KV cache for which the checkpoint has scales; used with kv_cache_dtype "auto" by ModelOpt's
    checkpoints.
    """

    def of(self, module: str, layer: int) -> Scheme:
        """The scheme of a linear module, by its path inside its layer, such as self_attn.q_proj."""
        if not self.method:
            return AS_STORED
        leaf = module.rpartition(".")[2]
        if self.leaves:
            return self.leaves.get(leaf, AS_STORED)
        if (self.scheme.experts_only or self.experts_only) and ".experts" not in module:
            return AS_STORED
        if self.spares_states and "linear_attn" in module:
            return AS_STORED
        if self.unquantised and self.unquantised.match(module, layer):
            return AS_STORED
        return self.scheme


NOT_QUANTISED = Quantisation()


class Patterns:
    """Module names in the forms that recipes use: whole paths, parts of them, globs, and `re:` expressions."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self.patterns = tuple(patterns)
        self._exact: set[str] = set()
        self._parts: set[str] = set()
        self._expressions: list[re.Pattern[str]] = []
        for pattern in self.patterns:
            if pattern.startswith("re:"):
                self._expressions.append(_compiled(pattern[3:]))
            elif "*" in pattern or "?" in pattern:
                self._expressions.append(
                    re.compile(
                        fnmatch.translate(_inside(pattern))
                        if "layers." in pattern
                        else ".*" + fnmatch.translate(pattern.lstrip("*"))
                    )
                )
            elif "layers." in pattern:
                self._exact.add(_inside(pattern))
            else:
                self._parts.add(pattern.rpartition(".")[2] if pattern.startswith("model.") else pattern)

    def match(self, module: str, layer: int) -> bool:
        """`module` such as mlp.down_proj. `layer` below 0: a module outside the layers."""
        name = f"layers.{layer}.{module}" if layer >= 0 else module
        if name in self._exact or any(
            name.startswith(f"{e}.") for e in (f"layers.{layer}", name.rpartition(".")[0]) if e in self._exact
        ):
            return True
        steps = name.split(".")
        if any(part in steps or ("." in part and part in name) for part in self._parts):
            return True
        names = (name, f"model.{name}", f"model.language_model.{name}", f"language_model.model.{name}")
        return any(e.match(w) for e in self._expressions for w in names)


def _compiled(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error:
        return re.compile(r"(?!)")


def _inside(pattern: str) -> str:
    """From `layers.` on: the part before it differs between checkpoints of one model."""
    return pattern[pattern.index("layers.") :]


def quantisation_of(config: Config) -> Quantisation:
    """The quantisation in `quantization_config`; none without it."""
    table = config.get("quantization_config") or config.get("compression_config") or {}
    if not isinstance(table, Mapping) or not table:
        return NOT_QUANTISED
    table = {**table, **(table.get("quantization") or {})} if isinstance(table.get("quantization"), Mapping) else table
    method = str(table.get("quant_method") or table.get("quant_algo") or "").lower()
    patterns = [str(name) for key in _UNQUANTISED_KEYS for name in table.get(key) or () if isinstance(name, str)]
    layers = config.number("num_hidden_layers")
    unnamed = int(table.get("not_quantized_count") or 0) - len(table.get("not_quantized_sample") or ())
    kv = table.get("kv_cache_scheme") or table.get("kv_cache_quant_algo")
    kv_bits = kv.get("num_bits") if isinstance(kv, Mapping) else 8 if str(kv).upper() == "FP8" else None
    return Quantisation(
        method or "unknown",
        _scheme(method, table),
        _leaves(table),
        Patterns(patterns) if patterns else None,
        # A shortened list: one with several names per layer is from a recipe for experts only.
        experts_only=unnamed >= 2 * layers > 0 and bool(config.get("num_experts", "n_routed_experts")),
        # LLM Compressor's recipes for these families skip linear attention; a config without a list follows that.
        spares_states=method == "compressed-tensors" and not patterns and bool(config.get("linear_num_value_heads")),
        kv_scheme="fp8" if kv_bits == 8 else "",
    )


_UNQUANTISED_KEYS = ("ignore", "modules_to_not_convert", "exclude_modules", "not_quantized_sample", "ignored_layers")


def online(method: str) -> Quantisation:
    """A scheme chosen at launch for a checkpoint that is not quantised."""
    return Quantisation(method, _scheme(method, {"load_in_4bit": True}))


def _scheme(method: str, table: Mapping[str, Any]) -> Scheme:
    group = _int(table.get("group_size") or table.get("q_group_size")) or 0
    bits = _int(table.get("bits") or table.get("w_bit")) or 4
    group = max(group, 0)
    match method:
        case "awq" | "awq_marlin":
            return _packed("awq", bits, group or 128, zeros=table.get("zero_point") is not False)
        case "gptq" | "gptq_marlin" | "auto-round" | "auto_round" | "intel/auto-round" | "autoround":
            return _packed("gptq", bits, group or 128, zeros=table.get("sym") is False)
        case "fp8" | "fbgemm_fp8" | "ptpc_fp8" | "fp8_per_tensor" | "fp8_per_block":
            block = table.get("weight_block_size")
            return _blocked("fp8", block) if block else Scheme("fp8", 1.0)
        case "blockwise_int8":
            return _blocked("int8", table.get("weight_block_size") or [128, 128])
        case "mxfp4" | "gpt_oss_mxfp4":
            return Scheme("mxfp4", 0.5 + 1 / 32, 32, experts_only=True)
        case "bitsandbytes":
            return _bitsandbytes(table)
        case "compressed-tensors" | "modelopt" | "modelopt_fp4" | "modelopt_mixed" | "nvfp4" | "quark":
            return _grouped(table)
        case "experts_int8":
            return Scheme("int8", 1.0, experts_only=True)
        case "gguf":
            return Scheme("gguf", 0.6)
        case "hqq" | "torchao":
            return _packed(method, bits, group or 64, zeros=True)
        case "int8" | "w8a8" | "w8a8_int8":
            return Scheme("int8", 1.0)
    return Scheme(method or "unknown", 1.0 if "8" in method else 0.5 + 2 / 128, guessed=True)


def _packed(name: str, bits: int, group: int, *, zeros: bool) -> Scheme:
    """Integers of `bits`, a 16-bit scale per group, and a zero point of `bits` per group if there is one."""
    size = bits / 8 + 2 / group + (bits / 8 / group if zeros else 0)
    return Scheme(name, size, group, symmetric=not zeros)


def _blocked(name: str, block: Any) -> Scheme:
    rows, columns = (int(block[0]), int(block[1])) if isinstance(block, list) and len(block) == 2 else (128, 128)
    return Scheme(name, 1 + 4 / (rows * columns), block=columns)


def _bitsandbytes(table: Mapping[str, Any]) -> Scheme:
    if table.get("load_in_8bit"):
        return Scheme("bitsandbytes", 1.0)
    return Scheme("bitsandbytes", 0.5 + 4 / 64)  # scales that are quantised too are unpacked when they are loaded


_ALGORITHMS = {
    "NVFP4": Scheme("nvfp4", 0.5 + 1 / 16, 16),
    "W4A16_NVFP4": Scheme("nvfp4", 0.5 + 1 / 16, 16),
    "NVFP4_AWQ": Scheme("nvfp4", 0.5 + 1 / 16, 16),
    "FP8": Scheme("fp8", 1.0),
    "FP8_PB_WO": Scheme("fp8", 1 + 4 / 16384, block=128),
    "FP8_PER_CHANNEL_PER_TOKEN": Scheme("fp8", 1.0),
    "MXFP8": Scheme("mxfp8", 1 + 1 / 32, 32),
    "MXFP4": Scheme("mxfp4", 0.5 + 1 / 32, 32),
    "W4A8_AWQ": Scheme("awq", 0.5 + 2 / 128, 128),
    "INT4_AWQ": Scheme("awq", 0.5 + 2 / 128, 128),
}


def _grouped(table: Mapping[str, Any]) -> Scheme:
    """compressed-tensors and ModelOpt: an algorithm by name, or groups of targets; the widest group counts."""
    algorithm = str(table.get("quant_algo") or "").upper()
    if algorithm in _ALGORITHMS:
        return _ALGORITHMS[algorithm]
    groups = table.get("config_groups") or {}
    schemes = [(_targets(g), _weights(g.get("weights") or {})) for g in groups.values() if isinstance(g, Mapping)]
    return max(schemes, key=lambda s: s[0])[1] if schemes else Scheme("fp8", 1.0)


def _targets(group: Mapping[str, Any]) -> int:
    named = group.get("targets")
    if isinstance(named, list):
        return 10**6 if "Linear" in named else len(named)
    return int(group.get("n_targets") or 1)


def _weights(weights: Mapping[str, Any]) -> Scheme:
    bits, kind = _int(weights.get("num_bits")) or 8, str(weights.get("type") or "int")
    group = max(_int(weights.get("group_size")) or 0, 0)
    if kind == "float" and bits == 4:
        return _ALGORITHMS["MXFP4" if group == 32 else "NVFP4"]
    if bits == 8:
        block = weights.get("block_structure")
        return (
            _blocked("fp8" if kind == "float" else "int8", block)
            if block
            else Scheme("fp8" if kind == "float" else "int8", 1.0)
        )
    return _packed("compressed-tensors", bits, group or 10**6, zeros=weights.get("symmetric") is False)


def _leaves(table: Mapping[str, Any]) -> Mapping[str, Scheme]:
    """ModelOpt's mixed recipes name each module with its algorithm: for each last part of a name the most common one
    counts.
    """
    votes: dict[str, dict[str, int]] = {}
    for name, entry in (table.get("quantized_layers") or {}).items():
        leaf = str(name).rpartition(".")[2]
        algorithm = str(entry.get("quant_algo") if isinstance(entry, Mapping) else entry).upper()
        votes.setdefault(leaf, {})[algorithm] = votes.get(leaf, {}).get(algorithm, 0) + 1
    for name, number in (table.get("quantized_layers_summary") or {}).items():
        leaf, _, algorithm = str(name).partition(":")
        votes.setdefault(leaf, {})[algorithm.upper()] = int(number)
    best = {leaf: max(counts, key=lambda a: counts[a]) for leaf, counts in votes.items()}
    return {leaf: _ALGORITHMS[a] for leaf, a in best.items() if a in _ALGORITHMS}


def _int(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
