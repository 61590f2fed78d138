"""A stack file as text, values and places. The standard library's parsers give the values. tree-sitter gives the
places, and runs only when a place is needed.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import field, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from cortexctl.dataclass import dataclass
from cortexctl.diagnostics import Diagnostic, SourceSpan, error
from cortexctl.files.checkout import leads_out
from cortexctl.files.reading import NotRead, read_text
from cortexctl.instance.secret_shape import may_be_secret
from cortexctl.stack.places import Loc, places_in
from cortexctl.stack.suspicion import SECRET_WORD, belongs_to_a_secret, why_secret

if TYPE_CHECKING:
    from tree_sitter import Node

Origins = dict[Loc, Loc]
"""Loc of a value -> the loc that it, with everything below it, had before an overlay moved it."""

SECRET_NAME = re.compile(r"(?i)(?:^|_|api)key$|(?:^|_)token$|passwo?r?d|secret_|_secret$|access_?key|credential|^pin$")
"""Keys whose values are treated as secrets: never shown in a snippet, never allowed in a label."""
URL_WITH_PASSWORD = re.compile(r"://[^/@\s:]+:[^/@\s]+@")
CONTINUATION, REMOVED = 0x80, 0xFF
"""The top bits of a UTF-8 continuation byte, and a byte that no UTF-8 text contains."""
DEEPEST = 64
"""The deepest nesting of tables and lists. No stack comes near it, and much deeper nesting crashes Python itself."""
LARGEST_NUMBER = 2**63 - 1
"""TOML's own limit. A larger number could be written into a label, but not be read from it."""
HALF = "half of a surrogate pair (\\uD800 to \\uDFFF alone), which is not a character"
_LONG_KEY = re.compile(r"""^[ \t\[]*[\w"'-]+(?:[ \t]*\.[ \t]*[\w"'-]+){64}""", re.MULTILINE)
"""A dotted key with this many parts, which takes a parser long before it is recognised as too deep."""


class UnreadableDocument(Exception):
    """The text cannot be parsed into values, so nothing else in it is checked."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.summary)
        self.diagnostic = diagnostic


@dataclass(frozen=True)
class Document:
    """`path` is as the user wrote it: diagnostics show it.

    `data` holds the values to read: the file's own values, or those after overlays were applied. Then `origins` maps
    each moved value to its place in the file, latest first. `is_shown`: whether lines of the text may be shown.
    """

    path: str
    text: str
    data: dict[str, Any] = field(repr=False)
    written: dict[str, Any] = field(repr=False, default_factory=dict)
    origins: tuple[Origins, ...] = ()
    is_shown: bool = True

    def moved(self, data: dict[str, Any], origins: Origins) -> Document:
        """The same text with other data; `origins` maps a loc in it to one in this document's data."""
        return replace(self, data=data, origins=(origins, *self.origins) if origins else self.origins)

    def place(self, loc: Loc, *, key: bool = False) -> SourceSpan | None:
        """The place of the value at `loc` (or of its key); without one, that of its nearest parent that has one."""
        loc = self.written_at(loc)
        while loc:
            spans = self._places.get(loc)
            if spans:
                return spans[0] if key else spans[1]
            loc, key = loc[:-1], True
        return None

    def written_at(self, loc: Loc) -> Loc:
        """The loc in the file where the value at `loc` is written: in a profile or an environment, for example."""
        for origins in self.origins:
            loc = _original_loc(loc, origins)
        return loc

    def as_written(self) -> Document:
        """The file's own values, before overlays, profiles and variables were applied."""
        return replace(self, data=self.written or self.data, origins=())

    def has(self, loc: Loc) -> bool:
        """Whether the document has a value at `loc`."""
        value: Any = self.data
        for step in loc:
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                return False
        return True

    def is_hidden(self, loc: Loc) -> bool:
        """Whether the value at `loc` must not be shown: it is, or may be, an unprotected secret."""
        return is_secret(self.written or self.data, self.written_at(loc))

    @cached_property
    def _places(self) -> dict[Loc, tuple[SourceSpan, SourceSpan]]:
        """loc -> (span of the key, span of the value), in lines with asterisks in place of unprotected secrets."""
        nodes = list(places_in(self.path, self.text))
        written = self.written or self.data
        raw = self.text.split("\n")
        hidden = [value for loc, _, value in nodes if is_secret(written, loc)]
        lines = _with_stars(self.text, hidden) if self.is_shown else [""] * len(raw)
        places: dict[Loc, tuple[SourceSpan, SourceSpan]] = {}
        for loc, key, value in nodes:
            places.setdefault(loc, (_span(self.path, raw, lines, key), _span(self.path, raw, lines, value)))
        return places


