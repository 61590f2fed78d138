"""Whether a release serves a model of an architecture, as its config.json names it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cortexctl.engines.vllm.catalogue import catalogue
from cortexctl.engines.vllm.command.check import Finding
from cortexctl.engines.vllm.version import parse_release

DRAFTS = "speculative"
"""The registry's group of draft models, which cannot be served alone."""


FALLBACK_SINCE = parse_release("0.7.2")
"""From here on vLLM runs what it does not know through Transformers, if that can (vLLM's model registry)."""


def check_architectures(names: Sequence[str], version: str, *, has_own_code: bool = False) -> Iterator[Finding]:
    """What stands against serving it. One known name is enough: a config lists what it can be read as. `has_own_code`:
    the checkpoint brings its model as Python code.
    """
    of = catalogue.release(catalogue.nearest(version))
    groups = [of.architecture(name) for name in names]
    if any(group and group != DRAFTS for group in groups):
        return
    for name, group in zip(names, groups, strict=True):
        yield Finding(name, "CX311", *_against(name, group, of.version, version, has_own_code=has_own_code))


def _against(name: str, group: str | None, known_as: str, version: str, *, has_own_code: bool) -> tuple[str, str, bool]:
    """(summary, help, whether it is certain)."""
    if group == DRAFTS:
        return (
            f"{name} is a draft model, which serves nobody alone",
            "name it in speculative_config of its target",
            True,
        )
    found = catalogue.architecture(name)
    here = parse_release(known_as)
    if found is None:
        said = f"no release of vLLM has {name} of its own"
        if here < FALLBACK_SINCE:
            return said, "pin v0.7.2 or newer, which may run it through Transformers; or another engine", True
        code = "; its own code needs args.trust_remote_code = true, once you have read it" if has_own_code else ""
        return said, f"vLLM may run it through Transformers, slower{code}; else another engine, or a plugin", False
    later = [s.since for s in found.spans if parse_release(s.since) > here]
    if later:
        return (
            f"{name} needs vLLM {later[0]} or later, and this is {version}",
            f"pin v{later[0]} or a newer image",
            True,
        )
    if found.plugin:
        return f"{name} went to a plugin: {found.plugin}", "use an image with it, or an older vLLM", True
    last = found.spans[-1].until if found.spans else found.gone_after
    return f"{name} is gone from vLLM {version} (last in {last})", f"pin v{last} or an older image", True
