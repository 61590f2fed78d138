"""The memory of a draft model that a server loads beside its own: weights, and the caches of its layers.

Measured with 0.26 on an H200 for a draft that is a model of its own: weights add exactly what it takes alone, every
layer gets a cache in the common pool, and nothing else is added. Drafts that read the hidden states of their target
(EAGLE, DFlash, Medusa, MTP) share its embedding, and most of them its head.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from math import prod
from typing import Any

from cortexctl.dataclass import dataclass
from cortexctl.engines.estimate import Estimate
from cortexctl.engines.vllm.memory.config import UnknownModel
from cortexctl.engines.vllm.memory.headers import (
    Headers,
    headers_of,
    loaded_weights,
    loaded_width,
    names_embedding,
    names_head,
)
from cortexctl.engines.vllm.memory.layers import Attention
from cortexctl.engines.vllm.memory.model_facts import Facts, read_facts
from cortexctl.engines.vllm.memory.settings import Settings
from cortexctl.engines.vllm.memory.speculation import WHOLE, Speculation
from cortexctl.engines.vllm.memory.weights import Stage, WeightOptions, draft_bytes, weight_bytes
from cortexctl.model_files.files import ModelFiles
from cortexctl.text.units import GIB


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """A draft model in files of its own. `problem`: the reason why they are not known; the other fields then mean
    nothing. `facts`: None if its config does not describe layers with attention, as that of Medusa's heads.
    """

    name: str
    problem: str = ""
    facts: Facts | None = None
    headers: Headers | None = None
    config: Mapping[str, Any] = field(default_factory=dict)


def read_draft(speculation: Speculation, files: Mapping[str, ModelFiles]) -> Draft | None:
    """The draft of a launch, from the files that are known by the names of their models; None if it has none."""
    if not speculation.model:
        return None
    known = files.get(speculation.model)
    if known is None or known.problem:
        return Draft(speculation.model, known.problem if known else "its files were not read")
    inner = known.config.get("transformer_layer_config")  # of checkpoints in the form of the library "speculators"
    config = {**known.config, **inner} if isinstance(inner, Mapping) else known.config
    try:
        facts = read_facts(config) if speculation.has_own_layers or speculation.is_mtp else None
        whole = headers_of(known, facts) if facts and speculation.method == WHOLE else None
    except (UnknownModel, ValueError, TypeError, KeyError, ArithmeticError, AttributeError, IndexError):
        facts, whole = None, None
    if facts is None and speculation.method == WHOLE:
        return Draft(speculation.model, "its config.json is not that of a model with attention")
    headers = whole if speculation.method == WHOLE else Headers(known.tensors, known.total)
    draft = Draft(speculation.model, "", facts, headers, config)
    return draft if facts or _has_size(draft) else Draft(speculation.model, "its files do not show its size")


def _has_size(draft: Draft) -> bool:
    return bool(draft.headers and (draft.headers.tensors or draft.headers.total)) or bool(_medusa(draft))


def draft_weights(draft: Draft, s: Settings, options: WeightOptions) -> Estimate:
    """GiB on one GPU of the last stage. `options`: those of the target; the draft may be split over fewer ranks."""
    tp = s.speculation.tp or s.tp
    split = replace(options.split, tp=tp, experts=tp if s.speculation.tp else options.split.experts)
    options = replace(options, split=split, draft="", loras=0, head=True)
    if draft.facts is not None and s.speculation.method == WHOLE:
        all_layers = Stage(range(len(draft.facts.layers)))
        return loaded_weights(draft.facts, all_layers, draft.facts.quant, options, draft.headers)
    own, shared = (size / GIB for size in _parts(draft, s, options))
    shares = s.engine_v1 and s.pp == 1
    return Estimate(own if shares else own + shared, 0.97 * own, 1.03 * (own + shared), "config")


def _parts(draft: Draft, s: Settings, options: WeightOptions) -> tuple[float, float]:
    """(bytes of its own, bytes that it may share with its target)."""
    facts, tp = draft.facts, options.split.tp
    if s.speculation.is_mtp and facts is not None:  # the files may be of a whole model: only these layers are loaded
        return draft_bytes(facts, replace(options, draft="mtp")), 2 * facts.vocab * facts.hidden * options.size / tp
    if draft.headers and draft.headers.tensors:
        return _by_tensors(draft.headers, s, options)
    if facts is None:
        return (_medusa(draft) * options.size or (draft.headers.total if draft.headers else 0)) / tp, 0.0
    return _by_config(draft, facts, s, options)


def _by_config(draft: Draft, facts: Facts, s: Settings, options: WeightOptions) -> tuple[float, float]:
    """Its layers, and a projection of the target's states to its width."""
    tp = options.split.tp
    row = facts.hidden * options.size / tp
    tables = facts.vocab * row * (1 if facts.tied else 2)
    layers = weight_bytes(facts, Stage(range(len(facts.layers))), facts.quant, options) - tables
    states = {"eagle": 2, "eagle3": 3}.get(s.speculation.method, len(facts.layers))
    own = layers + states * facts.hidden**2 * options.size
    if s.speculation.method != "eagle3":
        return own, tables
    rows = draft.config.get("draft_vocab_size")  # its head is its own
    head = (rows if isinstance(rows, int) else facts.vocab) * row
    return own + head + _beside_input(facts) * row, facts.vocab * row


