"""A container that no stack made, as far as a stack could say it. Its environment and its words may hold secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cortexctl.spec.container import InPlace, Mount


@dataclass(frozen=True, slots=True)
class BoundTo:
    """A port of the container on the host. `port` None: the engine picks one."""

    address: str
    port: int | None
    inside: int


@dataclass(frozen=True, slots=True)
class Running:
    """`image` is as it was asked for, `tags` what the image is called on the host now. `words`: the program and its
    arguments. `env` is beyond the image's own. `gpus`: device ids, "all" or "any N"; `visible`: what the environment
    says about them. `mounts` are folders and volumes; `other_mounts` the targets of others. `project` is of Compose.
    `not_kept`: settings that no stack has, by name.
    """

    name: str
    image: str = ""
    tags: tuple[str, ...] = ()
    words: tuple[str, ...] = field(default=(), repr=False)
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    mounts: tuple[Mount, ...] = ()
    other_mounts: tuple[str, ...] = ()
    gpus: tuple[str, ...] = ()
    visible: str = ""
    bound: tuple[BoundTo, ...] = ()
    ipc: str = "private"
    shm_size: int = 0
    in_place: InPlace = InPlace()  # noqa: RUF009 - frozen
    networks: tuple[str, ...] = ()
    removes_itself: bool = False
    project: str = ""
    not_kept: Mapping[str, str] = field(default_factory=dict)
