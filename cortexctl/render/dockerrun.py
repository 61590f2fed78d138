"""A container's spec as the `docker run` that would make the same container by hand."""

from __future__ import annotations

from cortexctl.spec.container import CONTAINER_PORT, ContainerSpec
from cortexctl.spec.labels import serving_name
from cortexctl.vllm.argv import arguments, entrypoint


def docker_run(address: str, spec: ContainerSpec) -> list[str]:
    """The words. Secrets are passed by name: `docker run` takes their values from its own environment."""
    model, _, ordinal = address.partition("/")[2].partition(".")
    words = ["docker", "run", "--detach", "--name", serving_name(model, int(ordinal or 1))]
    words += ["--network", spec.network, "--ipc", spec.ipc]
    if spec.ipc == "private":
        words += ["--shm-size", str(spec.shm_size)]
    words += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--restart", "unless-stopped"]
    if spec.gpus:
        devices = ",".join(str(g) for g in spec.gpus)
        words += ["--gpus", f'"device={devices}"']
    if spec.publish:
        words += ["--publish", f"{spec.publish.address}:{spec.publish.port or ''}:{CONTAINER_PORT}"]
    for mount in spec.mounts:
        words += ["--volume", f"{mount.source}:{mount.target}" + (":ro" if mount.read_only else "")]
    for name, value in sorted(spec.env.items()):
        words += ["--env", f"{name}={value}"]
    for secret in spec.secrets:
        words += ["--env", secret.name]
    head, *rest = entrypoint(spec)
    return [*words, "--entrypoint", head, spec.image, *rest, *arguments(spec)]
