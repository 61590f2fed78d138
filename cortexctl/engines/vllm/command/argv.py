"""From a container's spec to its command line: entry point and arguments, in the form that its release needs."""

from __future__ import annotations

from cortexctl.engines.vllm.catalogue import catalogue
from cortexctl.engines.vllm.command.values import argv_of
from cortexctl.engines.vllm.contract import CONTRACT
from cortexctl.engines.vllm.version import NEWEST_KNOWN, Release, parse_release
from cortexctl.instance.spec import Server

SERVE_SINCE = parse_release("0.11.1")
"""Before this release, images start the api_server module, and 0.10 ignores a positional model (vLLM's Dockerfiles)."""
SHUTDOWN_TIMEOUT_SINCE = parse_release("0.18.0")


def entrypoint(server: Server) -> list[str]:
    """Always set explicitly: the default entry point of images differs by release."""
    if _number(server) >= SERVE_SINCE:
        return ["vllm", "serve"]
    return ["python3", "-m", "vllm.entrypoints.openai.api_server"]


def arguments(server: Server, port: int = CONTRACT.port) -> list[str]:
    """The arguments after the entry point. The order is fixed, so equal specs give equal arguments.

    The model comes first: an option that takes several values would read a later positional as one of them.
    """
    number = _number(server)
    release = catalogue.release(catalogue.nearest(server.version or NEWEST_KNOWN))
    argv = [server.model] if number >= SERVE_SINCE else ["--model", server.model]
    argv += ["--served-model-name", *server.served_names]
    argv += ["--host", "0.0.0.0", "--port", str(port)]  # noqa: S104 - inside the container
    if number >= SHUTDOWN_TIMEOUT_SINCE and server.drain:
        argv += ["--shutdown-timeout", str(server.drain)]
    for name in sorted(server.args):
        option = release.option(name) or catalogue.newest_option(name)
        argv += argv_of(option, server.args[name])
    return [*argv, *server.extra_args]


def _number(server: Server) -> Release:
    return parse_release(server.version or NEWEST_KNOWN)
