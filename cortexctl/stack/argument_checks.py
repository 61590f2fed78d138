"""Checks a model's arguments against the release of its image: issues of the engine become diagnostics with a place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from cortexctl.diagnostics import Diagnostic, SourceSpan, error, warning
from cortexctl.engines.base import ArgumentIssue
from cortexctl.engines.registry import DEFAULT, engine_named, engine_of
from cortexctl.engines.vllm.version import parse_release
from cortexctl.instance.spec import Server


class At(Protocol):
    """The place of a value inside the model's block."""

    def __call__(self, *path: str | int, key: bool = False) -> SourceSpan | None: ...


def check_arguments(table: str, server: Server, env: Mapping[str, str], at: At) -> Iterator[Diagnostic]:
    """`table`: models.NAME, or profiles.NAME. Of the server, only its release and its arguments count."""
    for issue in engine_of(server).check(server, env):
        make = error if issue.fatal else warning
        is_unknown = issue.about == "unknown"
        summary = f'unknown key "{issue.argument}" in [{table}.args]' if is_unknown else issue.summary
        yield make(issue.rule, summary, _place(issue, at), help=issue.help)


def check_raw(table: str, values: Any, at: At) -> Iterator[Diagnostic]:
    """The same checks for a table that does not match the schema, as far as it is readable."""
    if not isinstance(values, dict):
        return
    args, extra, env = values.get("args"), values.get("extra_args"), values.get("env")
    server = Server(
        DEFAULT,
        model="",
        served_names=(),
        version=_release(values),
        args=args if isinstance(args, dict) else {},
        extra_args=tuple(extra) if isinstance(extra, list) and all(isinstance(w, str) for w in extra) else (),
    )
    variables = {k: v for k, v in env.items() if isinstance(v, str)} if isinstance(env, dict) else {}
    yield from check_arguments(table, server, variables, at)


def _place(issue: ArgumentIssue, at: At) -> SourceSpan | None:
    match issue.where:
        case "args":
            is_key = issue.about in {"argument", "unknown"}
            return at("args", issue.argument, *issue.path, key=is_key)
        case "env":
            return at("env", issue.argument, key=True)
        case "extra_args":
            return at("extra_args")


def _release(values: Mapping[str, Any]) -> str | None:
    engine, image = engine_named(DEFAULT), values.get("image")
    version = values.get(engine.contract.release_setting)
    try:
        if isinstance(version, str):
            parse_release(version)
            return version.removeprefix("v")
        return engine.release_of(image) if isinstance(image, str) else None
    except ValueError:
        return None
