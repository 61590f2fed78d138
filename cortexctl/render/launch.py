"""A launch in the forms of other tools: the `docker run`, and the Compose service, that create the same container."""

from __future__ import annotations

import shlex
from typing import Any

from cortexctl.desired.stack import Instance
from cortexctl.engines.registry import command_of
from cortexctl.instance.labels import serving_name
from cortexctl.instance.shape import CAP_DROP, LOG_DRIVER, LOG_OPTIONS, SECURITY_OPT
from cortexctl.instance.spec import Spec
from cortexctl.render.sanitise import tame, visible
from cortexctl.text.json_text import json_text


def docker_run(name: str, spec: Spec) -> list[str]:
    """The argv of a container with this name. Secrets are passed by name: `docker run` takes their values from its own
    environment.
    """
    argv = ["docker", "run", "--detach", "--name", name]
    argv += ["--network", spec.container.network, "--ipc", spec.container.ipc]
    if spec.container.ipc == "private":
        argv += ["--shm-size", str(spec.container.shm_size)]
    argv += [w for capability in CAP_DROP for w in ("--cap-drop", capability)]
    argv += [w for option in SECURITY_OPT for w in ("--security-opt", option)]
    argv += ["--log-driver", LOG_DRIVER, *(w for k, v in LOG_OPTIONS for w in ("--log-opt", f"{k}={v}"))]
    argv += ["--restart", spec.container.restart, "--stop-timeout", str(spec.stop_timeout)]
    argv += ["--memory", str(spec.container.memory)] if spec.container.memory else []
    argv += ["--cpus", f"{spec.container.cpus:g}"] if spec.container.cpus else []
    if spec.container.gpus:
        devices = ",".join(str(g) for g in spec.container.gpus)
        argv += ["--gpus", f'"device={devices}"']
    if spec.container.publish:
        argv += ["--publish", _published(spec)]
    for mount in spec.container.mounts:
        argv += ["--volume", f"{mount.source}:{mount.target}" + (":ro" if mount.read_only else "")]
    for variable, value in sorted(spec.container.env.items()):
        argv += ["--env", f"{variable}={value}"]
    for secret in spec.container.secrets:
        argv += ["--env", secret.name]
    command = command_of(spec)
    head, *rest = command.program
    return [*argv, "--entrypoint", head, spec.container.image, *rest, *command.arguments]


def compose_service(name: str, spec: Spec) -> str:
    """A Compose file with this one service. Secrets are named without a value: Compose takes them from its environment.
    A dollar sign is doubled, because Compose substitutes variables.
    """
    import yaml

    service: dict[str, Any] = {
        "container_name": name,
        "image": spec.container.image,
        "entrypoint": list(command_of(spec).program),
        "command": list(command_of(spec).arguments),
        "restart": spec.container.restart,
        "networks": [spec.container.network],
        "ipc": spec.container.ipc,
        "cap_drop": list(CAP_DROP),
        "security_opt": list(SECURITY_OPT),
        "stop_grace_period": f"{spec.stop_timeout}s",
        "logging": {"driver": LOG_DRIVER, "options": dict(LOG_OPTIONS)},
    }
    if spec.container.ipc == "private":
        service["shm_size"] = spec.container.shm_size
    if spec.container.memory:
        service["mem_limit"] = spec.container.memory
    if spec.container.cpus:
        service["cpus"] = spec.container.cpus
    if spec.container.publish:
        service["ports"] = [_published(spec)]
    if spec.container.mounts:
        service["volumes"] = [f"{m.source}:{m.target}" + (":ro" if m.read_only else "") for m in spec.container.mounts]
    if spec.container.env or spec.container.secrets:
        set_ = [f"{variable}={value}" for variable, value in sorted(spec.container.env.items())]
        service["environment"] = [*set_, *(s.name for s in spec.container.secrets)]
    if spec.container.gpus:
        device = {"driver": "nvidia", "device_ids": [str(g) for g in spec.container.gpus], "capabilities": ["gpu"]}
        service["deploy"] = {"resources": {"reservations": {"devices": [device]}}}
    volumes = sorted(m.source for m in spec.container.mounts if "/" not in m.source)
    document: dict[str, Any] = {
        "services": {name: _dollars(service)},
        "networks": {spec.container.network: {"external": True}},
    }
    if volumes:
        document["volumes"] = {volume: {"external": True} for volume in volumes}
    text: str = yaml.safe_dump(document, sort_keys=False, width=120, allow_unicode=True)
    is_plain = text == tame(text, styles=False)  # else with escapes, which YAML reads
    return text if is_plain else str(yaml.safe_dump(document, sort_keys=False, width=120))


def launch_facts(address: str, spec: Spec) -> dict[str, Any]:
    """For programs: the parts of the launch."""
    return {
        "address": address,
        "image": spec.container.image,
        "vllm_version": spec.server.version,
        "entrypoint": list(command_of(spec).program),
        "arguments": list(command_of(spec).arguments),
        "env": dict(sorted(spec.container.env.items())),
        "secrets": [s.name for s in spec.container.secrets],
    }


def _published(spec: Spec) -> str:
    if spec.container.publish is None:
        return ""
    address = (
        f"[{spec.container.publish.address}]"
        if ":" in spec.container.publish.address
        else spec.container.publish.address
    )
    return f"{address}:{spec.container.publish.port or ''}:{spec.container.port}"


def _dollars(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _dollars(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_dollars(inner) for inner in value]
    return value.replace("$", "$$") if isinstance(value, str) else value


def launch_text(instance: Instance, output_format: str) -> str:
    """A launch as "argv", "docker", "compose" or "json"."""
    name, spec = serving_name(instance.model, instance.ordinal), instance.spec
    match output_format:
        case "docker":
            return _one_option_a_line(docker_run(name, spec))
        case "compose":
            return compose_service(name, spec).rstrip("\n")
        case "json":
            return json_text(launch_facts(instance.address, spec), 2)
        case _:
            command = command_of(spec)
            return _one_option_a_line([*command.program, *command.arguments])


def _one_option_a_line(argv: list[str]) -> str:
    """Shell text that can be pasted: a new line before every option."""
    text = _quoted(argv[0])
    for word in argv[1:]:
        text += (" \\\n  " if word.startswith("-") else " ") + _quoted(word)
    return text


def _quoted(word: str) -> str:
    """Quoted for a shell. Characters that act on a terminal become escapes that bash, zsh and ksh read: $'…'."""
    if visible(word) == word:
        return shlex.quote(word)
    bare = word.replace("\\", "\\\\").replace("'", "\\'")
    return "$'" + "".join(c if visible(c) == c else _octal(c) for c in bare) + "'"


def _octal(character: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in character.encode("utf-8", "surrogatepass"))
