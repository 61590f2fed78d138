"""Which model runner serves a kind of speculation, release by release.

vLLM: `VllmConfig._get_v2_model_runner_unsupported_features`, read in 0.22 to 0.33. With 0.26 on an H200, n-gram and a
draft that is a model of its own ran on the first runner.
"""

from __future__ import annotations

from cortexctl.engines.vllm.memory.release_changes import Behaviour
from cortexctl.engines.vllm.memory.speculation import WHOLE, Speculation

_ON_SECOND = (
    ((0, 22), {"eagle", "eagle3", "mtp"}),
    ((0, 24), {"dflash"}),
    ((0, 25), {"dspark"}),
    ((0, 29), {"extract_hidden_states"}),
    ((0, 31), {WHOLE}),
    ((0, 32), {"ngram", "ngram_gpu"}),
    ((0, 33), {"medusa", "mlp_speculator"}),
)
"""The release from which on the second runner serves these methods."""
_NEVER = {"suffix", "custom_class"}
_DRAFT_AT_ONCE = {"dflash", "dspark"}
"""Methods that draft all tokens in one pass on the second runner."""


def second_runner_serves(acts: Behaviour, speculation: Speculation, stages: int) -> bool:
    """Whether the second runner, where the release has it, serves this speculation. `stages`: of the pipeline."""
    method = "mtp" if speculation.is_mtp else speculation.method
    if not method:
        return True
    if speculation.parallel and method not in _DRAFT_AT_ONCE:
        return False
    if method == "eagle3" and stages > 1 and not acts.since(0, 30):
        return False
    if method == WHOLE and speculation.any_vocabulary and acts.since(0, 32):
        return False
    first = next((release for release, methods in _ON_SECOND if method in methods), None)
    if first is None:  # from 0.30 on, a method is served unless it is listed
        return acts.since(0, 30) and method not in _NEVER
    return acts.since(*first)
