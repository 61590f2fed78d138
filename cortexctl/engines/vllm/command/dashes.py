"""The dashes of word processors and web pages, which are no minus."""

from __future__ import annotations

DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"
TO_MINUS = dict.fromkeys(map(ord, DASHES), "-")
"""For `str.translate`."""
