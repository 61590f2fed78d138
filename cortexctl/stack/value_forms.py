"""Checks single values. Each function returns a valid value, and raises ValueError with a plain message about an
invalid one.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from cortexctl.engines.vllm.version import parse_release
from cortexctl.instance.image import parse_image
from cortexctl.text.units import seconds, short_seconds, size_in_bytes

MOST_GPUS = 1024
DRIFT_KINDS = ("drift", "pending", "orphan", "unmanaged", "unhealthy", "unreachable")


def name_form(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,62}", text):
        raise ValueError(
            f'"{text}" cannot be a name: use lower-case letters, digits, ".", "_" and "-", at most 63 '
            'characters, without "-" at the beginning'
        )
    if "--" in text:
        raise ValueError(f'"{text}" cannot be a name: "--" is reserved for generations (NAME--g2)')
    return text


def duration_form(text: str) -> str:
    seconds(text)
    return text


def short_duration_form(text: str) -> str:
    if short_seconds(text) == 0:
        raise ValueError(f'"{text}" must be greater than zero; write for example "500ms" or "2s"')
    return text


def size_form(text: str) -> str:
    size_in_bytes(text)
    return text


def image_form(text: str) -> str:
    parse_image(text)
    return text


def release_form(text: str) -> str:
    parse_release(text)
    return text


def version_range_form(text: str) -> str:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        raise ValueError(f'"{text}" is not a range of versions; write for example ">=0.1,<1"') from None
    return text


def variable_form(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise ValueError(f'"{text}" cannot be the name of an environment variable')
    return text


def repo_form(text: str) -> str:
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", text, re.ASCII):
        raise ValueError(f'"{text}" is not a Hugging Face repository; write for example "meta-llama/Llama-3.1-8B"')
    return text


def gguf_form(text: str) -> str:
    if not text.endswith(".gguf"):
        raise ValueError(f'"{text}" is not a GGUF file: its name must end in .gguf')
    return text


_HOST = r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.]+\])"
_PORT = r"(?::[0-9]{1,5})?"
LARGEST_PORT = 65_535
DOCKER_FORMS = (
    r"unix:///.+",
    rf"ssh://(?:[A-Za-z0-9_][^@/:\s]*@)?{_HOST}{_PORT}(?:/\S*)?",
    rf"tcp://{_HOST}{_PORT}",
    r"context:[A-Za-z0-9][A-Za-z0-9_.+-]*",
)
"""An ssh user and host must not start with a dash, because ssh would read an option."""


def docker_form(text: str) -> str:
    port = re.search(r"^(?:ssh|tcp)://[^/]*:([0-9]+)(?:/|$)", text)
    if not re.fullmatch("|".join(DOCKER_FORMS), text) or (port and not 0 < int(port[1]) <= LARGEST_PORT):
        raise ValueError(
            f'"{text}" is not the URL of a Docker daemon; write "unix:///var/run/docker.sock", "ssh://USER@HOST", '
            '"tcp://HOST:2376" or "context:NAME"'
        )
    return text


def gpus_form(value: Any) -> Any:
    if value == "none":
        return []
    if type(value) is int and 1 <= value <= MOST_GPUS:
        return value
    if isinstance(value, list) and value and all(type(v) is int and 0 <= v < MOST_GPUS for v in value):
        if len(set(value)) < len(value):
            raise ValueError("a GPU is listed twice")
        return value
    raise ValueError('write the number of GPUs, such as 2, or their indices, such as [0, 1], or "none"')


def capability_form(text: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]?\.[0-9]", text):
        raise ValueError(f'"{text}" is not a compute capability; write for example "8.9"')
    return text


def rule_form(text: str) -> str:
    if not re.fullmatch(r"CX\d{3}", text, re.ASCII):
        raise ValueError("a rule is written as in CX209")
    return text


def reason_form(text: str) -> str:
    if not text.strip():
        raise ValueError("say why the warning is accepted")
    return text


def drift_pattern_form(text: str) -> str:
    kind, colon, _ = text.partition(":")
    if colon and kind not in DRIFT_KINDS:
        raise ValueError(f'"{kind}" is not a kind of finding; the kinds are: {", ".join(DRIFT_KINDS)}')
    return text


def publish_form(text: str) -> str:
    address, separator, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not separator:
        address, port = text, ""
    elif not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536 or (":" in address and address[0] != "["):
        raise ValueError(f'"{text}" is not ADDRESS or ADDRESS:PORT; write for example "127.0.0.1:8801"')
    bracketed = address.startswith("[") and address.endswith("]")
    try:
        version: int = ipaddress.ip_address(address.strip("[]")).version
    except ValueError:
        version = 0
    if version != (6 if bracketed else 4):
        raise ValueError(f'"{text}" does not begin with an IP address; write for example "127.0.0.1:8801"')
    return text


def volume_form(text: str) -> str:
    parts = text.split(":")
    if len(parts) not in {2, 3} or not parts[0] or not parts[1].startswith("/"):
        raise ValueError(f'"{text}" is not SOURCE:TARGET or SOURCE:TARGET:ro; TARGET is an absolute path')
    if len(parts) == 3 and parts[2] not in {"ro", "rw"}:
        raise ValueError(f'"{text}" ends in ":{parts[2]}"; only ":ro" and ":rw" are allowed')
    return text


def network_form(text: str) -> str:
    """A network of the daemon. With `host` or `none` the containers could not reach each other."""
    if text in {"host", "none", "bridge", "default"} or not re.fullmatch(r"[a-zA-Z0-9][\w.-]*", text, re.ASCII):
        raise ValueError(f'"{text}" cannot be the network; write your own name, such as "cortex_default"')
    return text


def served_name_form(text: str) -> str:
    if not text or text != text.strip() or not text.isprintable():
        raise ValueError("a served name is text without spaces around it")
    return text
