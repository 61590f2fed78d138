"""From a container's spec to the words that start it: entry point and arguments, as its release wants them."""

from __future__ import annotations

from cortexctl.engines.vllm.catalogue import catalogue
from cortexctl.engines.vllm.command.values import words_of
from cortexctl.engines.vllm.version import NEWEST_KNOWN, Release, parse_release
from cortexctl.instance.spec import CONTAINER_PORT, ContainerSpec

SERVE_SINCE = parse_release("0.11.1")
"""Before it, images start the api_server module, and 0.10 ignores a positional model (vLLM's Dockerfiles)."""
SHUTDOWN_TIMEOUT_SINCE = parse_release("0.18.0")


def entrypoint(spec: ContainerSpec) -> list[str]:
    """Always said explicitly: what images start by themselves differs by release."""
    if _number(spec) >= SERVE_SINCE:
        return ["vllm", "serve"]
    return ["python3", "-m", "vllm.entrypoints.openai.api_server"]


def arguments(spec: ContainerSpec) -> list[str]:
    """The words after the entry point. Order is fixed, so equal specs give equal words.

    The model comes first: a positional after an option that takes several values would be swallowed by it.
    """
    number = _number(spec)
    release = catalogue.release(catalogue.nearest(spec.vllm_version or NEWEST_KNOWN))
    words = [spec.model] if number >= SERVE_SINCE else ["--model", spec.model]
    words += ["--served-model-name", *spec.served_names]
    words += ["--host", "0.0.0.0", "--port", str(CONTAINER_PORT)]  # noqa: S104 - inside the container
    if number >= SHUTDOWN_TIMEOUT_SINCE and spec.drain:
        words += ["--shutdown-timeout", str(spec.drain)]
    for name in sorted(spec.args):
        option = release.option(name) or catalogue.newest_option(name)
        words += words_of(option, spec.args[name])
    return [*words, *spec.extra_args]


def _number(spec: ContainerSpec) -> Release:
    return parse_release(spec.vllm_version or NEWEST_KNOWN)
