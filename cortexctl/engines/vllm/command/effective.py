"""A spec's effective arguments, independent of their spelling: the form in which two specs are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from cortexctl.dataclass import dataclass
from cortexctl.engines.vllm.catalogue import catalogue
from cortexctl.engines.vllm.catalogue.catalogue import Release
from cortexctl.engines.vllm.command.values import canonical
from cortexctl.engines.vllm.version import NEWEST_KNOWN
from cortexctl.instance.spec import Server


@dataclass(frozen=True, slots=True)
class Effective:
    """`args`: by name, in their canonical form, including those from raw arguments. `argv`: raw ones that belong to no
    option.
    """

    args: Mapping[str, Any] = field(default_factory=dict)
    argv: tuple[str, ...] = ()


def effective(server: Server) -> Effective:
    """Raw arguments that the release knows count as named ones; later ones win, as on the command line."""
    of = release_of(server.version)
    args = canonical_args(server.args, of)
    if not server.extra_args:
        return Effective(args)
    from cortexctl.engines.vllm.command.parse import parse

    parsed = parse(["m", *server.extra_args], of)
    if parsed.errors:
        return Effective(args, server.extra_args)
    return Effective({**args, **canonical_args(parsed.options, of)}, parsed.unknown)


def release_of(version: str | None) -> Release:
    """The release, or the nearest older known one; the newest if none is named."""
    try:
        return catalogue.release(catalogue.nearest(version or NEWEST_KNOWN))
    except ValueError:  # a label may contain anything
        return catalogue.release(NEWEST_KNOWN)


def canonical_args(args: Mapping[str, Any], of: Release) -> dict[str, Any]:
    """Every value in its canonical form; an unreadable one does not change."""
    values = {}
    for name, value in sorted(args.items()):
        option = of.option(name) or catalogue.newest_option(name)
        try:
            values[name] = canonical(option, value, of)
        except (ValueError, TypeError):
            values[name] = value
    return values
