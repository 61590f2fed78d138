"""Builders for plans with memory: one host with four GPUs, two known models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cortexctl.desired.stack import Desired, Host, Instance
from cortexctl.instance import labels
from cortexctl.instance.codec import spec_to_label
from cortexctl.instance.spec import Mount, Spec
from cortexctl.model_files.files import ModelFiles
from cortexctl.observed.host import ObservedContainer, ObservedHost
from cortexctl.observed.observation import Observed
from tests.memory import config_of
from tests.specs import new_spec

HOST = Host("gpu-1", "unix:///none", gpus=4, gpu_name="L40S", gpu_memory=46068 * 2**20, gpu_capability="8.9")


QWEN, LLAMA = ModelFiles(config_of("qwen3-8b")), ModelFiles(config_of("llama-3.1-70b"))


FILES = {("gpu-1", "/srv/models/qwen"): QWEN, ("gpu-1", "/srv/models/llama"): LLAMA}


def spec(path: str = "qwen", gpus: tuple[int, ...] = (0,), **args: Any) -> Spec:
    mounts = (Mount("/srv/models", "/models"),)
    return new_spec("image:v0.32.0", f"/models/{path}", (path,), version="0.32.0", args=args, gpus=gpus, mounts=mounts)


def desired(**models: Spec) -> Desired:
    return Desired("demo", "stack.toml", (HOST,), tuple(Instance("gpu-1", name, s) for name, s in models.items()))


def running(name: str, spec_: Spec, *, stack: str = "demo") -> ObservedContainer:
    container_labels = {
        labels.STACK: stack,
        labels.MODEL: name,
        labels.HOST: "gpu-1",
        labels.SPEC: spec_to_label(spec_),
    }
    return ObservedContainer(
        f"{name:0>64}",
        labels.serving_name(name),
        spec_.container.image,
        "",
        "running",
        labels=container_labels,
        networks=(spec_.container.network,),
    )


def observed(*containers: ObservedContainer, files: Mapping[tuple[str, str], ModelFiles] = FILES) -> Observed:
    return Observed((ObservedHost("gpu-1", containers, "Docker", "1.41"),), model_files=files)
