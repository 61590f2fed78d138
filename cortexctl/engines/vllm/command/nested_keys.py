"""Compares the keys inside a JSON option with the config class that reads them in a release."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cortexctl.engines.vllm.catalogue.catalogue import Release
from cortexctl.engines.vllm.catalogue.facts import LETTERS, Key
from cortexctl.engines.vllm.catalogue.reviewed import key_rules

_NOUNS = {"b": "true or false", "i": "a whole number", "f": "a number", "s": "text", "l": "a list", "o": "a table"}


def wrong_keys(value: Mapping[str, Any], config: str, release: Release, path: str = "") -> Iterator[tuple[str, str]]:
    """(path of the key, the problem). Unknown keys are problems even in releases that accept them."""
    known = release.keys(config)
    for name, inner in value.items():
        where = f"{path}.{name}" if path else name
        key = known.get(name)
        if key is None:
            yield where, f"{config} has no key {name}"
        elif isinstance(inner, dict) and key.config and release.keys(key.config):
            yield from wrong_keys(inner, key.config, release, where)
        elif not key.allows(inner):
            yield where, f"{where} is {_wanted(key)}"
        broken = (r for r in key_rules() if r.is_broken_by(value, config, name, release.version))
        yield from ((where, rule.text) for rule in broken)


def _wanted(key: Key) -> str:
    if key.choices:
        return f"one of {', '.join(key.choices)}"
    letters = key.takes if key.takes is not None else "".join(LETTERS[t] for t in key.types)
    nouns = [noun for letter, noun in _NOUNS.items() if letter in letters.replace("L", "l").replace("I", "l")]
    if "int" in key.types and "float" not in key.types:
        nouns = [n for n in nouns if n not in {"true or false", "a number"}]
    return " or ".join(nouns) or "null"
