"""From the names in vLLM's own configuration classes to those of a stack."""

from __future__ import annotations

import re
from functools import cache

from cortexctl.engines.vllm.catalogue.catalogue import newest_option, option_names

_NESTED = {
    "PassConfig": "compilation_config.pass_config",
    "DynamicShapesConfig": "compilation_config.dynamic_shapes_config",
}
"""Classes within the table of an argument."""
_ALIASES = {
    ("CacheConfig", "cache_dtype"): "args.kv_cache_dtype",
    ("SchedulerConfig", "policy"): "args.scheduling_policy",
    ("SchedulerConfig", "chunked_prefill_enabled"): "args.enable_chunked_prefill",
    ("MultiModalConfig", "limit_per_prompt"): "args.limit_mm_per_prompt",
    ("LoRAConfig", "bias_enabled"): "args.enable_lora_bias",
    ("ParallelConfig", "data_parallel_master_ip"): "args.data_parallel_address",
    ("ModelConfig", "use_async_output_proc"): "args.disable_async_output_proc",
    ("ModelConfig", "model"): "source",
    ("ModelConfig", "revision"): "source.revision",
    ("ModelConfig", "tokenizer"): "source.tokenizer",
    ("ModelConfig", "override_pooler_config"): "args.pooler_config",
    ("ObservabilityConfig", "show_hidden_metrics"): "args.show_hidden_metrics_for_version",
    ("DecodingConfig", "backend"): "args.guided_decoding_backend",
    ("DecodingConfig", "disable_fallback"): "args.guided_decoding_disable_fallback",
    ("DecodingConfig", "disable_any_whitespace"): "args.guided_decoding_disable_any_whitespace",
}
"""(class, field) -> the name in a stack, where the field has another name than its argument."""
_KINDS = (
    ("a valid dictionary", "a table"),
    ("a valid integer", "a whole number"),
    ("a valid number", "a number"),
    ("a valid boolean", "true or false"),
    ("a valid string", "a text"),
    ("a valid list", "a list"),
    ("a valid tuple", "a list"),
    ("a valid set", "a list"),
    ("an instance of ", "a table"),
)
"""The begin of pydantic's phrase -> the kind of value in a stack."""


def stack_name(config: str, field: str) -> str:
    """The stack's name for a field of a configuration class: 'args.limit_mm_per_prompt'. '' if no argument sets it.

    `field` may have pydantic's branch of a union at its end: 'max_model_len.int'.
    """
    parts = re.match(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*(?![\w\[(-])", field)
    path = parts.group() if parts else field.partition(".")[0]
    first = path.partition(".")[0]
    if alias := _ALIASES.get((config, first)):
        return alias
    if table := _NESTED.get(config) or _tables().get(config):
        return f"args.{table}.{path}"
    return f"args.{first}" if first in option_names() else ""


def stack_kind(phrase: str) -> str:
    """Pydantic's 'a valid dictionary' as the kind of value that a stack has: 'a table'."""
    return next((kind for begin, kind in _KINDS if phrase.startswith(begin)), phrase)


@cache
def _tables() -> dict[str, str]:
    """Configuration class -> the newest argument whose value is its table."""
    options = (newest_option(name) for name in option_names())
    return {option.config: option.name for option in options if option.config}
