"""A stack file as text, values and places. The standard library's parsers give the values; tree-sitter gives
the places, and only once somebody asks where something stands.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortexctl.diagnostics import Diagnostic, SourceSpan, error

if TYPE_CHECKING:
    from tree_sitter import Node

Loc = tuple[str | int, ...]
"""Keys and list indices from the document's root, as pydantic reports them."""
Origins = dict[Loc, Loc]
"""Loc of a value -> the loc where it, and all below it, was before an overlay moved it."""

SECRET_NAME = re.compile(r"(?i)api_?key|(?:^|_)token$|password|secret|credential")
"""Keys whose text values are taken for secrets: never shown in a snippet, never allowed into a label."""
_TOML_PLACE = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)")


class UnreadableDocument(Exception):
    """The text cannot be turned into values; nothing else about it can be said."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.summary)
        self.diagnostic = diagnostic


@dataclass(frozen=True)
class Document:
    """`path` is as the user gave it: it is what diagnostics show.

    `data` is what is to be read. It is the file's own values, or those after overlays were laid on: `origins` then
    says, latest first, where each moved value is written.
    """

    path: str
    text: str
    data: dict[str, Any] = field(repr=False)
    written: dict[str, Any] = field(repr=False, default_factory=dict)
    origins: tuple[Origins, ...] = ()

    def moved(self, data: dict[str, Any], origins: Origins) -> Document:
        """The same text with other data; `origins` leads from a loc in it to one in this document's data."""
        return replace(self, data=data, origins=(origins, *self.origins))

    def place(self, loc: Loc, *, key: bool = False) -> SourceSpan | None:
        """The place of the value at `loc` (or of its key); of its nearest parent that has one, failing that."""
        for origins in self.origins:
            loc = _back(loc, origins)
        while loc:
            found = self._places.get(loc)
            if found:
                return found[0] if key else found[1]
            loc, key = loc[:-1], True
        return None

    def has(self, loc: Loc) -> bool:
        """Whether the document has a value at `loc`."""
        value: Any = self.data
        for step in loc:
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                return False
        return True

    @cached_property
    def _lines_to_show(self) -> list[str]:
        """The text by lines, with what looks like a secret written in the open replaced by as many stars."""
        text = self.text
        for value in sorted(_open_secrets(self.written or self.data), key=len, reverse=True):
            text = text.replace(value, "*" * len(value))
        return text.split("\n")

    @cached_property
    def _places(self) -> dict[Loc, tuple[SourceSpan, SourceSpan]]:
        """loc -> (span of the key, span of the value)."""
        walk = _json_places if self.path.endswith(".json") else _toml_places
        root = _syntax_tree(self.path, self.text)
        lines = self._lines_to_show
        places: dict[Loc, tuple[SourceSpan, SourceSpan]] = {}
        for loc, key, value in walk(root):
            places.setdefault(loc, (_span(self.path, lines, key), _span(self.path, lines, value)))
        return places


