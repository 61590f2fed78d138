"""The places of all values in a stack's text, from tree-sitter: the standard library's parsers do not report them."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node

Loc = tuple[str | int, ...]
"""Keys and list indices from the document's root, as pydantic reports them."""
Place = tuple[Loc, "Node", "Node"]
"""A value's loc, the node of its key and its own node."""


def places_in(path: str, text: str) -> Iterator[Place]:
    """From a TOML text, or from JSON if the path ends so. A parser has read the text before."""
    walk = _json_places if path.endswith(".json") else _toml_places
    return walk(_syntax_tree(path, text))


def toml_pairs(path: str, text: str) -> Iterator[tuple[Loc, Node]]:
    """Every `key = value` of a TOML text with the loc of its value."""
    whole: dict[int, tuple[Loc, Node]] = {}  # the loc of a dotted key's last part comes last
    for loc, key, _ in _toml_places(_syntax_tree(path, text)):
        if key.parent is not None and key.parent.type == "pair":
            whole[key.parent.id] = loc, key.parent
    yield from whole.values()


def toml_tables(path: str, text: str) -> Iterator[tuple[Loc, Node]]:
    """Every table of a TOML text with its own header."""
    for loc, header, _ in _toml_places(_syntax_tree(path, text)):
        table = header.parent
        names = [step for step in loc if isinstance(step, str)]
        if table is not None and table.type in {"table", "table_array_element"} and names == _toml_keys(header):
            yield loc, table


def _syntax_tree(path: str, text: str) -> Node:
    from tree_sitter import Language, Parser

    if path.endswith(".json"):
        import tree_sitter_json

        language = tree_sitter_json.language()
    else:
        import tree_sitter_toml

        language = tree_sitter_toml.language()
    return Parser(Language(language)).parse(text.encode()).root_node


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
    implied: list[Place] = []  # tables that only an inner table's header names: their own header comes first
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
    """A header names arrays of tables by key only: insert the index of their latest element."""
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