def read_document(path: str, *, inside: bool = False) -> Document:
    """Reads and parses a `.toml` or `.json` file. `inside`: it must not be a link out of its checkout. Without `inside`
    such a link is followed, but no line of the file is shown. Raises UnreadableDocument.
    """
    try:
        text = read_text(path, inside=inside)
    except NotRead as cause:
        raise UnreadableDocument(error("CX101", str(cause), help=cause.advice)) from None
    return parse_document(path, text)


def parse_document(path: str, text: str) -> Document:
    """Raises UnreadableDocument with the place of the syntax error."""
    text = text.removeprefix("\ufeff")
    is_shown = not leads_out(path)
    try:
        return Document(path, text, data := _values(path, text), data, is_shown=is_shown)
    except UnreadableDocument:
        if is_shown:
            raise
    raise not_shown(path, "TOML or JSON")


def not_shown(path: str, what: str) -> UnreadableDocument:
    """The only diagnostic about a file behind a link: it may be anybody's."""
    return UnreadableDocument(
        error(
            "CX101",
            f"{path} is a link that leads out of its checkout, to a file that is not a valid {what}",
            help="nothing of that file is shown; pass the file itself to see its errors",
        )
    )


@lru_cache(maxsize=1)
def _values(path: str, text: str) -> dict[str, Any]:
    """Cached for `validate`, which reads a file for the names of its environments and then for each of them."""
    if not text.strip():
        raise UnreadableDocument(
            error("CX101", f"{path} is empty", help="an empty stack is rejected; it never means: remove everything")
        )
    too_deep = UnreadableDocument(error("CX101", f"{path} is nested too deeply to be a stack"))
    if _LONG_KEY.search(text):
        raise too_deep
    try:
        _check_halves(text)
        data = json.loads(text, object_pairs_hook=_no_duplicates) if path.endswith(".json") else tomllib.loads(text)
        _check_halves(json.dumps(data, ensure_ascii=False, default=str))
    except tomllib.TOMLDecodeError as cause:
        from cortexctl.stack.syntax_errors import toml_error

        raise UnreadableDocument(toml_error(path, text, str(cause))) from None
    except json.JSONDecodeError as cause:
        from cortexctl.stack.syntax_errors import json_error

        raise UnreadableDocument(json_error(path, text, cause)) from None
    except RecursionError:
        raise too_deep from None
    except UnicodeEncodeError:
        raise UnreadableDocument(error("CX101", f"{path} contains {HALF}")) from None
    except _DuplicateKey as cause:
        raise UnreadableDocument(error("CX101", f'the key "{cause}" is twice in one JSON object of {path}')) from None
    except ValueError:
        raise UnreadableDocument(error("CX101", f"{path} contains a whole number of more than 64 bits")) from None
    if "\0" in text or "\\u0000" in text or "\\x00" in text:
        raise UnreadableDocument(error("CX101", f"{path} contains a NUL character, which no name or path can contain"))
    if not isinstance(data, dict):
        raise UnreadableDocument(error("CX101", f"{path} is not a table", help="a stack file is one object"))
    return data


def fit(document: Document) -> Document:
    """The same document. Raises UnreadableDocument for a valid file whose values no stack can contain."""
    problem, loc = _beyond_a_stack(document.data)
    if problem and not document.is_shown:
        raise not_shown(document.path, "stack")
    if problem:
        subject = f"{document.path}: {'.'.join(str(step) for step in loc)}" if loc else document.path
        raise UnreadableDocument(error("CX101", f"{subject} {problem}", document.place(loc)))
    return document


def _check_halves(text: str) -> None:
    """Raises UnicodeEncodeError."""
    text.encode()


def unfit(value: Any) -> str:
    """Why no stack can contain a value of a JSON or TOML document; empty if it can."""
    problem, _ = _beyond_a_stack(value)
    if problem:
        return problem
    try:
        _check_halves(json.dumps(value, ensure_ascii=False, default=str))
    except UnicodeEncodeError:
        return f"contains {HALF}"
    return ""


def _beyond_a_stack(value: Any) -> tuple[str, Loc]:
    """The first value that is too deep or too large, and its place; both empty if there is none."""
    for loc, inner in _values_in(value):
        if len(loc) > DEEPEST or (len(loc) == DEEPEST and inner and isinstance(inner, dict | list)):
            return "is nested too deeply to be a stack", ()
        if type(inner) is int and abs(inner) > LARGEST_NUMBER:
            return "is a whole number of more than 64 bits", loc
    return "", ()