def read_document(path: str) -> Document:
    """Read and parse a `.toml` or `.json` file. Raises UnreadableDocument."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        summary, advice = f"there is no file {path}", "write one with: cortexctl init"
    except IsADirectoryError:
        summary, advice = f"{path} is a folder", "name the stack file in it"
    except UnicodeDecodeError:
        summary, advice = f"{path} is not UTF-8 text", "a stack file is TOML or JSON"
    except OSError as cause:
        summary, advice = f"{path} cannot be read: {cause.strerror}", ""
    else:
        return parse_document(path, text)
    raise UnreadableDocument(error("CX101", summary, help=advice))


def parse_document(path: str, text: str) -> Document:
    """Raises UnreadableDocument with the place of the syntax error."""
    if not text.strip():
        raise UnreadableDocument(
            error("CX101", f"{path} is empty", help="an empty stack never means: remove everything")
        )
    try:
        data = json.loads(text, object_pairs_hook=_no_duplicates) if path.endswith(".json") else tomllib.loads(text)
    except tomllib.TOMLDecodeError as cause:
        raise UnreadableDocument(_toml_error(path, text, str(cause))) from None
    except json.JSONDecodeError as cause:
        span = _point(path, text, cause.lineno, cause.colno)
        raise UnreadableDocument(error("CX101", f"not valid JSON: {cause.msg}", span)) from None
    except _DuplicateKey as cause:
        raise UnreadableDocument(
            error("CX101", f'the key "{cause}" stands twice in one JSON object of {path}')
        ) from None
    if not isinstance(data, dict):
        raise UnreadableDocument(error("CX101", f"{path} holds no table", help="a stack file is one object"))
    return Document(path, text, data, data)


def _back(loc: Loc, origins: Origins) -> Loc:
    """Where `loc` was: its longest prefix that was moved leads the way."""
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


def _toml_error(path: str, text: str, message: str) -> Diagnostic:
    match = _TOML_PLACE.search(message)
    summary = f"not valid TOML: {_TOML_PLACE.sub('', message)}"
    if match and match.group(1):
        return error("CX101", summary, _point(path, text, int(match.group(1)), int(match.group(2))))
    lines = text.rstrip("\n").split("\n")
    return error("CX101", summary, _point(path, text, len(lines), len(lines[-1]) + 1))


def _syntax_tree(path: str, text: str) -> Node:
    from tree_sitter import Language, Parser

    if path.endswith(".json"):
        import tree_sitter_json

        language = tree_sitter_json.language()
    else:
        import tree_sitter_toml

        language = tree_sitter_toml.language()
    return Parser(Language(language)).parse(text.encode()).root_node


def _point(path: str, text: str, line: int, column: int) -> SourceSpan:
    lines = text.split("\n")
    return SourceSpan(path, line, column, column + 1, lines[line - 1] if line <= len(lines) else "")


def _span(path: str, lines: list[str], node: Node) -> SourceSpan:
    """tree-sitter counts lines from 0 and columns in bytes; a span of several lines ends with the first."""
    row, start = node.start_point
    line = lines[row].rstrip("\r")
    raw = line.encode()
    end = node.end_point[1] if node.end_point[0] == row else len(raw)
    column = len(raw[:start].decode(errors="ignore")) + 1
    end_column = len(raw[:end].decode(errors="ignore")) + 1
    return SourceSpan(path, row + 1, column, max(end_column, column + 1), line)


def _open_secrets(value: Any, key: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            in_secrets = key == "secrets" and isinstance(inner, str)
            yield from _open_secrets(inner, "secret" if in_secrets else name)
    elif isinstance(value, list):
        for inner in value:
            yield from _open_secrets(inner, key)
    elif isinstance(value, str) and value and SECRET_NAME.search(key):
        yield value


Place = tuple[Loc, "Node", "Node"]


def _json_places(root: Node) -> Iterator[Place]:
    for child in root.named_children:
        yield from _json_value((), child)


def _json_value(loc: Loc, node: Node) -> Iterator[Place]:
    if node.type == "object":
        for pair in (c for c in node.named_children if c.type == "pair"):
            key, value = pair.child_by_field_name("key"), pair.child_by_field_name("value")
            if key is not None and value is not None:
                inner = (*loc, json.loads(_text(key)))
                yield inner, key, value
                yield from _json_value(inner, value)
    elif node.type == "array":
        for index, item in enumerate(c for c in node.named_children if c.type != "comment"):
            yield (*loc, index), item, item
            yield from _json_value((*loc, index), item)


def _toml_places(root: Node) -> Iterator[Place]:
    counts: dict[Loc, int] = {}
    implied: list[Place] = []  # tables that only an inner one's header names: their own header comes first
    for node in root.named_children:
        if node.type == "pair":
            yield from _toml_pair((), node)
        elif node.type in {"table", "table_array_element"}:
            header = node.named_children[0]
            keys = _toml_keys(header)
            loc = _inside_arrays(tuple(keys), counts, is_element=node.type == "table_array_element")
            implied += (
                (_inside_arrays(tuple(keys[:depth]), counts, is_element=False), header, header)
                for depth in range(1, len(keys))
            )
            yield loc, header, header
            for pair in node.named_children[1:]:
                if pair.type == "pair":
                    yield from _toml_pair(loc, pair)
    yield from implied


def _inside_arrays(keys: Loc, counts: dict[Loc, int], *, is_element: bool) -> Loc:
    """A header names arrays of tables by key only: put the index of their latest element in."""
    loc: Loc = ()
    for position, key in enumerate(keys):
        loc = (*loc, key)
        if is_element and position == len(keys) - 1:
            counts[loc] = counts.get(loc, -1) + 1
        if loc in counts:
            loc = (*loc, counts[loc])
    return loc


def _toml_pair(loc: Loc, pair: Node) -> Iterator[Place]:
    key, value = [c for c in pair.named_children if c.type != "comment"][:2]
    inner = loc
    for part in _toml_keys(key):
        inner = (*inner, part)
        yield inner, key, value
    yield from _toml_value(inner, value)


def _toml_value(loc: Loc, node: Node) -> Iterator[Place]:
    if node.type == "inline_table":
        for pair in (c for c in node.named_children if c.type == "pair"):
            yield from _toml_pair(loc, pair)
    elif node.type == "array":
        for index, item in enumerate(c for c in node.named_children if c.type != "comment"):
            yield (*loc, index), item, item
            yield from _toml_value((*loc, index), item)


def _toml_keys(node: Node) -> list[str]:
    """The parts of `a."b c".d`; dotted keys nest to the left in the grammar."""
    if node.type == "dotted_key":
        return [part for child in node.named_children for part in _toml_keys(child)]
    if node.type == "quoted_key":
        return [next(iter(tomllib.loads(f"{_text(node)} = 0")))]
    return [_text(node)]


def _text(node: Node) -> str:
    return (node.text or b"").decode()
