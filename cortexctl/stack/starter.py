"""The starter stacks of `cortexctl init`: templates in this package, checked by the tests like any stack."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from importlib import resources
from urllib.parse import urlsplit

from cortexctl.dataclass import dataclass
from cortexctl.text.units import GIB

SCHEMA_FILE = "stack.schema.json"
"""The schema file that the first line of every starter names; it is written next to the stack."""
TEMPLATES = {"gpu": "gpu.toml.j2", "cpu": "cpu.toml.j2"}
LARGE = 22 * GIB
"""Bytes of a GPU that holds a model with 8 billion parameters of 16 bits and the KV cache of a few requests."""


@dataclass(frozen=True, slots=True)
class StarterHost:
    """`docker`: empty for the daemon that the docker command uses. `gpu_memory`: bytes of one GPU; None if it is not
    known. `comments`: lines for its table.
    """

    name: str
    docker: str = ""
    has_gpus: bool = False
    gpu_memory: int | None = None
    comments: tuple[str, ...] = ()


HERE = {"gpu": StarterHost("gpu-1"), "cpu": StarterHost("here")}
"""The host of a starter without hosts."""


def starter(template: str, folder: str, hosts: Sequence[StarterHost] = ()) -> str:
    """The text of a stack named after the folder. Its model runs on the first host with GPUs, and fits into one of
    them. Raises KeyError for an unknown template.
    """
    from jinja2 import Environment, StrictUndefined

    source = resources.files("cortexctl.stack").joinpath("templates", TEMPLATES[template]).read_text("utf-8")
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)  # noqa: S701 - TOML
    hosts = tuple(hosts) or (HERE[template],)
    place = next((host for host in hosts if host.has_gpus), hosts[0])
    is_small = place.gpu_memory is not None and place.gpu_memory < LARGE
    return environment.from_string(source).render(
        stack=stack_name(folder),
        hosts=hosts,
        model="qwen-small" if is_small else "llama-8b",
        model_host=place.name,
        size="" if place.gpu_memory else ". This model needs one of 24 GiB",
    )


def stack_name(folder: str) -> str:
    """The name of a stack in a folder of this name."""
    return _plain(folder)[:60].strip("-") or "models"


def host_name(docker: str, taken: Collection[str] = ()) -> str:
    """A name for a host, from its daemon's URL: the first part of the machine's name, a context's name, or `here`."""
    scheme, _, rest = docker.partition(":")
    machine = (urlsplit(docker).hostname or "") if scheme in {"ssh", "tcp"} else rest if scheme == "context" else "here"
    is_address = bool(re.fullmatch(r"[\d.:a-f]*[.:][\d.:a-f]*", machine))
    short = machine if is_address or scheme == "context" else machine.partition(".")[0]
    name = _plain(short)[:60].strip("-") or "host"
    names = (name, _plain(machine)[:60].strip("-"), *(f"{name}-{number}" for number in range(2, len(taken) + 3)))
    return next(candidate for candidate in names if candidate and candidate not in taken)


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
