"""What an engine is told to create, for tests that speak to one without a plan."""

from __future__ import annotations

from cortexctl.apply.protocols import Engine
from cortexctl.spec import labels
from cortexctl.spec.codec import spec_to_label
from cortexctl.spec.container import ContainerSpec
from cortexctl.spec.launch import Launch
from cortexctl.vllm.argv import arguments, entrypoint


def launch_of(engine: Engine, stack: str, model: str, name: str, spec: ContainerSpec) -> Launch:
    """A container of this name, labelled as the stack's."""
    marks = {labels.STACK: stack, labels.MODEL: model, labels.SPEC: spec_to_label(spec)}
    image = engine.image(spec.image).id
    return Launch(name, image, tuple(entrypoint(spec)), tuple(arguments(spec)), spec, marks)
