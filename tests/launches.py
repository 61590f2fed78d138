"""The request to create a container, for tests that use a daemon without a plan."""

from __future__ import annotations

from cortexctl.apply.protocols import Daemon
from cortexctl.engines.vllm.command.argv import arguments, entrypoint
from cortexctl.instance import labels
from cortexctl.instance.codec import spec_to_label
from cortexctl.instance.launch import Launch
from cortexctl.instance.spec import Spec


def launch_of(daemon: Daemon, stack: str, model: str, name: str, spec: Spec) -> Launch:
    """A container of this name, labelled as the stack's."""
    marks = {labels.STACK: stack, labels.MODEL: model, labels.SPEC: spec_to_label(spec)}
    image = daemon.image(spec.container.image).id
    return Launch(name, image, tuple(entrypoint(spec.server)), tuple(arguments(spec.server)), spec, marks)
