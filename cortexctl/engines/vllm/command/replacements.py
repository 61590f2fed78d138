"""What to write instead of an argument, and in which releases it exists, as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cortexctl.engines.vllm.catalogue import catalogue
from cortexctl.engines.vllm.catalogue.catalogue import Release
from cortexctl.engines.vllm.catalogue.facts import Span
from cortexctl.engines.vllm.catalogue.reviewed import Instead, instead_of
from cortexctl.engines.vllm.version import parse_release
from cortexctl.text.toml_text import toml_value


def known_release(version: str) -> tuple[Release, bool]:
    """The release, or the nearest older one; and whether the version is newer than all known releases."""
    known = catalogue.releases()
    name = version if version in known else catalogue.nearest(version)
    return catalogue.release(name), parse_release(version) > parse_release(known[-1])


def absence(spans: Sequence[Span], of: Release, version: str) -> str:
    """Why a release does not have an option that others have."""
    here = parse_release(of.version)
    if parse_release(spans[0].since) > here:
        return f"not yet in vLLM {version} (since {spans[0].since})"
    last = [s for s in spans if s.until and parse_release(s.until) < here]
    return f"gone in vLLM {version} (last in {last[-1].until})"


def ranges(spans: Sequence[Span]) -> str:
    """The releases, as text."""
    return ", ".join(str(s) for s in spans)


def replacement(name: str, version: str, value: Any = "") -> str:
    """What to write instead of an option in a release; empty if nothing is known."""
    instead = instead_of(name, version, value if isinstance(value, str) else "")
    return replacement_text(instead, value) if instead else ""


def replacement_text(instead: Instead, value: Any) -> str:
    """What to write, with the user's own value, and why."""
    if not instead.set:
        return instead.text
    shown = [f"{target} = {toml_value(value if new == '$value' else new)}" for target, new in instead.set.items()]
    where = [s if s.startswith("env.") else f"args.{s}" for s in shown]
    return f"write {' and '.join(where)}: {instead.text}"
