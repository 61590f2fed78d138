"""What is known of a model's table while it is made from a container, and where it would stand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Place:
    """Where it would stand in the stack. `models_dir`, `hf_cache`: the host's folders, where it has them; `taken`: the
    names of other models. `release`: what the server says of itself; `gpus`: what the user says.
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
    """`table` is the model's, `notes` by key what its reader must know, `comments` what stands before all. `needed` are
    variables of the environment that must have the container's values. With `reasons` it is no table to use.
    """

    name: str
    table: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    comments: list[str] = field(default_factory=list)
    needed: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
