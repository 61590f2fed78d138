"""Reads a command line of `vllm serve`: which options it has, in any order and spelling."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from cortexctl.engines.vllm.catalogue import catalogue
from cortexctl.engines.vllm.command.reserved import RESERVED
from cortexctl.engines.vllm.command.values import SWITCHES

POSITIONAL = "model"
_OPTION = re.compile(r"--?[A-Za-z]")
"""A minus before a digit is a number."""
OUR_NAMES = {"model": "model", "served_model_name": "served_names", "shutdown_timeout": "drain"}
"""Parameters that a stack has under another name, or under their own without `args.`."""


def options_of(argv: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Parameter, in snake_case -> its arguments; for a switch "true" or "false".

    An argument before all options is the model. An argument after an option counts as its value, as in vLLM's own
    lists.
    """
    options: dict[str, list[str]] = {}
    name = POSITIONAL
    for word in argv:
        if _OPTION.match(word):
            flag, equals, value = word.partition("=")
            head, dot, inner = flag.partition(".")
            option = catalogue.spelled(head)
            if option is not None and flag in option.off_flags and not equals:
                options[option.name] = ["false"]
                name = option.name
                continue
            name = (option.name if option else head.lstrip("-").replace("-", "_")) + dot + inner
            options.setdefault(name, []).extend([value] if equals else [])
        else:
            options.setdefault(name, []).append(word)
    return {name: tuple(values) or ("true",) for name, values in options.items()}


def path_of(option: str) -> str:
    """The option by its path in a stack."""
    if option in OUR_NAMES:
        return OUR_NAMES[option]
    is_argument = option not in RESERVED and bool(catalogue.option_spans(option.partition(".")[0]))
    return f"args.{option}" if is_argument else f"extra_args.--{option.replace('_', '-')}"


_OPEN_TEXTS = {
    *("attention_backend", "chat_template", "distributed_executor_backend", "generation_config", "hf_config_path"),
    *("kv_cache_dtype", "load_format", "lora_modules", "quantization", "reasoning_parser", "tokenizer"),
    *("tokenizer_mode", "tool_call_parser"),
}
"""Free texts that nobody uses for a secret."""
_OPEN_KINDS = {*SWITCHES, "int", "float", "size", "size_or_auto", "counts", "counts_or_json", "items", "lower"}


def may_be_shown(option: str) -> bool:
    """Whether the option's value is known not to be a secret, even if a person wrote it."""
    if option in OUR_NAMES or option in {"host", "port", "revision"}:
        return True
    if option in RESERVED or not catalogue.option_spans(option):
        return False
    facts = catalogue.newest_option(option)
    return facts.kind in _OPEN_KINDS or bool(facts.choices) or option in _OPEN_TEXTS
