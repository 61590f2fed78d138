"""A model's table while it is created from a container, and its future place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Place:
    """The future place in the stack. `models_dir`, `hf_cache`: the host's folders, if set; `taken`: the names of other
    models. `release`: as the server reports it; `gpus`: as the user sets them.
    """

    host: str
    is_only_host: bool = True
    models_dir: str = ""
    hf_cache: str = ""
    taken: frozenset[str] = frozenset()
    name: str = ""
    release: str = ""
    gpus: tuple[int, ...] | None = None


@dataclass
class Draft:
    """`table` is the model's; `notes`, by key, what its reader must know; `comments` come before the table. `needed`:
    variables of the environment that must have the container's values. With `reasons` the table must not be used.
    """

    name: str
    table: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    comments: list[str] = field(default_factory=list)
    needed: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
