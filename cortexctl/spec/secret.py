"""Fingerprints of secrets: enough to see that a value changed, too dear to guess the value from."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

_TOKEN = re.compile(r"^(hf_|sk-|gh[pousr]_|github_pat_|glpat-|xox[abp]-|AKIA|eyJ)|://[^/@\s]*@")
"""What tokens of known services begin with, and a URL with who is asking in it."""


def looks_like_one(value: str) -> bool:
    """Whether a value tells by itself that it is a secret, whatever it is called."""
    return _TOKEN.search(value) is not None


SHORTEST = 4
"""Characters of a value that is hidden in texts; shorter ones would only garble them."""


def masked(text: str, values: Iterable[str]) -> str:
    """The text without the values: each whole, and line by line, as a text may be cut between lines. Longest first, for
    one may hold another.
    """
    parts = {part for value in values for part in (value, value.strip(), *value.splitlines()) if len(part) >= SHORTEST}
    for part in sorted(parts, key=len, reverse=True):
        text = text.replace(part, "***")
    return text


def fingerprint(stack: str, name: str, value: str) -> str:
    """16 hex digits, keyed by stack and name so that equal secrets do not show as equal elsewhere.

    scrypt (RFC 7914) rather than a bare HMAC: a plan may be read by many, and a short token must not be found
    by trying. The cost, about 10 ms and 4 MiB, is paid once per secret and run.
    """
    salt = f"cortexctl/1/{stack}/{name}".encode()
    return hashlib.scrypt(value.encode(), salt=salt, n=4096, r=8, p=1, dklen=8).hex()


_WORD = re.compile(r"[^\s'\"`,;()\[\]{}=]+")


def hidden(text: str, values: Iterable[str] = ()) -> str:
    """Masked, and without words that tell by themselves that they are secrets."""
    return _WORD.sub(lambda m: "***" if looks_like_one(m[0]) else m[0], masked(text, values))
