"""Checks a model's arguments against the release of its image: findings become diagnostics with their place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from cortexctl.diagnostics import Diagnostic, SourceSpan, error, warning
from cortexctl.engines.vllm.catalogue import catalogue
from cortexctl.engines.vllm.command.check import check_args, check_env, check_extra_args
from cortexctl.engines.vllm.command.reserved import ALIASES, RESERVED
from cortexctl.engines.vllm.version import parse_release, release_from_image
from cortexctl.stack.suggest import nearest


class At(Protocol):
    """The place of a value inside the model's block."""

    def __call__(self, *path: str | int, key: bool = False) -> SourceSpan | None: ...


def check_arguments(
    table: str,
    args: Mapping[str, Any],
    extra_args: Sequence[str],
    env: Mapping[str, str],
    release: str | None,
    at: At,
) -> Iterator[Diagnostic]:
    """`table`: models.NAME, or profiles.NAME."""
    mine = {key: value for key, value in args.items() if key not in RESERVED and catalogue.option_spans(key)}
    for key in args:
        if key not in mine:
            place = at("args", key, key=True)
            yield error("CX102", f'unknown key "{key}" in [{table}.args]', place, help=_instead(key))
    for finding in check_args(mine, release, env):
        make = error if finding.fatal else warning
        about_key = finding.about == "argument"
        yield make(
            finding.rule, finding.summary, at("args", finding.argument, *finding.path, key=about_key), help=finding.help
        )
    for finding in check_env(env, release):
        yield warning(finding.rule, finding.summary, at("env", finding.argument, key=True), help=finding.help)
    for finding in check_extra_args(extra_args, release, args):
        make = error if finding.fatal else warning
        yield make(finding.rule, finding.summary, at("extra_args"), help=finding.help)


def check_raw(table: str, values: Any, at: At) -> Iterator[Diagnostic]:
    """The same checks for a table that does not match the schema, as far as it is readable."""
    if not isinstance(values, dict):
        return
    args, extra, env = values.get("args"), values.get("extra_args"), values.get("env")
    yield from check_arguments(
        table,
        args if isinstance(args, dict) else {},
        extra if isinstance(extra, list) and all(isinstance(w, str) for w in extra) else [],
        {k: v for k, v in env.items() if isinstance(v, str)} if isinstance(env, dict) else {},
        _release(values),
        at,
    )


def _release(values: Mapping[str, Any]) -> str | None:
    version, image = values.get("vllm_version"), values.get("image")
    try:
        if isinstance(version, str):
            parse_release(version)
            return version.removeprefix("v")
        return release_from_image(image) if isinstance(image, str) else None
    except ValueError:
        return None


def _instead(key: str) -> str:
    """The replacement for a key of `args` that vLLM never had, or that the stack sets elsewhere."""
    plain = key.replace("-", "_")
    if plain in RESERVED:
        return RESERVED[plain]
    if plain in ALIASES:
        return f'here it is called "{ALIASES[plain]}"'
    if catalogue.option_spans(plain):
        return f'write it as "{plain}"'
    elsewhere = "a parameter that is in no vLLM release can be passed in extra_args"
    close = nearest(plain, catalogue.option_names())
    return f'did you mean "{close}"? Otherwise: {elsewhere}' if close else elsewhere
