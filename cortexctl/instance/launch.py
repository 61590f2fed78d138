"""All settings that a daemon needs to create one container."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from cortexctl.dataclass import dataclass
from cortexctl.instance.spec import Spec


@dataclass(frozen=True, slots=True)
class Launch:
    """`image` is an id or a digest. `secrets` are environment variables with values: never shown, never stored."""

    name: str
    image: str
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    spec: Spec
    labels: Mapping[str, str]
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
