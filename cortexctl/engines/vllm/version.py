"""The vLLM release of an image, if its reference names one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from cortexctl.engines.vllm.contract import CONTRACT
from cortexctl.instance.image import parse_image

Release = tuple[int, int, int, int]
"""major, minor, patch, and the fourth number: 0.6.1.post2 and 0.10.1.1 have one."""

NEWEST_KNOWN = "0.33.0"
"""For output that must be written without a known release. A test compares it with the catalogue."""
_VERSION = re.compile(r"v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})(?:\.(?:post)?(\d{1,6}))?", re.ASCII)
_NAME_WITH_RELEASE = re.compile(r"vllm[\w./-]*:v?(\d+\.\d+\.\d+(?:\.(?:post)?\d+)?)(?=$|[-_+])", re.ASCII)
_TAG = re.compile(r"v?\d{1,6}\.\d{1,6}\.\d{1,6}(?:\.(?:post)?\d{1,6})?(?=$|[-_+])", re.ASCII)


def parse_release(text: str) -> Release:
    """'0.6.1.post2', 'v0.32.0' -> a tuple that sorts by age. Raises ValueError."""
    match = _VERSION.fullmatch(text)
    if not match:
        raise ValueError(f'"{text}" is not a vLLM release; write for example "0.32.0"')
    major, minor, patch, post = match.groups()
    return int(major), int(minor), int(patch), int(post or 0)


def release_from_image(reference: str) -> str | None:
    """The release in the image's tag (v0.32.0, 0.9.2-cu129, …); None for latest, nightlies and digests."""
    tag = parse_image(reference).tag or ""
    match = _TAG.match(tag)
    return match.group(0).removeprefix("v") if match else None


def release_in_image(labels: Mapping[str, str], env: Sequence[str]) -> str:
    """The release that an image names in its labels or its environment; else empty. Official images since 0.21.0 do so
    with the whole name: vllm/vllm-openai:v0.21.0 (by vLLM's release scripts). A base image's own version is none: only
    a name with vllm in it counts.
    """
    texts = [labels.get(name) or "" for name in CONTRACT.release_labels]
    variables = dict(word.partition("=")[::2] for word in reversed(env))
    texts += [variables[name] for name in CONTRACT.release_variables if name in variables]
    return next((match.group(1) for text in texts if (match := _NAME_WITH_RELEASE.search(text))), "")
