"""Image references: HOST/PATH:TAG@DIGEST."""

from __future__ import annotations

import re
from functools import lru_cache

from cortexctl.dataclass import dataclass

_PART = r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*"


@dataclass(frozen=True, slots=True)
class ImageReference:
    """A reference split into its parts; `tag` and `digest` are None if the text has none."""

    name: str
    tag: str | None
    digest: str | None

    def pinned(self, digest: str) -> str:
        """The same image by its digest. The tag stays, for human readers."""
        return f"{self.name}:{self.tag}@{digest}" if self.tag else f"{self.name}@{digest}"

    def local_name(self) -> str:
        """As daemons list it: with a tag or a digest, and without the name of Docker Hub."""
        name = self.name.removeprefix("docker.io/").removeprefix("library/")
        return f"{name}@{self.digest}" if self.digest else f"{name}:{self.tag or 'latest'}"


@lru_cache(maxsize=256)
def parse_image(text: str) -> ImageReference:
    """Split a reference that a person wrote. Raises ValueError."""
    reference = split_image(text)
    rest, at, _ = text.partition("@")
    has_tag = rest != reference.name
    right = (
        re.fullmatch(rf"([\w.-]+(:[0-9]+)?/)?({_PART}/)*{_PART}", reference.name, re.ASCII),
        not has_tag or re.fullmatch(r"\w[\w.-]{0,127}", reference.tag or "", re.ASCII),
        not at or re.fullmatch(r"\w+:[0-9a-fA-F]{32,}", reference.digest or "", re.ASCII),
    )
    if not all(right):
        raise ValueError(f'"{text}" is not an image reference; write for example "vllm/vllm-openai:v0.32.0"')
    return reference


def split_image(text: str) -> ImageReference:
    """Split a reference, whatever it contains. A colon before the last slash belongs to a registry's port."""
    rest, _, digest = text.partition("@")
    head, slash, last = rest.rpartition("/")
    base, _, tag = last.partition(":")
    return ImageReference(head + slash + base, tag or None, digest or None)


def local_name(text: str) -> str:
    return split_image(text).local_name()
