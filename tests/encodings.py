"""The forms in which a program may write a secret."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable
from urllib.parse import quote, quote_plus

ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "json": lambda s: json.dumps({"a": s}),
    "json with its letters": lambda s: json.dumps([s], ensure_ascii=False),
    "json of Go": lambda s: json.dumps(s).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"),
    "json of PHP": lambda s: json.dumps(s).replace("/", "\\/"),
    "json in json": lambda s: json.dumps(json.dumps({"a": s})),
    "repr": repr,
    "repr in a dict": lambda s: repr({"a": s}),
    "repr with both quotes": lambda s: repr(f'it\'s {s} "here"'),
    "ascii": ascii,
    "bytes": lambda s: repr(s.encode()),
    "url": quote,
    "url whole": lambda s: quote(s, safe=""),
    "url small": lambda s: re.sub("%..", lambda m: m[0].lower(), quote(s, safe="")),
    "form": quote_plus,
    "html": html.escape,
    "html with its quotes": lambda s: html.escape(s, quote=False),
    "hex": lambda s: s.encode().hex(),
    "HEX": lambda s: s.encode().hex().upper(),
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64 in a URL": lambda s: base64.urlsafe_b64encode(s.encode()).decode(),
    "base64 without its end": lambda s: base64.b64encode(s.encode()).decode().rstrip("="),
    "base64 of json": lambda s: base64.b64encode(json.dumps({"a": s}).encode()).decode(),
}


def leaks(text: str, shown: str, least: int = 8) -> str:
    """A piece of the text that is still there; empty when none is."""
    pieces = (text[at : at + least] for at in range(len(text) - least + 1))
    return next((piece for piece in pieces if piece in shown), "")
