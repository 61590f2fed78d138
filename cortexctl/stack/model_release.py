"""The release of the engine in a model's image: all checks of arguments depend on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from cortexctl.dataclass import dataclass
from cortexctl.engines.registry import DEFAULT, engine_named
from cortexctl.stack.schema import ModelTable


@dataclass(frozen=True, slots=True)
class Releases:
    """`reported`: image reference -> the release that the image itself reports, for images on reachable hosts.
    `instead`: a release to assume for every model, to see its effect on the stack.
    """

    reported: Mapping[str, str] = field(default_factory=dict)
    instead: str = ""

    def of(self, model: ModelTable) -> str | None:
        """The release in the stack comes first, then the one in the tag, then the one that the image itself reports."""
        if self.instead:
            return self.instead
        if model.vllm_version:
            return model.vllm_version.removeprefix("v")
        return engine_named(DEFAULT).release_of(model.image) or self.reported.get(model.image)
