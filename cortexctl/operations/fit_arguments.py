"""Arguments, variables and GPUs that `fit` is options on its command line, read as vLLM would read them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cortexctl.engines.gpu_models import parse_gpu
from cortexctl.engines.gpu_table import Gpu
from cortexctl.engines.vllm.catalogue import catalogue
from cortexctl.engines.vllm.catalogue.catalogue import Release
from cortexctl.engines.vllm.command.check import check_args
from cortexctl.engines.vllm.command.effective import release_of
from cortexctl.engines.vllm.command.reserved import RESERVED
from cortexctl.engines.vllm.command.values import SWITCHES, takes_several
from cortexctl.engines.vllm.command.word import read_word
from cortexctl.engines.vllm.memory.release_changes import behaviour
from cortexctl.errors import UsageError
from cortexctl.text.suggest import nearest


def read_args(options: Sequence[str], version: str | None) -> dict[str, Any]:
    """NAME=VALUE, each read as the release's parser reads it; NAME alone is true. Raises UsageError."""
    release = release_of(".".join(map(str, behaviour(version).version)))
    args: dict[str, Any] = {}
    for one in options:
        name, equals, text = one.partition("=")
        name = name.lstrip("-").replace("-", "_")
        if name.startswith("no_") and not equals and catalogue.option_spans(name[3:]):
            args[name[3:]] = False
        else:
            args[name] = _value(name, text, release) if equals else True
    return args


def refuse_what_vllm_refuses(args: Mapping[str, Any], version: str | None) -> None:
    """Refuses arguments that vLLM's parser refuses, because such a launch uses no memory. Raises UsageError."""
    unknown = [name for name in args if not catalogue.option_spans(name)]
    release = release_of(version).version if version else None
    issues = [f for f in check_args(args, release) if f.fatal and f.argument not in {*RESERVED, *unknown}]
    texts = [f.summary + (f": {f.help}" if f.help else "") for f in issues]
    for name in unknown:
        close = nearest(name, catalogue.option_names())
        texts.append(f"no release of vLLM has {name}" + (f"; did you mean {close}?" if close else ""))
    if texts:
        raise UsageError("; ".join(texts))


def refuse_more_gpus(args: Mapping[str, Any], number: int) -> None:
    """One GPU in `--gpu` stands for as many as the launch needs; a larger number is the total. Raises
    UsageError.
    """
    tensor, stages = args.get("tensor_parallel_size") or 1, args.get("pipeline_parallel_size") or 1
    if 1 < number < tensor * stages:
        raise UsageError(f"{tensor * stages} GPUs are needed for one copy of the model, but --gpu has x{number}")


def read_gpu(text: str | None) -> tuple[Gpu | None, int]:
    """The GPU, and its number. Raises UsageError."""
    if text is None:
        return None, 1
    try:
        return parse_gpu(text)
    except ValueError as cause:
        raise UsageError(f"--gpu {text}: {cause}") from None


def read_environ(options: Sequence[str]) -> dict[str, str]:
    """NAME=VALUE. Raises UsageError."""
    return _pairs(options, lambda one: f"--environ {one}: expected NAME=VALUE")


def by_model(options: Sequence[str], option: str) -> dict[str, str]:
    """MODEL=FILE. Raises UsageError."""
    return _pairs(options, lambda one: f"{option} {one}: with a stack, expected MODEL=FILE")


def _pairs(options: Sequence[str], refusal: Callable[[str], str]) -> dict[str, str]:
    for one in options:
        if "=" not in one:
            raise UsageError(refusal(one))
    return dict(one.split("=", 1) for one in options)


def _value(name: str, text: str, release: Release) -> Any:
    """A value that no known option's rule can read is JSON or text; an unknown option is reported later."""
    if not catalogue.option_spans(name):
        return _json_or_text(text)
    option = release.option(name) or catalogue.newest_option(name)
    if option.kind in SWITCHES:
        if text.lower() not in {"true", "false", "1", "0"}:
            raise UsageError(f"--arg {name}={text}: expected true or false")
        return text.lower() in {"true", "1"}
    if takes_several(option):
        value = _json_or_text(text)
        return value if isinstance(value, list) else [value]
    try:
        return read_word(option, text, release)
    except (ValueError, TypeError) as cause:
        raise UsageError(f"--arg {name}={text}: {cause}") from None


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
