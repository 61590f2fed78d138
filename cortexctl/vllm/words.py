"""A command line of `vllm serve` read back: which options it has, whatever their order and spelling."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from cortexctl.vllm.arguments import ARGUMENTS, SHORT_FLAGS

POSITIONAL = "model"
_OPTION = re.compile(r"--?[A-Za-z]")
"""A minus before a digit is a number."""
OUR_NAMES = {"model": "model", "served_model_name": "served_names", "shutdown_timeout": "drain"}
"""Parameters that a stack's reader knows by another name, or by their own without `args.`."""


def options_of(words: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Parameter, in snake_case -> its words; of a switch "true" or "false".

    A word before all options is the model. What comes after an option is taken for its value, as vLLM's own lists do.
    """
    found: dict[str, list[str]] = {}
    name = POSITIONAL
    for word in words:
        if word in SHORT_FLAGS:
            name = SHORT_FLAGS[word]
            found.setdefault(name, [])
        elif _OPTION.match(word):
            flag, equals, value = word.lstrip("-").partition("=")
            name = flag.replace("-", "_")
            found.setdefault(name, []).extend([value] if equals else [])
        else:
            found.setdefault(name, []).append(word)
    return dict(_spelled_out(name, values) for name, values in found.items())


def _spelled_out(name: str, values: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    base = name.removeprefix("no_")
    if base != name and base in ARGUMENTS and not values:
        return base, ("false",)
    return name, tuple(values) or ("true",)


def path_of(option: str) -> str:
    """The option by the path that a stack's reader knows."""
    if option in OUR_NAMES:
        return OUR_NAMES[option]
    return f"args.{option}" if option in ARGUMENTS else f"extra_args.--{option.replace('_', '-')}"


def may_be_shown(option: str) -> bool:
    """Whether the option's value is known to be no secret, also where a hand wrote it."""
    if option in ARGUMENTS:
        return ARGUMENTS[option].kind != "json"  # which may hold anything
    return option in OUR_NAMES or option in {"host", "port", "revision"}
