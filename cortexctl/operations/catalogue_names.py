"""Names of releases and options that a user typed, as the catalogue of vLLM's releases has them."""

from __future__ import annotations

from cortexctl.engines.vllm.catalogue import catalogue
from cortexctl.errors import UsageError


def known_release(version: str) -> str:
    """Without its v. Raises UsageError for a release that the catalogue does not have."""
    plain, releases = version.removeprefix("v"), catalogue.releases()
    if plain not in releases:
        raise UsageError(
            f"vLLM {plain} is not in the catalogue, which has {releases[0]} to {releases[-1]}",
            next_step="cortexctl catalog releases",
        )
    return plain


def known_option(typed: str) -> str:
    """An option's name from `--flag` or name. Raises UsageError with the nearest one."""
    flag = catalogue.spelled(typed) if typed.startswith("-") else None
    name = flag.name if flag else typed.lstrip("-").replace("-", "_")
    if not catalogue.option_spans(name):
        from cortexctl.text.suggest import nearest

        close = nearest(name, catalogue.option_names())
        raise UsageError(
            f"no release of vLLM has {typed}", next_step=f"cortexctl catalog show {close}" if close else ""
        )
    return name
