"""The spec of a model's containers: one for every group of hosts with equal settings."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import replace

from cortexctl.dataclass import dataclass
from cortexctl.diagnostics import Diagnostic, error
from cortexctl.engines.registry import DEFAULT, engine_named
from cortexctl.engines.vllm.command.check import POOLING_TASKS, RUNNER_SINCE
from cortexctl.engines.vllm.version import parse_release
from cortexctl.files.consulted import Consulted
from cortexctl.instance.spec import Container, Mount, Publish, SecretRef, Server, Spec
from cortexctl.model_files.files import HF_HOME
from cortexctl.stack.argument_checks import At
from cortexctl.stack.schema import ModelTable
from cortexctl.text.units import seconds, size_in_bytes

MODELS = "/models"


@dataclass(frozen=True, slots=True)
class Home:
    """Everything of a host that a model's containers depend on. Hosts with equal ones share their specs and checks.
    The folders are absolute, and empty if the host has none. `is_here`: they can be read on this machine.
    """

    network: str
    models_dir: str
    hf_cache: str
    is_here: bool
    has_gpus: bool


def on_host(path: str, files: Consulted) -> str:
    """A relative path starts in the stack's folder, which works if the daemon is on this machine."""
    return posixpath.normpath(path) if path.startswith("/") else files.absolute(path)


def spec_of(
    name: str,
    model: ModelTable,
    home: Home,
    release: str | None,
    secrets: tuple[SecretRef, ...],
    files: Consulted,
) -> Spec:
    """The spec of a model's only replica on such a host. `files` knows where the stack's folder is."""
    below = model.source.path or model.source.gguf
    offline = model.offline if model.offline is not None else model.source.repo is None
    engine = engine_named(DEFAULT)
    container = Container(
        image=model.image,
        port=engine.contract.port,
        env=dict(model.env) | ({"HF_HUB_OFFLINE": "1"} if offline else {}),
        secrets=secrets,
        gpus=tuple(model.gpus) if isinstance(model.gpus, list) else (),
        mounts=_mounts(model, home, files),
        publish=_publish(model.publish),
        network=home.network,
        ipc=model.ipc,
        shm_size=size_in_bytes(model.shm_size),
        restart=model.restart,
        memory=size_in_bytes(model.memory) if model.memory else None,
        cpus=model.cpus,
    )
    server = Server(
        engine=DEFAULT,
        model=posixpath.normpath(f"{MODELS}/{below}") if below else model.source.repo or "",
        served_names=tuple(model.served_names or [name]),
        version=release,
        args=_args(model, release),
        drain=seconds(model.rollout.drain),
    )
    return Spec(container, replace(engine.canonical(server), extra_args=tuple(model.extra_args)))


def _args(model: ModelTable, release: str | None) -> dict[str, object]:
    source = model.source
    in_source = (
        ("revision", source.revision),
        ("tokenizer", source.tokenizer),
        ("hf_config_path", source.hf_config_path),
    )
    args = model.args | {key: value for key, value in in_source if value}
    if model.task in POOLING_TASKS and not {"runner", "task"} & args.keys():
        old = release is not None and parse_release(release) < RUNNER_SINCE
        args |= {"task": model.task} if old else {"runner": "pooling"}
    return args


def replica(spec: Spec, model: ModelTable, ordinal: int) -> Spec:
    """The spec of one of several replicas on a host: its share of the GPUs, and its port."""
    if model.replicas == 1:
        return spec
    gpus, publish = spec.container.gpus, spec.container.publish
    share = len(gpus) // model.replicas
    if publish and publish.port:
        publish = replace(publish, port=publish.port + ordinal - 1)
    its_share = gpus[share * (ordinal - 1) : share * ordinal]
    return replace(spec, container=replace(spec.container, gpus=its_share, publish=publish))


def _publish(text: str | None) -> Publish | None:
    if text is None:
        return None
    if text.endswith("]") or ":" not in text:
        return Publish(text.strip("[]"))
    address, _, port = text.rpartition(":")
    return Publish(address.strip("[]"), int(port))


def _mounts(model: ModelTable, home: Home, files: Consulted) -> tuple[Mount, ...]:
    mounts = _of_home(home)
    for text in model.volumes:
        source, target, *mode = text.split(":")
        source = on_host(source, files) if "/" in source else source
        mounts[target] = Mount(source, target, read_only=mode == ["ro"])
    return tuple(mounts[target] for target in sorted(mounts))


def _of_home(home: Home) -> dict[str, Mount]:
    mounts = {MODELS: Mount(home.models_dir, MODELS)} if home.models_dir else {}
    return mounts | ({HF_HOME: Mount(home.hf_cache, HF_HOME, read_only=False)} if home.hf_cache else {})


def check_volumes(model: ModelTable, home: Home, at: At) -> Iterator[Diagnostic]:
    """Two mounts at one place in the container."""
    taken = set(_of_home(home))
    for index, text in enumerate(model.volumes):
        target = text.split(":")[1]
        if target in taken:
            key = {MODELS: "models_dir", HF_HOME: "hf_cache"}.get(target, "")
            first = f"{key} of the host is mounted there" if key else "another volume of the model is mounted there"
            yield error(
                "CX212",
                f"{target} is mounted twice",
                at("volumes", index),
                help=f"{first}: remove one of the two",
            )
        taken.add(target)
