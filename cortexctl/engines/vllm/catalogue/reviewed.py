"""Facts about vLLM's command line that only people know: `reviewed.toml`, as typed values.

`reviewed.json` has the same rows (`make catalogue`), and is read in a fortieth of the time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import field
from functools import cache
from pkgutil import get_data
from typing import Any, TypeVar

from cortexctl.dataclass import dataclass
from cortexctl.engines.vllm.catalogue.catalogue import releases
from cortexctl.engines.vllm.version import parse_release

VALUE = "$value"
"""In `set` and `argv`: the user's own value."""


@dataclass(frozen=True, slots=True)
class Ranged:
    """A fact that holds in a range of releases, both ends included. '' is open."""

    since: str = ""
    until: str = ""
    text: str = ""

    def holds_in(self, release: str) -> bool:
        at = parse_release(release)
        return (not self.since or parse_release(self.since) <= at) and (
            not self.until or at <= parse_release(self.until)
        )

    def releases(self) -> tuple[str, ...]:
        """The known releases in the range."""
        return tuple(r for r in releases() if self.holds_in(r))


@dataclass(frozen=True, slots=True)
class Instead(Ranged):
    """The replacement for an option, or for one of its values, in releases that refuse or discourage it."""

    option: str = ""
    value: str = ""
    set: dict[str, Any] = field(default_factory=dict)
    """Target (option, option.key, env.VARIABLE) -> value; VALUE stands for the user's own. Empty: advice only."""
    drop: bool = False
    """Removing it is all that the user has to do."""


@dataclass(frozen=True, slots=True)
class NoEffect(Ranged):
    option: str = ""


@dataclass(frozen=True, slots=True)
class RefusedAtStart(Ranged):
    """An argument that the parser accepts and the start-up code refuses. `text` is the log's message."""

    option: str = ""
    needs: str = ""
    excludes: str = ""
    unknown: bool = False
    """A value that is not in the release's list of names."""
    minimum: float | None = None
    maximum: float | None = None
    with_env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KeyRule(Ranged):
    """A rule of the parser about a config key beyond its type. It applies if the key is set (and, with `when`, set to
    one of these). `needs` and `excludes`: another key, as KEY, KEY=VALUE or KEY=VALUE|VALUE. `above`: a number is
    greater.
    """

    config: str = ""
    key: str = ""
    when: tuple[str, ...] = ()
    needs: str = ""
    excludes: str = ""
    values: tuple[str, ...] = ()
    above: float | None = None

    def is_broken_by(self, table: Mapping[str, Any], config: str, key: str, version: str) -> bool:
        """Whether the rule is about this key of the config, and the table that contains the key breaks it."""
        if (self.config, self.key) != (config, key) or not self.holds_in(version):
            return False
        value = table[key]
        if value is None or value is False or (self.when and value not in self.when):
            return False
        if self.values and value not in self.values:
            return True
        if self.above is not None and isinstance(value, int | float) and value <= self.above:
            return True
        lacks = self.needs and value != {} and not _has(table, self.needs)
        return bool(lacks or (self.excludes and _has(table, self.excludes)))


def _has(table: Mapping[str, Any], required: str) -> bool:
    key, _, texts = required.partition("=")
    return str(table[key]) in texts.split("|") if texts and key in table else not texts and table.get(key) is not None


@dataclass(frozen=True, slots=True)
class DecidedAtStart(Ranged):
    option: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True)
class Variable(Ranged):
    """An environment variable that was removed, or never had the effect that people expect."""

    name: str = ""
    instead: str = ""
    option: str = ""


@dataclass(frozen=True, slots=True)
class Metric(Ranged):
    name: str = ""
    instead: str = ""


@dataclass(frozen=True, slots=True)
class Rendering(Ranged):
    """How a field is written on the command line."""

    field: str = ""
    argv: tuple[str, ...] = ()


@cache
def _tables() -> dict[str, list[dict[str, Any]]]:
    tables: dict[str, list[dict[str, Any]]] = json.loads(
        get_data("cortexctl.engines.vllm.catalogue", "reviewed.json") or "{}"
    )
    return tables


_T = TypeVar("_T", bound=Ranged)


@cache
def _all(name: str, kind: Callable[..., _T]) -> tuple[_T, ...]:
    return tuple(kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in row.items()}) for row in _tables()[name])


def insteads() -> tuple[Instead, ...]:
    return _all("instead", Instead)


def no_effects() -> tuple[NoEffect, ...]:
    return _all("no_effect", NoEffect)


def refused_at_start() -> tuple[RefusedAtStart, ...]:
    return _all("refused_at_start", RefusedAtStart)


def key_rules() -> tuple[KeyRule, ...]:
    return _all("key_rule", KeyRule)


def decided_at_start() -> tuple[DecidedAtStart, ...]:
    return _all("decided_at_start", DecidedAtStart)


def variables() -> tuple[Variable, ...]:
    return _all("variable", Variable)


def metrics() -> tuple[Metric, ...]:
    return _all("metric", Metric)


def renderings() -> tuple[Rendering, ...]:
    return _all("rendering", Rendering)


def instead_of(option: str, release: str, value: str = "") -> Instead | None:
    """The replacement in this release: advice for the value before advice for the option."""
    fitting = [i for i in insteads() if i.option == option and i.holds_in(release)]
    exact = [i for i in fitting if i.value == value and value]
    return next(iter(exact or [i for i in fitting if not i.value]), None)


def no_effect(option: str, release: str) -> NoEffect | None:
    return next((n for n in no_effects() if n.option == option and n.holds_in(release)), None)


@cache
def refusals(option: str, release: str) -> tuple[RefusedAtStart, ...]:
    """What the start-up code of this release refuses about an option."""
    return tuple(r for r in refused_at_start() if r.option == option and r.holds_in(release))