def _values_in(data: Any) -> Iterator[tuple[Loc, Any]]:
    """All values but texts, with their places, without recursion; none far below the maximum depth."""
    waiting: list[tuple[Loc, Any]] = [((), data)]
    while waiting:
        loc, value = waiting.pop()
        yield loc, value
        if isinstance(value, dict):
            waiting += [((*loc, key), inner) for key, inner in value.items() if not isinstance(inner, str)]
        elif isinstance(value, list):
            waiting += [((*loc, index), inner) for index, inner in enumerate(value) if not isinstance(inner, str)]


def _original_loc(loc: Loc, origins: Origins) -> Loc:
    """The original place of `loc`: its longest moved prefix decides."""
    for length in range(len(loc), 0, -1):
        origin = origins.get(loc[:length])
        if origin is not None:
            return (*origin, *loc[length:])
    return loc


class _DuplicateKey(Exception):
    pass


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for key, value in pairs:
        if key in table:
            raise _DuplicateKey(key)
        table[key] = value
    return table


def _span(path: str, raw: list[str], shown: list[str], node: Node) -> SourceSpan:
    """tree-sitter counts lines from 0 and columns in bytes; a span over several lines ends with the first."""
    row, start = node.start_point
    encoded = raw[row].rstrip("\r").encode()
    end = node.end_point[1] if node.end_point[0] == row else len(encoded)
    column = len(encoded[:start].decode(errors="ignore")) + 1
    end_column = len(encoded[:end].decode(errors="ignore")) + 1
    return SourceSpan(path, row + 1, column, max(end_column, column + 1), shown[row].rstrip("\r"))


def _with_stars(text: str, hidden: list[Node]) -> list[str]:
    """The lines of the text with asterisks in place of hidden values; every other character keeps its position."""
    encoded = bytearray(text.encode())
    for node in hidden:
        for index in range(node.start_byte, node.end_byte):
            byte = encoded[index]
            if byte & 0xC0 == CONTINUATION:
                encoded[index] = REMOVED
            elif byte not in b"\r\n":
                encoded[index] = ord("*")
    return encoded.replace(bytes([REMOVED]), b"").decode(errors="replace").split("\n")


def is_secret(data: Any, loc: Loc) -> bool:
    """Judged by its place: below a key named like a secret, in a model's `secrets` unless it is a valid reference, the
    default of a secret variable, or an item of `extra_args` that contains a key.
    """
    value: Any = data
    for depth, step in enumerate(loc):
        if _is_secret_step(value, loc[: depth + 1]):
            return True
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return False
    return False


def _item(table: Any, step: Any) -> Any:
    try:
        return table[step]
    except (KeyError, IndexError, TypeError):
        return None


def _is_secret_step(table: Any, loc: Loc) -> bool:
    """Whether the value at `loc`, whose table or list is `table`, is one whole secret."""
    step = loc[-1]
    value = table.get(step) if isinstance(table, dict) else None
    if loc[:1] == ("not_secret",):
        return False  # paths
    if why_secret(loc, table, _item(table, step)):
        return True
    if len(loc) >= 2 and loc[-2] == "extra_args" and isinstance(table, list) and isinstance(step, int):
        before = str(table[step - 1]) if step else ""
        return belongs_to_a_secret(table, step) or any(
            SECRET_WORD.search(word) for word in (str(table[step]), before) if word.startswith("--")
        )
    if loc[-4:-3] == ("hooks",) and loc[-2] == "secrets":  # names, unless somebody wrote a value there
        name = table[step] if isinstance(table, list) and isinstance(step, int) else None
        return not (isinstance(name, str) and re.fullmatch(r"[A-Za-z_]\w*", name)) or may_be_secret(name)
    if loc[-4:-3] == ("hooks",) and loc[-2] == "command" and isinstance(table, list) and isinstance(step, int):
        word = str(table[step])
        return may_be_secret(word) or bool(URL_WITH_PASSWORD.search(word))
    if loc[-3:-2] == ("secrets",) and len(loc) >= 5:
        return step not in {"env", "file", "var"} or (
            step in {"env", "var"} and not (isinstance(value, str) and re.fullmatch(r"[A-Za-z_]\w*", value))
        )
    if loc[-2:-1] == ("secrets",) and len(loc) >= 4:
        return not isinstance(value, dict)
    if isinstance(table, dict) and table.get("secret") is True and step == "default":
        return True
    if isinstance(value, str) and URL_WITH_PASSWORD.search(value):
        return True
    return isinstance(step, str) and not isinstance(value, dict) and SECRET_NAME.search(step) is not None
