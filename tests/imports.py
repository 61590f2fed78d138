"""Imports a container that a person started into a stack, and reads the stack back. Needs no host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cortexctl.desired.stack import Desired
from cortexctl.diagnostics import Diagnostic
from cortexctl.instance.spec import Spec
from cortexctl.observed.foreign import Running, parse_running
from cortexctl.render.import_block import imported_block
from cortexctl.stack.importing.describe import draft_of
from cortexctl.stack.importing.draft import Draft, Place
from cortexctl.stack.load import load_stack
from tests.fakes.inspection import IMAGE_ENV, inspection
from tests.reading import DOCKER

MODELS_DIR = "/srv/models"
HOST = f'[hosts.here]\nmodels_dir = "{MODELS_DIR}"\n'


@dataclass(frozen=True)
class ByHand:
    """A test's description of a container. `changes` replaces parts of its inspection."""

    spec: Spec
    name: str = "llm"
    secrets: Mapping[str, str] = field(default_factory=dict)
    changes: Mapping[str, Any] = field(default_factory=dict)
    tags: Sequence[str] = ()

    @property
    def running(self) -> Running:
        image = {"Config": {"Env": list(IMAGE_ENV)}, "RepoTags": list(self.tags)}
        raw = inspection(self.spec, self.secrets, self.changes)
        raw["Config"].setdefault("Image", self.spec.container.image)
        raw.setdefault("Name", f"/{self.name}")
        raw.setdefault("NetworkSettings", {"Networks": {self.spec.container.network: {}}})
        return parse_running(raw, image)

    def draft(self, **place: Any) -> Draft:
        return draft_of(self.running, Place(**{"host": "here", "models_dir": MODELS_DIR, **place}))


def command_line(*command: str, entry: Sequence[str] = ("vllm", "serve")) -> dict[str, Any]:
    """A change to an inspection that sets the command line."""
    return {"Config": {"Entrypoint": list(entry), "Cmd": list(command)}}


def block_of(draft: Draft) -> str:
    assert draft.reasons == []
    return imported_block(draft.name, draft.table, draft.notes, {}, draft.comments)


def read_back(draft: Draft, host: str = HOST) -> tuple[Desired | None, list[Diagnostic]]:
    """The stack with the draft's block in it, as `plan` would read it."""
    text = f'stack = "demo"\n\n{host}\n{block_of(draft)}'
    return load_stack(str(Path("stack.toml")), default_docker=DOCKER, secret_value=None, text=text)


def spec_of(draft: Draft, host: str = HOST) -> Spec:
    desired, diagnostics = read_back(draft, host)
    assert desired is not None, [f"{d.rule} {d.summary}" for d in diagnostics]
    return desired.instances[0].spec
