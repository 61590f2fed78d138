"""The vLLM release of an image, if its reference names one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from cortexctl.engines.vllm.contract import CONTRACT
from cortexctl.instance.image import parse_image

Release = tuple[int, int, int, int]
"""major, minor, patch, and the fourth number: 0.6.1.post2 and 0.10.1.1 have one."""

NEWEST_KNOWN = "0.33.0"
"""For output that must be written without a known release. A test compares it with the catalogue."""
_VERSION = re.compile(r"v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})(?:\.(?:post)?(\d{1,6}))?", re.ASCII)
_NAME_WITH_RELEASE = re.compile(r"vllm[\w./-]*:v?(\d+\.\d+\.\d+(?:\.(?:post)?\d+)?)(?=$|[-_+])", re.ASCII)
_OLDEST_KNOWN: Release = (0, 6, 0, 0)
_OWN = re.compile(r"vllm/vllm-openai(?:-[a-z0-9]+)*|q9t5s3a7/vllm(?:-[a-z0-9]+)+", re.ASCII)
"""The end of the paths of vLLM's own repositories, on Docker Hub and on Amazon's public registry."""
_TAG = re.compile(r"v?\d{1,6}\.\d{1,6}\.\d{1,6}(?:\.(?:post)?\d{1,6})?(?=$|[-_+])", re.ASCII)


@lru_cache(maxsize=512)
def parse_release(text: str) -> Release:
    """'0.6.1.post2', 'v0.32.0' -> a tuple that sorts by age. Raises ValueError."""
    match = _VERSION.fullmatch(text)
    if not match:
        raise ValueError(f'"{text}" is not a vLLM release; write for example "0.32.0"')
    major, minor, patch, post = match.groups()
    return int(major), int(minor), int(patch), int(post or 0)


def release_from_image(reference: str) -> str | None:
    """The release in the image's tag (v0.32.0, 0.9.2-cu129, …); None for latest, nightlies and digests, and for images
    of others: their tags count their own releases (lmcache/vllm-openai:v0.3.12).
    """
    image = parse_image(reference)
    match = _TAG.match(image.tag or "")
    release = match.group(0).removeprefix("v") if match else ""
    return release if release and _counts_vllm(image.name, parse_release(release)) else None


def _counts_vllm(name: str, release: Release) -> bool:
    """Whether the tags of a repository are vLLM's releases.

    vLLM publishes vllm/vllm-openai, vllm/vllm-openai-rocm, … and public.ecr.aws/q9t5s3a7/vllm-…; a mirror retains the
    end of the path. A name without a namespace is not of another project: a person gave it on the host, as `import`
    advises. If it is not vllm-openai, its tag may be that person's own number, so it must be a release that exists.
    """
    *above, last = name.split("/")
    own_host = bool(above) and (":" in above[0] or "." in above[0] or above[0] == "localhost")
    namespace = above[1 if own_host else 0 :]
    if namespace:
        return bool(_OWN.fullmatch(f"{namespace[-1]}/{last}"))
    if _OWN.fullmatch(f"vllm/{last}"):
        return True
    return not own_host and _OLDEST_KNOWN <= release <= parse_release(NEWEST_KNOWN)


def release_in_image(labels: Mapping[str, str], env: Sequence[str]) -> str:
    """The release that an image names in its labels or its environment; else empty. Official images since 0.21.0 do so
    with the whole name: vllm/vllm-openai:v0.21.0 (by vLLM's release scripts). A base image's own version is none: only
    a name with vllm in it counts.
    """
    texts = [labels.get(name) or "" for name in CONTRACT.release_labels]
    variables = dict(word.partition("=")[::2] for word in reversed(env))
    texts += [variables[name] for name in CONTRACT.release_variables if name in variables]
    return next((match.group(1) for text in texts if (match := _NAME_WITH_RELEASE.search(text))), "")
