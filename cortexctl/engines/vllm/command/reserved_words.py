"""Raw arguments that set reserved options, in any spelling."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cortexctl.engines.vllm.catalogue import catalogue
from cortexctl.engines.vllm.command.dashes import TO_MINUS
from cortexctl.engines.vllm.command.reserved import RESERVED

_END = re.compile(r"[=\s]")
"""The end of an option whose value is in the same word."""
_SECRETS = ("--api-key", "--hf-token")
"""Options whose values are secrets."""


def without_reserved(argv: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """The arguments without the reserved ones, which would change how the others are read; and for each of those its
    name and the problem. A short form of an option with a secret counts as reserved, even if it is short for other
    options too.
    """
    allowed: list[str] = []
    reserved: list[tuple[str, str]] = []
    skips = False
    for word in argv:
        name, flag = _name_in(word), _END.split(word, maxsplit=1)[0]
        if name in RESERVED:
            reserved.append((name, f"{flag} is set by cortexctl"))
            skips = not _END.search(word)
        elif secret := reserved_secret(word):
            reserved.append((secret, f"{flag} can mean --{secret.replace('_', '-')}, which is set by cortexctl"))
            skips = not _END.search(word)
        elif skips and not word.startswith("-"):
            continue
        else:
            allowed.append(word)
            skips = False
    return allowed, reserved


def reserved_secret(word: str) -> str:
    """The option with a secret value that an argument sets, in any spelling that a release accepts: with underscores, a
    value behind "=", a key behind a dot, or shortened as far as it begins like one. Empty for every other argument.
    """
    flag = re.split(r"[=.\s]", word, maxsplit=1)[0].translate(TO_MINUS).replace("_", "-").lower()
    if flag.startswith("-") and "--" + flag.lstrip("-") in _SECRETS:
        return flag.lstrip("-").replace("-", "_")
    if len(flag) <= len("--") or not flag.startswith("--") or catalogue.option_spans(flag[2:].replace("-", "_")):
        return next((secret[2:].replace("-", "_") for secret in _SECRETS if secret == flag), "")
    return next((secret[2:].replace("-", "_") for secret in _SECRETS if secret.startswith(flag)), "")


def _name_in(word: str) -> str:
    """The option that an argument seems to set."""
    flag = re.split(r"[=.\s]", word, maxsplit=1)[0]
    return flag[2:].replace("-", "_") if flag.startswith("--") else ""
