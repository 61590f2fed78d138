"""The digest by which cached results know their inputs, and cached files their content."""

from __future__ import annotations

try:
    from _blake2 import blake2b  # as in hashlib, which also loads OpenSSL: nothing else of a cached plan needs that
except ImportError:  # another build of Python
    from hashlib import blake2b


def digest(content: bytes) -> str:
    """64 hexadecimal digits: no two contents are known that have the same."""
    return blake2b(content, digest_size=32).hexdigest()
