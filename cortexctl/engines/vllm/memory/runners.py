"""Which of vLLM's two model runners serves a start, by release: they need different memory.

vLLM: `VllmConfig.use_v2_model_runner`, with `_is_default_v2_model_runner_model` and
`_get_v2_model_runner_unsupported_features`, read in all releases from 0.22.0 to 0.33.0. Measured with 0.26.0: 22 models
on the second runner, 6 on the first. Assumed: a GPU of NVIDIA with Triton, and no plug-in for logits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cortexctl.engines.vllm.memory.draft_runners import second_runner_serves
from cortexctl.engines.vllm.memory.model_facts import Facts
from cortexctl.engines.vllm.memory.release_changes import Behaviour, Version
from cortexctl.engines.vllm.memory.speculation import Speculation
from cortexctl.engines.vllm.memory.states import States

_LISTED: dict[str, tuple[Version, Version]] = {
    "Qwen3ForCausalLM": ((0, 22, 0), (0, 29, 0)),
    "LlamaForCausalLM": ((0, 23, 0), (0, 29, 0)),
    "MistralForCausalLM": ((0, 23, 0), (0, 29, 0)),
    "DeepseekV2ForCausalLM": ((0, 24, 0), (0, 29, 0)),
    "GraniteMoeForCausalLM": ((0, 24, 0), (0, 29, 0)),
    "Qwen2MoeForCausalLM": ((0, 24, 0), (0, 29, 0)),
    "InklingForCausalLM": ((0, 26, 0), (0, 29, 0)),
    "InklingForConditionalGeneration": ((0, 26, 0), (0, 29, 0)),
    "LongcatFlashNgramForCausalLM": ((0, 26, 0), (0, 29, 0)),
    "KimiK3ForConditionalGeneration": ((0, 27, 0), (0, 29, 0)),
    "DeepseekV4ForCausalLM": ((0, 28, 0), (0, 29, 0)),
}
"""Architectures that the second runner served before it served all: from a release on, before another."""
_NOT_SERVED: dict[str, Version] = {
    "enable_dbo": (0, 30, 0),
    "enable_elastic_ep": (0, 32, 0),
    "enable_prompt_embeds": (0, 29, 0),
    "enable_return_routed_experts": (0, 28, 0),
    "ec_transfer_config": (0, 28, 0),
    "kv_sharing_fast_prefill": (0, 30, 0),
    "logits_processors": (0, 31, 0),
}
"""Arguments that it lacked before a release."""


def uses_second_runner(
    acts: Behaviour,
    args: Mapping[str, Any],
    facts: Facts,
    environ: Mapping[str, str],
    speculation: Speculation,
    states: States,
    *,
    pooling: bool,
) -> bool:
    """Whether the release runs the model with its second runner: some models from 0.22 on, dense ones that generate
    from 0.25, all from 0.29; unless it lacks a feature. For an unknown release: the first, which needs more.
    """
    if (setting := environ.get("VLLM_USE_V2_MODEL_RUNNER")) in {"0", "1"}:
        return setting == "1"
    if not acts.known or not acts.since(0, 22):
        return False
    return _is_default(acts, facts, pooling=pooling) and _serves(acts, args, speculation, states)


def _is_default(acts: Behaviour, facts: Facts, *, pooling: bool) -> bool:
    if acts.since(0, 29):
        return True
    first, end = _LISTED.get(facts.architecture, ((0, 29, 0), (0, 29, 0)))
    listed = first <= acts.version < end
    if pooling:
        return False
    if not acts.since(0, 24):
        return listed and facts.experts is None and not facts.quant.method
    if not acts.since(0, 25):
        return listed
    if facts.hybrid and not (listed and facts.heads and acts.since(0, 27)):
        return False
    return listed or facts.experts is None


def _serves(acts: Behaviour, args: Mapping[str, Any], speculation: Speculation, states: States) -> bool:
    stages = args.get("pipeline_parallel_size")
    if not second_runner_serves(acts, speculation, stages if isinstance(stages, int) else 1):
        return False
    if states.mode == "all" and acts.since(0, 30):
        return False
    if args.get("logprobs_mode") in {"raw_logits", "processed_logits"} and not acts.since(0, 26):
        return False
    return not any(args.get(name) and acts.version < release for name, release in _NOT_SERVED.items())
