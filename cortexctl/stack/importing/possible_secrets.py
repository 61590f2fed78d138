"""Detects possible secrets in a container that a person started: they are written into no text and no file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from cortexctl.instance.secret import may_be_secret
from cortexctl.stack.document import SECRET_NAME
from cortexctl.stack.suspicion import SECRET_WORD

_LONG_WORD = re.compile(r"(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9]{28,}")
"""Letters and digits mixed: nobody types such a word by hand."""


def is_secret_variable(name: str, value: str) -> bool:
    return _may_be_secret(name, value) or bool(_LONG_WORD.search(value))


def is_left_out(name: str, value: Any) -> bool:
    """Whether an argument may contain a secret, or a value that a file cannot express: TOML has no null."""
    return any(text is None or _may_be_secret(key, text) or not is_text(text) for key, text in _texts(name, value))


def is_text(value: str) -> bool:
    """Whether a file can contain it."""
    return "\0" not in value and not any("\ud800" <= c <= "\udfff" for c in value)


def _may_be_secret(name: str, value: str) -> bool:
    by_name = SECRET_NAME.search(name) or SECRET_WORD.search(name.replace("_", "-"))
    return bool(by_name) or may_be_secret(value)


def _texts(name: str, value: Any) -> Iterator[tuple[str, str | None]]:
    """Every text in a value, with its key; None stands for null."""
    match value:
        case None:
            yield name, None
        case str():
            yield name, value
        case Mapping():
            for key, inner in value.items():
                yield str(key), str(key)
                yield from _texts(str(key), inner)
        case list() | tuple():
            for inner in value:
                yield from _texts(name, inner)
