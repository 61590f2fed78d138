"""What makes two starts equal: the measurements of one then hold for the other."""

from __future__ import annotations

import posixpath
from pathlib import Path

from cortexctl.desired.stack import Host
from cortexctl.engines.gpu_models import gpu_on_host
from cortexctl.engines.gpu_table import Gpu
from cortexctl.engines.measurement import Started
from cortexctl.engines.vllm.command.effective import effective
from cortexctl.engines.vllm.memory.measured import started
from cortexctl.instance.spec import Spec


def model_folder(spec: Spec) -> Path | None:
    """The model's folder on its host, from the mount of the container, or in its cache."""
    folders = {m.target: Path(m.source) for m in spec.container.mounts if not m.is_volume}
    if not spec.server.model.startswith("/"):
        from cortexctl.model_files.files import HF_HOME
        from cortexctl.stack.model_folder import cached_snapshot

        cache, revision = folders.get(HF_HOME), str(spec.server.args.get("revision") or "main")
        return cached_snapshot(cache, spec.server.model, revision) if cache else None
    inside = {target: posixpath.relpath(spec.server.model, target) for target in folders}
    return next((folders[t] / path for t, path in inside.items() if not path.startswith("..")), None)


def started_as(host: Host, spec: Spec, config: str = "") -> Started:
    """An instance's start. `config`: the digest of its model's config.json, if it was read."""
    args = effective(spec.server).args
    model = f"{spec.server.model}@{args.get('revision') or ''}"
    if spec.server.model.startswith("/"):
        model = str(model_folder(spec) or spec.server.model)
    return started(model, config, spec.server.version, gpu_of(host, spec), args, spec.container.env)


def gpu_of(host: Host, spec: Spec) -> Gpu | None:
    """One of an instance's GPUs, as far as the stack declares it."""
    try:
        return gpu_on_host(host.gpu_name, host.gpu_memory, host.gpu_capability) if spec.container.gpus else None
    except ValueError:
        return None
