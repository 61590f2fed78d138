"""The longest request that a config.json allows, by release.

vLLM: `_get_and_verify_max_len` and what prepares the config for it, read in 46 releases from 0.6.0 to 0.33.0, and run
in eight of them on the configs of the tests. What depends on the tokenizer's files is not part of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cortexctl.dataclass import dataclass
from cortexctl.engines.vllm.memory.config import Config
from cortexctl.engines.vllm.memory.release_changes import Behaviour, behaviour
from cortexctl.engines.vllm.version import NEWEST_KNOWN

_KEYS = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "seq_length",
    "model_max_length",
    "max_target_positions",
    "max_sequence_length",
    "max_seq_length",
    "seq_len",
)
_ALIASES = {"n_positions": "max_position_embeddings"}
"""GPT-2's key has vLLM's first name in transformers, too."""
DEFAULT = 2048
"""The length without any of the keys."""
_INCLUDED = frozenset({"su", "longrope", "llama3"})
"""Kinds of scaling whose factor the config's length includes."""
_INCLUDED_SINCE_0_30 = _INCLUDED | {"yarn", "deepseek_yarn", "deepseek_llama_scaling", "telechat3-yarn"}

_OLD_RULES = ("0.6.0", "0.7.3", "0.8.0", "0.11.2", "0.29.0", NEWEST_KNOWN)
"""One release for each form of the rule."""


@dataclass(frozen=True, slots=True)
class Rope:
    """How one kind of layer scales its positions. `original`: the length before, 0 if the config does not set it."""

    kind: str
    factor: float | None
    original: int


@dataclass(frozen=True, slots=True)
class Lengths:
    """What a config.json says about lengths. `limits`: (number, key) of the known keys, in vLLM's order."""

    limits: tuple[tuple[int, str], ...]
    scaling: tuple[Rope, ...] = ()
    """From the key `rope_scaling`, which every release reads."""
    parameters: tuple[Rope, ...] = ()
    """From the key `rope_parameters` of newer configs, which releases before 0.12 ignore."""
    original: int = 0
    """`original_max_position_embeddings` beside the scaling, not in it."""
    model_max_length: int = 0
    window: int = 0
    rotary: bool = False
    """Its positions are rotary."""
    already_scaled: bool = False
    """The length of Gemma 3 includes its scaling."""


@dataclass(frozen=True, slots=True)
class LongestRequest:
    """`default`: without max_model_len. `most`: the largest max_model_len that is accepted; 0 if nothing limits it.
    `derived` and `key`: what a refusal names; a length that was multiplied is printed with a point.
    """

    default: int
    most: int
    derived: float
    key: str


NO_LIMIT = LongestRequest(DEFAULT, 0, DEFAULT, "")


def read_lengths(config: Config, *, rotary: bool) -> Lengths:
    """The facts of a config, for all releases. `rotary`: its positions are."""
    return Lengths(
        tuple((config.number(key), _ALIASES.get(key, key)) for key in _KEYS if config.number(key)),
        tuple(_ropes(config.table("rope_scaling"))),
        tuple(_ropes(config.table("rope_parameters"))),
        config.number("original_max_position_embeddings"),
        config.number("model_max_length"),
        0 if config.get("use_sliding_window") is False else config.number("sliding_window"),
        rotary,
        "gemma3" in config.model_type,
    )


def _ropes(table: Mapping[str, Any]) -> Iterator[Rope]:
    """One for each kind of layer, or one for all."""
    nested = [part for part in table.values() if isinstance(part, Mapping)]
    for part in nested if len(nested) == len(table) else [table]:
        kind = part.get("rope_type", part.get("type"))
        factor, original = part.get("factor"), part.get("original_max_position_embeddings")
        if kind:
            yield Rope(
                str(kind),
                factor if isinstance(factor, int | float) else None,
                int(original) if isinstance(original, int | float) else 0,
            )


def longest_request(lengths: Lengths, acts: Behaviour, *, windows_off: bool = False) -> LongestRequest:
    """vLLM's rule. `windows_off`: disable_sliding_window is set."""
    length, key = _limit(lengths, acts, windows_off=windows_off)
    if not key:
        return NO_LIMIT
    ropes = _read_by(lengths, acts)
    derived: float = length
    if (ropes or (lengths.rotary and acts.since(0, 12))) and not (lengths.already_scaled and acts.since(0, 8)):
        derived = _scaled(length, ropes, lengths, acts)
    default = int(derived)
    if acts.since(0, 11, 1) and lengths.original and any(rope.kind in {"longrope", "su"} for rope in ropes):
        default = lengths.original
    return LongestRequest(default, max(int(derived), lengths.model_max_length), derived, key)


def _limit(lengths: Lengths, acts: Behaviour, *, windows_off: bool) -> tuple[int, str]:
    """The smallest of the keys, before any scaling."""
    known = [limit for limit in lengths.limits if limit[1] != "max_target_positions" or acts.since(0, 7)]
    length, key = min(known, key=lambda limit: limit[0], default=(0, ""))
    if lengths.model_max_length and acts.since(0, 8, 3):
        length, key = lengths.model_max_length, "model_max_length"
    if windows_off and lengths.window and (not key or lengths.window < length):
        return lengths.window, "sliding_window"
    return length, key


def _read_by(lengths: Lengths, acts: Behaviour) -> tuple[Rope, ...]:
    if not acts.since(0, 12):
        return lengths.scaling
    return lengths.scaling or lengths.parameters


def _scaled(length: int, ropes: tuple[Rope, ...], lengths: Lengths, acts: Behaviour) -> float:
    """The factor of the last kind that has one counts for all layers. Up to 0.29, YaRN starts from its original
    length, whatever the keys say.
    """
    if not acts.since(0, 12) and all(rope.kind in _INCLUDED for rope in ropes):
        return length
    from_original = not acts.since(0, 30)
    included = _INCLUDED if from_original else _INCLUDED_SINCE_0_30
    factor: float = 1.0
    for rope in ropes:
        if rope.kind in included:
            continue
        factor = factor if rope.factor is None else rope.factor
        if rope.kind == "yarn" and from_original:
            length = (lengths.original if acts.since(0, 12) else 0) or rope.original or length
    return length * factor


def most_of_all_releases(lengths: Lengths) -> int:
    """The largest max_model_len that any known release accepts; 0 if nothing limits it."""
    limits = [longest_request(lengths, behaviour(version)).most for version in _OLD_RULES]
    return max(limits) if all(limits) else 0


def scaled_length(lengths: Lengths) -> int:
    """The length with YaRN, as releases up to 0.29 derived it. Later ones need it in max_position_embeddings."""
    return longest_request(lengths, behaviour("0.29.0")).most
