"""Image references: HOST/PATH:TAG@DIGEST."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PART = r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*"


@dataclass(frozen=True, slots=True)
class ImageReference:
    """A reference split into its parts; `tag` and `digest` are None where the text has none."""

    name: str
    tag: str | None
    digest: str | None


def parse_image(text: str) -> ImageReference:
    """Split a reference. A colon before the last slash belongs to a registry's port. Raises ValueError."""
    rest, at, digest = text.partition("@")
    head, slash, last = rest.rpartition("/")
    last, colon, tag = last.partition(":")
    right = (
        re.fullmatch(rf"([\w.-]+(:[0-9]+)?/)?({_PART}/)*{_PART}", head + slash + last, re.ASCII),
        not colon or re.fullmatch(r"\w[\w.-]{0,127}", tag, re.ASCII),
        not at or re.fullmatch(r"\w+:[0-9a-fA-F]{32,}", digest, re.ASCII),
    )
    if not all(right):
        raise ValueError(f'"{text}" is not an image reference; write for example "vllm/vllm-openai:v0.32.0"')
    return ImageReference(head + slash + last, tag or None, digest or None)
