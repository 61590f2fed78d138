"""A model's table while it is created from a container, and its future place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from cortexctl.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """The future place in the stack. `models_dir`, `hf_cache`: the host's folders, if set; `taken`: the names of other
    models. `release`: as the image or the server reports it (`release_from`); `gpus`: as the user sets them.
    `other_secrets`: of each other container on the host, variable -> value; `shared`: variables of cortexctl's
    environment that other models read, if their values cannot be compared -> the models.
    """

    host: str
    is_only_host: bool = True
    models_dir: str = ""
    hf_cache: str = ""
    taken: frozenset[str] = frozenset()
    name: str = ""
    release: str = ""
    release_from: str = "server"
    gpus: tuple[int, ...] | None = None
    other_secrets: tuple[Mapping[str, str], ...] = field(default=(), repr=False)
    shared: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass
class Draft:
    """`table` is the model's; `notes`, by key, what its reader must know; `comments` come before the table. `needed`:
    variables of the environment that must have the container's values. `overruled`: path of a secret -> why its value
    in the container's environment does not count. With `reasons` the table must not be used.
    """

    name: str
    table: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    comments: list[str] = field(default_factory=list)
    needed: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    overruled: dict[str, str] = field(default_factory=dict)
