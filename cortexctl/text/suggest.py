"""Suggests the name that a user probably meant."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], alike: float = 0.6) -> str | None:
    """The known name that `name` is most likely a misspelling of. `alike`: how similar it must be, from 0 to 1."""
    import difflib

    close = difflib.get_close_matches(name, list(known), n=1, cutoff=alike)
    return close[0] if close else None
