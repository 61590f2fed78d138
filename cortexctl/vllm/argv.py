"""From a container's spec to the words that start it: entry point and arguments, as its release wants them."""

from __future__ import annotations

import json
from typing import Any

from cortexctl.spec.container import CONTAINER_PORT, ContainerSpec
from cortexctl.vllm.arguments import ARGUMENTS, Argument
from cortexctl.vllm.version import NEWEST_KNOWN, Release, parse_release

SERVE_SINCE = parse_release("0.11.1")
"""Before it, images start the api_server module, and 0.10 ignores a positional model (vLLM's Dockerfiles)."""
SHUTDOWN_TIMEOUT_SINCE = parse_release("0.18.0")
CHUNKED_PREFILL_PAIR_SINCE = parse_release("0.8.5")


def entrypoint(spec: ContainerSpec) -> list[str]:
    """Always said explicitly: what images start by themselves differs by release."""
    if _release(spec) >= SERVE_SINCE:
        return ["vllm", "serve"]
    return ["python3", "-m", "vllm.entrypoints.openai.api_server"]


def arguments(spec: ContainerSpec) -> list[str]:
    """The words after the entry point. Order is fixed, so equal specs give equal words.

    The model comes first: a positional after an option that takes several values would be swallowed by it.
    """
    release = _release(spec)
    words = [spec.model] if release >= SERVE_SINCE else ["--model", spec.model]
    words += ["--served-model-name", *spec.served_names]
    words += ["--host", "0.0.0.0", "--port", str(CONTAINER_PORT)]  # noqa: S104 - inside the container
    if release >= SHUTDOWN_TIMEOUT_SINCE and spec.drain:
        words += ["--shutdown-timeout", str(spec.drain)]
    for name in sorted(spec.args):
        words += _words(ARGUMENTS.get(name) or Argument(name, "text"), spec.args[name], release)
    return [*words, *spec.extra_args]


def _release(spec: ContainerSpec) -> Release:
    return parse_release(spec.vllm_version or NEWEST_KNOWN)


def _words(argument: Argument, value: Any, release: Release) -> list[str]:
    match argument.kind:
        case "switch":
            return _switch(argument, on=value, release=release)
        case "words" | "ints":
            return [argument.flag, *(str(v) for v in value)]
        case "json":
            return [argument.flag, json.dumps(value, sort_keys=True, separators=(",", ":"))]
        case _:
            return [argument.flag, _number(value) if isinstance(value, float) else str(value)]


def _switch(argument: Argument, *, on: bool, release: Release) -> list[str]:
    if argument.name == "enable_chunked_prefill" and release < CHUNKED_PREFILL_PAIR_SINCE:
        return [f"{argument.flag}={str(on).lower()}"]  # the one that took a word, to 0.8.4
    if on:
        return [argument.flag]
    if argument.pair_since and release >= parse_release(argument.pair_since):
        return ["--no-" + argument.flag.removeprefix("--")]
    return []  # there is no off form, and off is the default


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)
