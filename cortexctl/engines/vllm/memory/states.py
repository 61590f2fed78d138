"""How the states of a model are cached, by release: one a request, those of its last blocks, or one for every block.

vLLM: `MambaModelConfig` and `HybridAttentionMambaModelConfig`, `_align_hybrid_block_size`, `MambaSpec`, read in 40
releases from 0.9.2 to 0.33.0. Measured with 0.26.0: "all" and "none". Older releases of V1 keep one state a request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from cortexctl.dataclass import dataclass
from cortexctl.engines.vllm.memory.layers import DeltaNet, Mamba
from cortexctl.engines.vllm.memory.model_facts import Facts
from cortexctl.engines.vllm.memory.release_changes import Behaviour

Mode = Literal["none", "align", "all"]

_CACHES_ALL = {"bamba", "falcon_h1", "falcon_mamba", "granitemoehybrid", "jamba", "mamba", "mamba2", "nemotron_h"}
"""Families whose kernels can start from the state of any block: `SupportsMambaPrefixCaching`."""


@dataclass(frozen=True, slots=True)
class States:
    """`pages`: of a request, whatever its length; with `grows`, beside one for every block. `chunk`: a block of "all"
    is a multiple of it.
    """

    mode: Mode = "none"
    pages: int = 1
    grows: bool = False
    chunk: int = 0


ONE_STATE = States()


def caches_all(facts: Facts, acts: Behaviour) -> bool:
    """Whether the release can keep a state for every block of this model."""
    if not acts.since(0, 11, 1) or acts.since(0, 32):
        return False
    return facts.model_type in _CACHES_ALL and not (facts.model_type == "bamba" and acts.since(0, 24))


def can_cache_prefixes(facts: Facts, acts: Behaviour) -> bool:
    """Up to 0.14, prefix caching was switched off for models with states that cannot have one for every block."""
    return acts.since(0, 15) or caches_all(facts, acts)


def states_of(
    acts: Behaviour, args: Mapping[str, Any], facts: Facts, *, caches_prefixes: bool, speculative_tokens: int
) -> States:
    """How a request's states are cached."""
    mode = _mode(acts, args, facts, caches_prefixes=caches_prefixes, drafts=speculative_tokens > 0)
    if mode == "all":
        chunk = _number(args, "mamba_block_size") or facts.state_chunk
        return States(mode, speculative_tokens if acts.since(0, 22) else 0, grows=True, chunk=chunk)
    drafts = speculative_tokens if acts.since(0, 15) else 0
    if mode == "none":
        return States(mode, 1 + drafts)
    return States(mode, 2 + drafts + (1 if _has_checkpoint(acts, facts) else 0))


def _mode(acts: Behaviour, args: Mapping[str, Any], facts: Facts, *, caches_prefixes: bool, drafts: bool) -> Mode:
    if not caches_prefixes:
        return "none"
    every = caches_all(facts, acts)
    if not acts.since(0, 15):
        return "all" if every else "none"
    if args.get("mamba_cache_mode") in {"align", "all"}:
        return "all" if every and args["mamba_cache_mode"] == "all" else "align"
    by_default = every and not acts.since(0, 28)
    if acts.since(0, 20) and not acts.since(0, 22) and drafts:
        return "align"
    return "all" if by_default else "align"


def _has_checkpoint(acts: Behaviour, facts: Facts) -> bool:
    """Since 0.32, Mamba 2 exports a state while it reads a prompt."""
    return acts.since(0, 32) and any(isinstance(m, Mamba) and not m.dt_rank for x in facts.layers for m in x.mixers)


def may_hold_more(s: States, acts: Behaviour, facts: Facts) -> bool:
    """Since 0.33, Gated DeltaNet exports a state, too, if its kernels are those of FlashInfer. Which they are is not
    known before a start.
    """
    return (
        s.mode == "align" and acts.since(0, 33) and any(isinstance(m, DeltaNet) for x in facts.layers for m in x.mixers)
    )


def _number(args: Mapping[str, Any], name: str) -> int:
    value = args.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
