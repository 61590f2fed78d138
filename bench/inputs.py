"""The stack files, and the same containers as a file for Compose. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

IMAGE = "cortexctl-lab/vllm/vllm-openai-standin:v0.32.0"
OWNER = "cortexctl-bench"
"""The name of every stack and network of the bench begins with it."""
PER_HOST = 8
REVISION = "6f6073b423013f6a7d4d9f39144961bfbfbc386b"
CHANGED = 5
FOLDER = "/srv"
"""The folder of the models: every Debian has it."""
PORTS, COMPOSE_PORTS = 21_000, 23_000
"""The first ports on the loopback."""
_ENV = {
    "TOKENIZERS_PARALLELISM": "false",
    "VLLM_LOGGING_LEVEL": "INFO",
    "VLLM_ALLOW_LONG_MAX_MODEL_LEN": "0",
    "CUDA_MODULE_LOADING": "LAZY",
    "NCCL_DEBUG": "WARN",
    "NCCL_P2P_DISABLE": "0",
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    "OMP_NUM_THREADS": "8",
}
_ARGS = {"max_num_seqs": "256", "gpu_memory_utilization": "0.9", "max_num_batched_tokens": "8192", "seed": "0"}


def one_host(models: int, *, docker: str = "", changed: int = 0, stable_for: str = "0s") -> str:
    """A stack of `models` models on one host. `docker`: Default: the daemon of $DOCKER_HOST. `changed`: the
    number of models with another argument.
    """
    parts = _host(models, docker)
    for number in range(models):
        parts += _model(models, number, 16384 if number < changed else 8192, stable_for, {})
    return "\n".join([*parts, ""])


def with_variables(models: int, variables: int) -> str:
    """A stack of one host with `variables` variables; each is used by one of the models."""
    parts = _host(models, "")
    parts += [f'[vars.v{number}]\ndefault = "{number}"' for number in range(variables)]
    for number in range(models):
        used = {f"X_V{n}": f"{{{{ vars.v{n} }}}}" for n in range(number, variables, models)}
        parts += _model(models, number, 8192, "0s", used)
    return "\n".join([*parts, ""])


def _host(models: int, docker: str) -> list[str]:
    lines = [f'stack = "{OWNER}-{models}"', "", "[hosts.here]", f'network = "{OWNER}-{models}"']
    lines.append(f'models_dir = "{FOLDER}"')
    return [*lines, f'docker = "{docker}"'] if docker else lines


def _model(models: int, number: int, length: int, stable_for: str, more: Mapping[str, str]) -> list[str]:
    args = "".join(f", {name} = {value}" for name, value in _ARGS.items())
    env = ", ".join(f'{name} = "{value}"' for name, value in {**_ENV, **more}.items())
    return [
        "",
        f"[models.{_name(models, number)}]",
        f'image = "{IMAGE}"',
        f'source = {{ repo = "org/model-{number}", revision = "{REVISION}" }}',
        f'served_names = ["m{number}"]',
        'gpus = "none"',
        'shm_size = "64 MiB"',
        f'publish = "127.0.0.1:{PORTS + number}"',
        f"args = {{ max_model_len = {length}{args} }}",
        f"env = {{ {env} }}",
        f'gate = {{ stable_for = "{stable_for}" }}',
        'rollout = { drain = "2s" }',
    ]


def fleet(hosts: int, sockets: str) -> str:
    """A stack of `hosts` hosts, each with PER_HOST models on its GPUs. `sockets`: the folder of their daemons."""
    parts = [f'stack = "{OWNER}-fleet"', ""]
    for number in range(hosts):
        parts += [f"[hosts.{host_name(number)}]", f'docker = "unix://{sockets}/{host_name(number)}.sock"']
        parts += ['models_dir = "/models"', ""]
    for number in range(PER_HOST):
        parts += [
            f"[models.m{number}]",
            'image = "vllm/vllm-openai:v0.32.0"',
            f'source = {{ path = "m{number}" }}',
            'hosts = ["*"]',
            f"gpus = [{number}]",
            f"args = {{ max_model_len = {1024 * (number + 1)}, gpu_memory_utilization = 0.9 }}",
            "",
        ]
    return "\n".join(parts)


def host_name(number: int) -> str:
    return f"host-{number:04d}"


def compose(models: int, changed: int = 0) -> str:
    """A file for Compose with the same containers. JSON is YAML, too."""
    services = {
        _name(models, number): dict(_service(number, 16384 if number < changed else 8192)) for number in range(models)
    }
    name = f"{OWNER}-compose-{models}"
    return json.dumps({"name": name, "services": services, "networks": {"default": {"name": name}}}, indent=1)


def _service(number: int, length: int) -> Iterator[tuple[str, object]]:
    yield "image", IMAGE
    yield "pull_policy", "never"
    yield "environment", _ENV
    yield "labels", {f"bench.label-{name}": f"value-{number}" for name in ("tier", "team", "model", "owner", "stage")}
    yield "ports", [f"127.0.0.1:{COMPOSE_PORTS + number}:8000"]
    yield "volumes", [f"{FOLDER}:/models:ro"]
    yield "restart", "unless-stopped"
    yield "stop_grace_period", "5s"
    yield "cap_drop", ["ALL"]
    yield "security_opt", ["no-new-privileges"]
    yield "entrypoint", ["vllm", "serve"]
    arguments = ["--served-model-name", f"m{number}", "--host", "0.0.0.0", "--port", "8000"]
    arguments += ["--max-model-len", str(length)]
    arguments += [word for name, value in _ARGS.items() for word in (f"--{name.replace('_', '-')}", value)]
    yield "command", [f"org/model-{number}", *arguments]


def _name(models: int, number: int) -> str:
    return f"bench-{models}-{number:04d}"
