"""The differences between the command lines of two releases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from typing import Any

from cortexctl.dataclass import dataclass
from cortexctl.engines.vllm.catalogue.catalogue import release
from cortexctl.engines.vllm.catalogue.facts import Option
from cortexctl.engines.vllm.catalogue.reviewed import instead_of, no_effect

COMPARED = ("kind", "flags", "nargs", "choices", "default", "soft_choices", "config", "deprecated")


@dataclass(frozen=True, slots=True)
class Changed:
    """An option in both releases. `facts`: name -> (before, after)."""

    name: str
    facts: dict[str, tuple[Any, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Between:
    """`gone` lists removed options, each with its replacement if one is known."""

    old: str
    new: str
    added: tuple[str, ...]
    gone: tuple[tuple[str, str], ...]
    idle: tuple[tuple[str, str], ...]
    changed: tuple[Changed, ...]


def between(old: str, new: str) -> Between:
    """Raises UnknownRelease."""
    was, now = release(old).options, release(new).options
    return Between(
        old,
        new,
        added=tuple(sorted(now.keys() - was.keys())),
        gone=tuple((n, advice.text if (advice := instead_of(n, new)) else "") for n in sorted(was.keys() - now.keys())),
        idle=tuple((n, idle.text) for n in sorted(now) if (idle := no_effect(n, new)) and not no_effect(n, old)),
        changed=tuple(_changed(was, now)),
    )


def _changed(was: Any, now: Any) -> Iterator[Changed]:
    for name in sorted(was.keys() & now.keys()):
        facts = dict(_facts(was[name], now[name]))
        if facts:
            yield Changed(name, facts)


def _facts(was: Option, now: Option) -> Iterator[tuple[str, tuple[Any, Any]]]:
    for fact in COMPARED:
        before, after = getattr(was, fact), getattr(now, fact)
        if before != after:
            yield fact, (before, after)
