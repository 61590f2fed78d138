"""Image references: HOST/PATH:TAG@DIGEST."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImageReference:
    """A reference split into its parts; `tag` and `digest` are None where the text has none."""

    name: str
    tag: str | None
    digest: str | None


def parse_image(text: str) -> ImageReference:
    """Split a reference. A colon before the last slash belongs to a registry's port. Raises ValueError."""
    rest, _, digest = text.partition("@")
    head, slash, last = rest.rpartition("/")
    last, _, tag = last.partition(":")
    if not last or text != text.strip() or " " in text:
        raise ValueError(f'"{text}" is not an image reference; write for example "vllm/vllm-openai:v0.32.0"')
    return ImageReference(head + slash + last, tag or None, digest or None)
