"""Checks everything that a stack sets of a server: arguments by name, variables, raw arguments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from cortexctl.engines.base import ArgumentIssue
from cortexctl.engines.vllm.catalogue import catalogue
from cortexctl.engines.vllm.command.check import check_args, check_env
from cortexctl.engines.vllm.command.dashes import TO_MINUS
from cortexctl.engines.vllm.command.reserved import ALIASES, RESERVED
from cortexctl.instance.spec import Server
from cortexctl.text.suggest import nearest


def check_server(server: Server, env: Mapping[str, str]) -> Iterator[ArgumentIssue]:
    """See `engines.base.Engine.check`."""
    known = {key: value for key, value in server.args.items() if key not in RESERVED and catalogue.option_spans(key)}
    for key in server.args:
        if key not in known:
            yield ArgumentIssue(key, "CX102", f"vLLM has no {key}", _instead(key), about="unknown")
    yield from check_args(known, server.version, env)
    yield from (replace(issue, where="env") for issue in check_env(env, server.version))
    if not server.extra_args:
        return
    from cortexctl.engines.vllm.command.check_raw import check_extra_args

    of_raw = check_extra_args(server.extra_args, server.version, server.args)
    yield from (replace(issue, where="extra_args") for issue in of_raw)


def _instead(key: str) -> str:
    """The replacement for a key of `args` that vLLM never had, or that the stack sets elsewhere."""
    plain = key.translate(TO_MINUS).lstrip("-").replace("-", "_")
    if plain in RESERVED:
        return RESERVED[plain]
    if plain in ALIASES:
        return f'here it is called "{ALIASES[plain]}"'
    if catalogue.option_spans(plain):
        return f'write it as "{plain}"'
    elsewhere = "a parameter that is in no vLLM release can be passed in extra_args"
    close = nearest(plain, catalogue.option_names())
    return f'did you mean "{close}"? Otherwise: {elsewhere}' if close else elsewhere
