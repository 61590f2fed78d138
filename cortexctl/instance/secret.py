"""Secrets in texts: hides their values in every common encoding."""

from __future__ import annotations

import base64
import functools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, quote_plus

from cortexctl.dataclass import dataclass
from cortexctl.instance.secret_shape import may_be_secret, without_tokens

__all__ = ["SHORTEST", "hidden", "masked", "may_be_secret"]

SHORTEST = 4
"""Minimum length of a value that is hidden in texts; hiding shorter ones would only garble them."""
EDGE = 12
"""Length of the piece by which a form that is cut at the end of a line is recognised, there and on the next line."""


def masked(text: str, values: Iterable[str]) -> str:
    """The text without the values: each as a whole, line by line, and in the encodings in which programs write text.
    The time grows with the length of the text and the number of values, and with nothing else.
    """
    encodings = _forms_of(frozenset(values))
    for encoding in encodings.whole:
        if encoding in text:
            text = text.replace(encoding, "***")
    if not encodings.together:
        return text
    return "\n".join(_without_edges(line, encodings) for line in text.split("\n"))


@dataclass(frozen=True, slots=True)
class _Forms:
    """`whole`: longest first, because one may contain another. The long ones, by their first and last characters: those
    are recognised if they are cut at the end of a line. `together`: all long ones in one text.
    """

    whole: tuple[str, ...]
    heads: Mapping[str, tuple[str, ...]]
    tails: Mapping[str, tuple[str, ...]]
    together: str


@functools.lru_cache(maxsize=32)
def _forms_of(values: frozenset[str]) -> _Forms:
    written = {encoding for value in values for part in _parts(value) for encoding in _encoded(part)}
    encodings = written | {encoding for text in written for encoding in _with_lost_letters(text)}
    whole = tuple(sorted((e for e in encodings if len(e) >= SHORTEST), key=lambda e: (-len(e), e)))
    long = [encoding for encoding in whole if len(encoding) >= 2 * EDGE]
    heads = {head: tuple(f for f in long if f.startswith(head)) for head in {f[:EDGE] for f in long}}
    tails = {tail: tuple(f for f in long if f.endswith(tail)) for tail in {f[-EDGE:] for f in long}}
    return _Forms(whole, heads, tails, "\n".join(long))


def _parts(value: str) -> set[str]:
    """A text may be split into lines, and may lose its surrounding blanks."""
    whole = {value, value.strip(), *value.splitlines(), *(line.strip() for line in value.splitlines())}
    return {part for part in whole if len(part) >= SHORTEST}


def _encoded(part: str) -> Iterator[str]:
    """One text unchanged, and in the forms of logs, URLs, HTML pages, JSON and headers."""
    import html

    yield part
    in_json = [json.dumps(part, ensure_ascii=ascii_only)[1:-1] for ascii_only in (False, True)]
    for text in in_json:
        go = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
        yield from (
            text,
            text.replace("/", "\\/"),
            go,
            json.dumps(text)[1:-1],
            json.dumps(text, ensure_ascii=False)[1:-1],
        )
    yield from _as_python(part)
    for safe in ("", "/", "/:@!$&'()*+,;=~"):
        in_url = quote(part, safe=safe)
        yield from (in_url, re.sub(r"%[0-9A-F]{2}", lambda m: m[0].lower(), in_url))
    yield from (quote_plus(part), re.sub(r"%[0-9A-F]{2}", lambda m: m[0].lower(), quote_plus(part)))
    in_page = html.escape(part, quote=False)
    yield from (in_page, html.escape(part), html.escape(part).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"))
    yield in_page.replace('"', "&quot;")
    yield part.replace("'", "'\"'\"'")
    yield part.replace("'", "'\\''")
    for text in {part, *in_json}:
        raw = text.encode("utf-8", "surrogatepass")
        yield from (raw.hex(), raw.hex().upper())
        yield from _in_base64(raw)


def _as_python(part: str) -> Iterator[str]:
    """Inside quotes of either kind: the surrounding text decides which."""
    for text in (
        repr(f'"{part}')[2:-1],
        ascii(f'"{part}')[2:-1],
        repr(f'"{part}'.encode("utf-8", "surrogatepass"))[3:-1],
    ):
        plain = text.replace("\\'", "'")
        yield from (plain, plain.replace("'", "\\'"), plain.replace('"', '\\"'))


def _with_lost_letters(text: str) -> Iterator[str]:
    """The results of a log writer or reader that does not support these characters."""
    if not text.isascii():
        yield text.encode("ascii", "replace").decode()
        yield text.encode("ascii", "xmlcharrefreplace").decode()
        yield text.encode("utf-8", "surrogatepass").decode("ascii", "replace")


def _in_base64(raw: bytes) -> Iterator[str]:
    """Both alphabets, and each of the three possible offsets in a longer text, without the characters at the ends that
    depend on the neighbouring bytes.
    """
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(raw).decode()
        for before in range(3):
            shifted = encode(bytes(before) + raw).decode()
            first, last = -(-before * 8 // 6), (before + len(raw)) * 8 // 6
            yield shifted[first:last]


def _without_edges(line: str, encodings: _Forms) -> str:
    """A line at whose end a form begins that continues on the next line, or at whose start a form ends."""
    bare = line.strip()
    if len(bare) >= EDGE and bare in encodings.together:
        return line.replace(bare, "***")
    for head, starting in encodings.heads.items():
        at = line.find(head, max(len(line) - len(starting[0]), 0))
        while at >= 0:
            if any(encoding.startswith(line[at:].rstrip()) for encoding in starting):
                line = line[:at] + "***"
                break
            at = line.find(head, at + 1)
    for tail, ended in encodings.tails.items():
        start = len(line) - len(line.lstrip())
        at = line.rfind(tail, start, start + len(ended[0]))
        while at >= 0:
            if any(encoding.endswith(line[start : at + EDGE]) for encoding in ended):
                line = line[:start] + "***" + line[at + EDGE :]
                break
            at = line.rfind(tail, start, at + EDGE - 1)
    return line


_WORD = re.compile(r"[^\s'\"`,;()\[\]{}=]+")


def hidden(text: str, values: Iterable[str] = ()) -> str:
    """Masked, and without tokens that have the shape of a secret."""
    shown = without_tokens(masked(text, values))
    return _WORD.sub(lambda m: "***" if may_be_secret(m[0]) else m[0], shown)
