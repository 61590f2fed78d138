"""Changes to a stack's text that leave everything else as it stands: comments, order, spelling."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cortexctl.stack.document import Document, parse_document
from cortexctl.stack.places import Loc, toml_pairs
from cortexctl.text.toml_text import toml_key, toml_value

if TYPE_CHECKING:
    from tree_sitter import Node


@dataclass(frozen=True, slots=True)
class Edit:
    """What stands in the place of the key and value at `loc`, which is where they are written: `pairs` by key or dotted
    key, in the same table. Without pairs they go.
    """

    loc: Loc
    pairs: Mapping[str, Any]


def edited(document: Document, edits: Sequence[Edit]) -> str:
    """The new text. Raises UnreadableDocument where it would be no document, and KeyError for a loc that is nowhere."""
    text = _json(document.text, edits) if document.path.endswith(".json") else _toml(document, edits)
    parse_document(document.path, text)
    return text


def _toml(document: Document, edits: Sequence[Edit]) -> str:
    pairs = dict(toml_pairs(document.path, document.text))
    text = document.text.encode()
    for edit in sorted(edits, key=lambda e: pairs[e.loc].start_byte, reverse=True):
        start, end, new = _replacement(pairs[edit.loc], edit.pairs, text)
        text = text[:start] + new.encode() + text[end:]
    return text.decode()


def _replacement(pair: Node, pairs: Mapping[str, Any], text: bytes) -> tuple[int, int, str]:
    """(from byte, to byte, what comes there)."""
    start, end = pair.start_byte, _parts(pair)[1].end_byte
    inline = pair.parent is not None and pair.parent.type == "inline_table"
    key = _parts(pair)[0]
    above = text[start : key.end_byte].decode().rpartition(".")[0] if key.type == "dotted_key" else ""
    written = [f"{above + '.' if above else ''}{_dotted(name)} = {toml_value(value)}" for name, value in pairs.items()]
    if written:
        indent = text[text.rfind(b"\n", 0, start) + 1 : start].decode()
        return start, end, (", " if inline else f"\n{indent if indent.isspace() else ''}").join(written)
    if inline:
        return *_with_comma(pair, text), ""
    line_end = text.find(b"\n", end)
    return text.rfind(b"\n", 0, start) + 1, len(text) if line_end < 0 else line_end + 1, ""


def _parts(pair: Node) -> list[Node]:
    """Key and value. A comment at the end of the line belongs to the pair, for tree-sitter."""
    return [child for child in pair.named_children if child.type != "comment"]


def _with_comma(pair: Node, text: bytes) -> tuple[int, int]:
    """The pair and the comma behind it, else the one before."""
    start, end = pair.start_byte, _parts(pair)[1].end_byte
    after = text[end:].lstrip()
    if after.startswith(b","):
        end = len(text) - len(after) + 1
        return start, end + len(text[end:]) - len(text[end:].lstrip(b" "))
    before = text[:start].rstrip()
    return (len(before) - 1 if before.endswith(b",") else start), end


def _dotted(name: str) -> str:
    return ".".join(toml_key(part) for part in name.split("."))


def _json(text: str, edits: Sequence[Edit]) -> str:
    """JSON has no comments to keep: the values are changed and laid out anew."""
    data = json.loads(text)
    for edit in edits:
        *above, last = edit.loc
        table = data
        for step in above:
            table = table[step]
        kept = list(table.items())
        table.clear()
        for key, value in kept:
            if key != last:
                table.setdefault(key, value)
                continue
            for name, new in edit.pairs.items():
                _put(table, name.split("."), new)
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def _put(table: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for step in path[:-1]:
        table = table.setdefault(step, {})
    table[path[-1]] = value
