"""Fingerprints of secrets: enough to see that a value changed, too dear to guess the value from."""

from __future__ import annotations

import hashlib
import re

_TOKEN = re.compile(r"^(hf_|sk-|gh[pousr]_|github_pat_|glpat-|xox[abp]-|AKIA|eyJ)|://[^/@\s]*@")
"""What tokens of known services begin with, and a URL with who is asking in it."""


def looks_like_one(value: str) -> bool:
    """Whether a value tells by itself that it is a secret, whatever it is called."""
    return _TOKEN.search(value) is not None


def fingerprint(stack: str, name: str, value: str) -> str:
    """16 hex digits, keyed by stack and name so that equal secrets do not show as equal elsewhere.

    scrypt (RFC 7914) rather than a bare HMAC: a plan may be read by many, and a short token must not be found
    by trying. The cost, about 10 ms and 4 MiB, is paid once per secret and run.
    """
    salt = f"cortexctl/1/{stack}/{name}".encode()
    return hashlib.scrypt(value.encode(), salt=salt, n=4096, r=8, p=1, dklen=8).hex()