def _beside_input(facts: Facts) -> float:
    """Rows of the projections in EAGLE-3's first layer for the state that it reads beside its input."""
    mixers = facts.layers[0].mixers if facts.layers else ()
    return sum((m.heads + 2 * m.kv_heads) * m.head_dim for m in mixers if isinstance(m, Attention))


def _by_tensors(headers: Headers, s: Settings, options: WeightOptions) -> tuple[float, float]:
    """Matrices are split over the ranks, except those that read the target's states."""
    own = shared = 0.0
    for name, (dtype, shape) in headers.tensors.items():
        size = prod(shape) * loaded_width(name, dtype, options)
        split = len(shape) > 1 and not name.removeprefix("model.").startswith("fc.")
        size /= options.split.tp if split else 1
        if names_embedding(name) or (names_head(name) and s.speculation.method not in {"eagle3", "medusa"}):
            shared += size
        else:
            own += size
    return own, shared


def _medusa(draft: Draft) -> int:
    """Parameters of Medusa's heads: blocks of the hidden size, and for each head one row for every token."""
    config = draft.config
    sizes = [config.get(key) for key in ("num_heads", "hidden_size", "vocab_size")]
    heads, hidden, vocab = (n if isinstance(n, int) and n > 0 else 0 for n in sizes)
    layers = config.get("num_hidden_layers", config.get("medusa_num_layers", 1))
    return heads * hidden * (vocab + hidden * (layers if isinstance(layers, int) else 1))


def largest_missing(facts: Facts, s: Settings, weights: Estimate) -> float:
    """GiB that a draft takes at most if nothing is known about it: a draft that is a model of its own is smaller than
    its target; one that reads its states has a few layers.
    """
    if s.speculation.method == WHOLE:
        return weights.value
    return weights.value * min(1.0, (s.speculation.layers + 3) / max(len(facts.layers), 1))


def has_unknown_cache(speculation: Speculation, draft: Draft | None) -> bool:
    """A draft that is a model of its own, with an unknown config. It is smaller than its target, so its cache takes at
    most as much as the target's.
    """
    return speculation.method == WHOLE and (draft is None or draft.facts is None)


def uncounted_draft(speculation: Speculation, draft: Draft | None) -> str:
    """What is not counted of a draft model with files of its own, and why; empty if everything is."""
    if not speculation.model or (draft is None and speculation.is_mtp) or (draft is not None and not draft.problem):
        return ""
    why = f" ({draft.name}: {draft.problem})" if draft is not None else ""
    if speculation.is_estimated:
        return f"the weights of the draft model are an estimate from the model's own layers{why}"
    return f"the weights of the draft model are not included{why}"
