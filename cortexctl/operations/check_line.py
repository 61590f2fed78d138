"""Checks any `vllm serve` command line against a vLLM release. The verdict contains no text that may be a secret."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cortexctl.engines.base import Verdict
from cortexctl.engines.vllm.command.reserved_words import reserved_secret
from cortexctl.engines.vllm.command.verdict import judge
from cortexctl.errors import UsageError
from cortexctl.instance.secret import hidden, masked, may_be_secret
from cortexctl.stack.document import SECRET_NAME


def check_lines(lines: Iterable[str], version: str) -> Iterator[Verdict]:
    """Yields the verdict of each line before the next is read, also of an unreadable one. Raises UsageError if there is
    no line, because no output must not mean "all are accepted".
    """
    is_empty = True
    for line in lines:
        is_empty = False
        try:
            yield check_line(line, version)
        except UsageError as cause:
            yield Verdict(version, "value", (hidden(str(cause)),))
    if is_empty:
        raise UsageError("stdin has no line, so nothing was checked")


def check_line(line: str, version: str) -> Verdict:
    """Raises UsageError for a line that cannot be read."""
    try:
        argv = shlex.split(line)
    except ValueError as cause:
        raise UsageError(f"it is not a shell line: {cause}") from None
    try:
        verdict = judge(argv, version, _config_files(argv))
        values = {name: "***" if SECRET_NAME.search(name) else _plain(v) for name, v in verdict.values.items()}
    except RecursionError:
        raise UsageError("a value is nested too deep to be read") from None
    secrets = _secrets_in(argv)
    refused, unclear = (
        tuple(hidden(masked(text, secrets)) for text in texts) for texts in (verdict.refused, verdict.unclear)
    )
    return replace(verdict, values=values, refused=refused, unclear=unclear)


def _secrets_in(argv: Sequence[str]) -> set[str]:
    """The values of options with a secret, in any spelling, and tokens; vLLM writes dashes for underscores in a word
    that it takes for an option.
    """
    tokens = {part for word in argv for part in re.split(r"[=\s]", word) if may_be_secret(part)}
    secrets = tokens | {token.replace("_", "-") for token in tokens}
    for word, following in zip(argv, [*argv[1:], ""], strict=False):
        if reserved_secret(word):
            _, *own = re.split(r"[=\s]", word, maxsplit=1)
            secrets.add(own[0].strip() if own else following)
    return secrets - {""}


def _plain(value: Any) -> Any:
    """The value in JSON's types: literals of early releases and YAML have more (sets, dates, infinity)."""
    match value:
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case float() if not math.isfinite(value):
            return str(value)
        case None | str() | int() | float():
            return value
        case _:
            return str(value)


def _config_files(argv: Sequence[str]) -> dict[str, Any]:
    """The content of the files that `--config` names, as far as they can be read here."""
    from cortexctl.engines.vllm.command.config_file import file_names

    files = {}
    for name in file_names(argv):
        import yaml

        try:
            files[name] = yaml.safe_load(Path(name).read_text(encoding="utf-8"))
        except yaml.YAMLError as cause:
            raise UsageError(f"{name} is not YAML: {' '.join(str(cause).split())}") from None
        except (OSError, UnicodeDecodeError):
            continue
    return files
