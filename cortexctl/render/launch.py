"""A launch in the forms of other tools: the `docker run`, and the Compose service, that make the same container."""

from __future__ import annotations

from typing import Any

from cortexctl.engines.vllm.command.argv import arguments, entrypoint
from cortexctl.instance.labels import serving_name
from cortexctl.instance.shape import CAP_DROP, LOG_DRIVER, LOG_OPTIONS, SECURITY_OPT
from cortexctl.instance.spec import CONTAINER_PORT, ContainerSpec
from cortexctl.render.sanitise import tame


def docker_run(address: str, spec: ContainerSpec) -> list[str]:
    """The words. Secrets are passed by name: `docker run` takes their values from its own environment."""
    words = ["docker", "run", "--detach", "--name", _name(address)]
    words += ["--network", spec.network, "--ipc", spec.ipc]
    if spec.ipc == "private":
        words += ["--shm-size", str(spec.shm_size)]
    words += [w for capability in CAP_DROP for w in ("--cap-drop", capability)]
    words += [w for option in SECURITY_OPT for w in ("--security-opt", option)]
    words += ["--log-driver", LOG_DRIVER, *(w for k, v in LOG_OPTIONS for w in ("--log-opt", f"{k}={v}"))]
    words += ["--restart", spec.restart, "--stop-timeout", str(spec.stop_timeout)]
    words += ["--memory", str(spec.memory)] if spec.memory else []
    words += ["--cpus", f"{spec.cpus:g}"] if spec.cpus else []
    if spec.gpus:
        devices = ",".join(str(g) for g in spec.gpus)
        words += ["--gpus", f'"device={devices}"']
    if spec.publish:
        words += ["--publish", _published(spec)]
    for mount in spec.mounts:
        words += ["--volume", f"{mount.source}:{mount.target}" + (":ro" if mount.read_only else "")]
    for name, value in sorted(spec.env.items()):
        words += ["--env", f"{name}={value}"]
    for secret in spec.secrets:
        words += ["--env", secret.name]
    head, *rest = entrypoint(spec)
    return [*words, "--entrypoint", head, spec.image, *rest, *arguments(spec)]


def compose_service(address: str, spec: ContainerSpec) -> str:
    """A Compose file with this one service. Secrets are named without a value: Compose takes them from its environment.
    A dollar sign is doubled, for Compose puts variables in.
    """
    import yaml

    name = _name(address)
    service: dict[str, Any] = {
        "container_name": name,
        "image": spec.image,
        "entrypoint": entrypoint(spec),
        "command": arguments(spec),
        "restart": spec.restart,
        "networks": [spec.network],
        "ipc": spec.ipc,
        "cap_drop": list(CAP_DROP),
        "security_opt": list(SECURITY_OPT),
        "stop_grace_period": f"{spec.stop_timeout}s",
        "logging": {"driver": LOG_DRIVER, "options": dict(LOG_OPTIONS)},
    }
    if spec.ipc == "private":
        service["shm_size"] = spec.shm_size
    if spec.memory:
        service["mem_limit"] = spec.memory
    if spec.cpus:
        service["cpus"] = spec.cpus
    if spec.publish:
        service["ports"] = [_published(spec)]
    if spec.mounts:
        service["volumes"] = [f"{m.source}:{m.target}" + (":ro" if m.read_only else "") for m in spec.mounts]
    if spec.env or spec.secrets:
        set_ = [f"{variable}={value}" for variable, value in sorted(spec.env.items())]
        service["environment"] = [*set_, *(s.name for s in spec.secrets)]
    if spec.gpus:
        device = {"driver": "nvidia", "device_ids": [str(g) for g in spec.gpus], "capabilities": ["gpu"]}
        service["deploy"] = {"resources": {"reservations": {"devices": [device]}}}
    volumes = sorted(m.source for m in spec.mounts if "/" not in m.source)
    whole: dict[str, Any] = {"services": {name: _dollars(service)}, "networks": {spec.network: {"external": True}}}
    if volumes:
        whole["volumes"] = {volume: {"external": True} for volume in volumes}
    text: str = yaml.safe_dump(whole, sort_keys=False, width=120, allow_unicode=True)
    is_plain = text == tame(text, styles=False)  # else with escapes, which YAML reads
    return text if is_plain else str(yaml.safe_dump(whole, sort_keys=False, width=120))


def launch_facts(address: str, spec: ContainerSpec) -> dict[str, Any]:
    """For programs: what is started, by parts."""
    return {
        "address": address,
        "image": spec.image,
        "vllm_version": spec.vllm_version,
        "entrypoint": entrypoint(spec),
        "arguments": arguments(spec),
        "env": dict(sorted(spec.env.items())),
        "secrets": [s.name for s in spec.secrets],
    }


def _name(address: str) -> str:
    model, _, ordinal = address.partition("/")[2].rpartition(".")
    return serving_name(model, int(ordinal)) if model and ordinal.isdigit() else serving_name(address.partition("/")[2])


def _published(spec: ContainerSpec) -> str:
    if spec.publish is None:
        return ""
    address = f"[{spec.publish.address}]" if ":" in spec.publish.address else spec.publish.address
    return f"{address}:{spec.publish.port or ''}:{CONTAINER_PORT}"


def _dollars(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _dollars(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_dollars(inner) for inner in value]
    return value.replace("$", "$$") if isinstance(value, str) else value
