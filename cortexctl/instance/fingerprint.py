"""The fingerprint of a secret: what a label and a plan have of it."""

from __future__ import annotations

import hashlib


def fingerprint(stack: str, name: str, value: str) -> str:
    """16 hex digits, keyed by stack and name so that equal secrets do not show as equal elsewhere.

    scrypt (RFC 7914) rather than a bare HMAC: many people may read a plan, and a short token must not be found by
    trying. The cost, about 10 ms and 4 MiB, is paid once per secret and run.
    """
    salt = f"cortexctl/1/{stack}/{name}".encode()
    return hashlib.scrypt(value.encode(), salt=salt, n=4096, r=8, p=1, dklen=8).hex()
