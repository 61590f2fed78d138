"""Words of a command line that belong to another program: the options of `docker run`, and programs before vLLM."""

from __future__ import annotations

import re
from collections.abc import Sequence
from types import MappingProxyType

from cortexctl.engines.vllm.command.shells import SHELLS, name_of_program

_OF_DOCKER = MappingProxyType(
    {
        **dict.fromkeys(("--gpus", "--runtime"), "`gpus`"),
        **dict.fromkeys(("-v", "--volume", "--mount"), "`volumes`"),
        **dict.fromkeys(("-e", "--env", "--env-file"), "`env` and `secrets`"),
        **dict.fromkeys(("-p", "--publish"), "`publish`"),
        **dict.fromkeys(("--network", "--net"), "hosts.network"),
        **dict.fromkeys(("--memory", "-m"), "`memory`"),
        "--shm-size": "`shm_size`",
        "--restart": "`restart`",
        "--cpus": "`cpus`",
        **dict.fromkeys(
            ("--ipc", "--rm", "--name", "--entrypoint", "--ulimit", "--privileged", "--security-opt", "--detach"), ""
        ),
    }
)
"""An option of `docker run` -> the key of a stack with the same meaning."""
_CONTAINERS = {"docker", "podman", "nerdctl"}
_BEFORE = {"env", "exec", "nohup", "sudo", "time"}
"""Programs that start the one that follows them, with the same arguments."""
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=", re.ASCII)


def of_docker(word: str) -> tuple[str, str] | None:
    """(what is wrong, what to write) if the word is an option of `docker run`; vLLM may have one of the same name."""
    flag = word.partition("=")[0]
    key = _OF_DOCKER.get(flag)
    if key is None:
        return None
    return f"{flag} is an option of `docker run`, not of vLLM", "write it before the image" + (
        f", or in a stack as {key}" if key else ""
    )


def without_launchers(argv: Sequence[str]) -> list[str]:
    """The arguments without variables and programs that only start the next one: `HF_TOKEN=x uv run vllm serve`."""
    rest = list(argv)
    while rest:
        if rest[0] in _BEFORE or _ASSIGNMENT.match(rest[0]):
            rest = rest[1:]
        elif rest[:2] == ["uv", "run"]:
            rest = rest[2:]
        else:
            return rest
    return rest


def foreign_program(argv: Sequence[str]) -> tuple[str, str] | None:
    """(what is wrong, what to write) if the first argument is a program that is not vLLM's server."""
    if len(argv) < 2:
        return None
    name = name_of_program(argv[0])
    if name in _CONTAINERS:
        return f"this is a command of {name}, not of vLLM", "give only the words behind the image"
    if re.fullmatch(r"python[\d.]*", name):
        return (
            "this is a command of Python that does not start vLLM's server",
            "the server is `vllm serve`, or python3 -m vllm.entrypoints.openai.api_server",
        )
    if name in SHELLS:
        return f"this is a command of {name}", "give only the words of `vllm serve` in it"
    return None
