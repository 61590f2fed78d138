"""Whether a release serves a model's architecture, as its config.json names it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cortexctl.engines.base import ArgumentIssue
from cortexctl.engines.vllm.catalogue import catalogue
from cortexctl.engines.vllm.version import parse_release

DRAFTS = "speculative"
"""The registry's group of draft models; they cannot be served alone."""


FALLBACK_SINCE = parse_release("0.7.2")
"""From this release on vLLM runs unknown architectures through Transformers, if that supports them (vLLM's model
registry).
"""


def check_architectures(names: Sequence[str], version: str, *, has_own_code: bool = False) -> Iterator[ArgumentIssue]:
    """The obstacles to serving it. One known name is enough: a config lists alternatives. `has_own_code`: the
    checkpoint contains the model as Python code.
    """
    of = catalogue.release(catalogue.nearest(version))
    groups = [of.architecture(name) for name in names]
    if any(group and group != DRAFTS for group in groups):
        return
    for name, group in zip(names, groups, strict=True):
        yield ArgumentIssue(name, "CX311", *_against(name, group, of.version, version, has_own_code=has_own_code))


def _against(name: str, group: str | None, known_as: str, version: str, *, has_own_code: bool) -> tuple[str, str, bool]:
    """(summary, help, whether it is certain)."""
    if group == DRAFTS:
        return (
            f"{name} is a draft model, which cannot be served alone",
            "name it in the speculative_config of its target model",
            True,
        )
    entry = catalogue.architecture(name)
    release = parse_release(known_as)
    if entry is None:
        summary = f"no vLLM release supports {name} natively"
        if release < FALLBACK_SINCE:
            return summary, "pin v0.7.2 or newer, which may run it through Transformers; or use another engine", True
        code = "; its own code needs args.trust_remote_code = true, after you have reviewed it" if has_own_code else ""
        return (
            summary,
            f"vLLM may run it through Transformers, slower{code}; otherwise use another engine, or a plugin",
            False,
        )
    later = [s.since for s in entry.spans if parse_release(s.since) > release]
    if later:
        return (
            f"{name} needs vLLM {later[0]} or later, but this is {version}",
            f"pin v{later[0]} or a newer image",
            True,
        )
    if entry.plugin:
        return f"{name} moved to a plugin: {entry.plugin}", "use an image with the plugin, or an older vLLM", True
    last = entry.spans[-1].until if entry.spans else entry.gone_after
    return f"vLLM {version} no longer supports {name} (last in {last})", f"pin v{last} or an older image", True
