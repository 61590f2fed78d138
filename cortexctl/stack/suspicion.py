"""Detects unprotected secrets in a stack's values: by their form, by the name of their key, by the word before them.

Pure checks of one value and its place. `open_secrets` applies them to a whole file; `document` hides the values that
they detect.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from cortexctl.engines.vllm.command.dashes import TO_MINUS
from cortexctl.engines.vllm.command.reserved import RESERVED
from cortexctl.engines.vllm.command.reserved_words import reserved_secret
from cortexctl.instance.secret_shape import (
    assigned_secret,
    holds_secret,
    is_random,
    is_token_not_name,
    may_be_secret,
    shape_of_secret,
)
from cortexctl.stack.places import Loc

_USER = {"-u", "-U", "--user", "--proxy-user", "--proxy-header", "-p"}
"""Options of common programs that take USER:PASSWORD."""
_REFERENCES = {"secret", "secrets", "pass", "auth", "key"}
"""Options of programs that read secrets: they take the name of a secret, not its value."""

SECRET_WORD = re.compile(r"(?i)api[_-]?key|token\b|password|secret|credential|\bpin\b")
"""A word in a name that makes its value suspicious."""
_PROSE = {"description", "prompt"}
"""Texts in which people write "token: …" without a real value."""


def in_the_block(loc: Loc) -> Loc:
    """The place without the environment that contains it."""
    return loc[2:] if loc[:1] == ("env",) and len(loc) > 2 else loc


def is_variable(loc: Loc) -> bool:
    """Whether a value is one of a model's `env`."""
    return len(loc) == 4 and loc[0] in {"models", "profiles"} and loc[2] == "env"


def why_secret(loc: Loc, table: Any, value: Any) -> str:
    """Why the value at `loc` (in `table`, a table or a list) looks like a secret; empty if it does not."""
    if not isinstance(value, str):
        return ""
    loc = in_the_block(loc)
    step = loc[-1]
    if isinstance(step, int) and isinstance(table, list) and len(loc) > 1:
        return _of_word(loc, table, step, value)
    if loc[-2:-1] == ("secrets",) or (loc[-2:-1] == ("args",) and step in RESERVED):
        return ""  # refused in any case, and hidden because of its name
    if _is_reference(loc):
        return _of_reference(str(step), value)
    if loc[:1] == ("vars",):
        if isinstance(table, dict) and table.get("secret") is True:
            return ""
        named = loc[2:] == ("default",) and holds_secret(str(loc[1]), value)
        return f"its name, {loc[1]}" if named else shape_of_secret(value)
    if loc[-3:-2] == ("hooks",) and step == "url":
        return shape_of_secret(value) or _of_url(value)
    if is_variable(loc):
        return _of_variable(str(step), value)
    if "args" in loc[:-1] and holds_secret(str(step), value):
        return f"its name, {step}"
    return shape_of_secret(value) or ("" if step in _PROSE else _of_text(value))


def belongs_to_a_secret(argv: Sequence[Any], step: int) -> bool:
    """Whether an item of `extra_args` sets an option whose value is a secret, or is its value."""
    flags = (str(word) for word in reversed(argv[: step + 1]) if str(word).translate(TO_MINUS).startswith("-"))
    return bool(reserved_secret(next(flags, "")))


def _is_reference(loc: Loc) -> bool:
    """Inside a table like { env = "NAME" }, of a secret or of a hook's URL."""
    return "secrets" in loc[-3:-1] or (loc[-4:-3] == ("hooks",) and loc[-2] == "url")


def _of_reference(source: str, value: str) -> str:
    if source in {"env", "var"}:
        return "a token instead of a variable's name" if is_token_not_name(value) else ""
    return shape_of_secret(value) or (_of_text(value) if source != "file" else "")


@lru_cache(maxsize=4096)
def _of_variable(name: str, value: str) -> str:
    by_name = f"its name, {name}" if holds_secret(name, value) else ""
    return by_name or shape_of_secret(value) or ("a token" if may_be_secret(value) else "") or _of_text(value)


def _of_text(value: str) -> str:
    name = assigned_secret(value)
    return f'the text after "{name}" in it' if name else ""


def _of_url(url: str) -> str:
    """For the URL of a hook: knowing the URL may be all that its receiver requires."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    if parts.fragment:
        return "the part after its #, which is never sent"
    return "a part of its path that nobody could guess" if any(map(is_random, parts.path.split("/"))) else ""


def _of_word(loc: Loc, argv: Sequence[Any], step: int, word: str) -> str:
    kind, before = loc[-2], argv[step - 1] if step and isinstance(argv[step - 1], str) else ""
    if kind == "secrets":
        return "a token instead of a variable's name" if is_token_not_name(word) else ""
    if kind not in {"extra_args", "command"}:
        return shape_of_secret(word) or _of_text(word)
    if kind == "extra_args" and belongs_to_a_secret(argv, step):
        return ""  # CX304 refuses the option, and the value is hidden because of it
    by_form = shape_of_secret(word)
    if by_form:
        return by_form
    if kind == "command" and may_be_secret(word) and "secrets" not in loc:
        return "a token"
    flag, equals, value = word.partition("=")
    reads = kind == "command" and "secrets" in loc
    if reads and flag.lstrip("-").rpartition("-")[2] in _REFERENCES:
        return ""
    if re.fullmatch(r"--?[A-Za-z][\w.-]*", before) and "=" not in before and not word.startswith("-"):
        option = before.lstrip("-")
        named = holds_secret(option, word) and not (reads and option.rpartition("-")[2] in _REFERENCES)
        if named or (before in _USER and re.match(r"[^:/\s$]+:(?!\$|\{\{)[^/\s]", word) and kind == "command"):
            return f"the option {before} before it"
    if equals and flag.startswith("-") and holds_secret(flag.lstrip("-"), value):
        return f"the option {flag}"
    return _of_text(word)
