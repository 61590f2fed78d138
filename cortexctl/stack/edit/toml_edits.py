"""Edits of a TOML text on its syntax tree: each replaces the bytes of one pair, or inserts next to one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cortexctl.dataclass import dataclass
from cortexctl.stack.document import Document
from cortexctl.stack.edit.change import Addition, CannotEdit, Edit
from cortexctl.stack.places import Loc, toml_pairs, toml_tables
from cortexctl.text.toml_text import toml_key, toml_value

if TYPE_CHECKING:
    from tree_sitter import Node

Splice = tuple[int, int, str]
"""From byte, to byte, and the replacement."""


def edited_toml(document: Document, edits: Sequence[Edit | Addition]) -> str:
    """Raises CannotEdit if a loc does not belong to a pair."""
    tree = _Tree(
        document.text.encode(),
        dict(toml_pairs(document.path, document.text)),
        dict(toml_tables(document.path, document.text)),
    )
    text = tree.text
    splices = [tree.replaced(e) if isinstance(e, Edit) else tree.added(e.loc, e.pairs) for e in edits]
    for start, end, new in sorted(splices, key=lambda s: s[0], reverse=True):
        text = text[:start] + new.encode() + text[end:]
    return text.decode()


@dataclass(frozen=True, slots=True)
class _Tree:
    """`pairs` by the loc of their value, `tables` by the loc of their own header."""

    text: bytes
    pairs: Mapping[Loc, Node]
    tables: Mapping[Loc, Node]

    def replaced(self, edit: Edit) -> Splice:
        pair = self.pairs.get(edit.loc)
        if pair is None:
            raise CannotEdit(f"{'.'.join(map(str, edit.loc))} is not one key and its value; change it by hand")
        key, value = _parts(pair)
        name = str(edit.loc[-1])
        if list(edit.pairs) == [name] and "." not in name:
            return value.start_byte, value.end_byte, toml_value(edit.pairs[name])
        written = [f"{self._prefix(key, 1)}{_dotted(n)} = {toml_value(v)}" for n, v in edit.pairs.items()]
        inline = pair.parent is not None and pair.parent.type == "inline_table"
        start, end = pair.start_byte, value.end_byte
        if written:
            return start, end, (", " if inline else f"\n{self._indent(pair)}").join(written)
        if inline:
            return *_with_comma(pair, self.text), ""
        line_end = self.text.find(b"\n", end)
        return self.text.rfind(b"\n", 0, start) + 1, len(self.text) if line_end < 0 else line_end + 1, ""

    def added(self, loc: Loc, pairs: Mapping[str, Any]) -> Splice:
        """At the end of the table at `loc`, in the table's own form; a new table gets its own header."""
        if loc in self.tables:
            header, *inside = (c for c in self.tables[loc].named_children if c.type != "comment")
            return self._below(inside[-1] if inside else header, pairs)
        if loc in self.pairs and _parts(self.pairs[loc])[1].type == "inline_table":
            return _into(_parts(self.pairs[loc])[1], _inline(pairs))
        below = [(at, pair) for at, pair in self.pairs.items() if at[: len(loc)] == loc and _implies(pair, at, loc)]
        if below:
            at, pair = max(below, key=lambda item: item[1].start_byte)
            prefix = self._prefix(_parts(pair)[0], len(at) - len(loc))
            if pair.parent is not None and pair.parent.type == "inline_table":
                return _into(pair.parent, _inline(pairs, prefix))
            return self._below(pair, pairs, prefix)
        above = self.pairs.get(loc[:-1])
        if above is not None and _parts(above)[1].type == "inline_table":
            return self.added(loc[:-1], {str(loc[-1]): dict(pairs)})
        name = ".".join(toml_key(str(step)) for step in loc)
        lines = [f"[{name}]", *(f"{toml_key(key)} = {toml_value(value)}" for key, value in pairs.items()), ""]
        end = len(self.text.rstrip())
        return end, len(self.text), ("\n\n" if end else "") + "\n".join(lines)

    def _below(self, node: Node, pairs: Mapping[str, Any], prefix: str = "") -> Splice:
        """On separate lines after that of the node."""
        end = _parts(node)[1].end_byte if node.type == "pair" else node.end_byte
        line_end = self.text.find(b"\n", end)
        at = len(self.text) if line_end < 0 else line_end
        indent = self._indent(node) if node.type == "pair" else ""
        return at, at, "".join(f"\n{indent}{prefix}{toml_key(n)} = {toml_value(v)}" for n, v in pairs.items())

    def _indent(self, pair: Node) -> str:
        start = pair.start_byte
        before = self.text[self.text.rfind(b"\n", 0, start) + 1 : start].decode()
        return before if before.isspace() else ""

    def _prefix(self, key: Node, depth: int) -> str:
        """The part of a dotted key before its last `depth` parts, with the dot."""
        steps = _steps(key)[:-depth]
        return self.text[key.start_byte : steps[-1].end_byte].decode() + "." if steps else ""


def _parts(pair: Node) -> list[Node]:
    """Key and value. For tree-sitter, a comment at the end of the line belongs to the pair."""
    return [child for child in pair.named_children if child.type != "comment"]


def _steps(key: Node) -> list[Node]:
    """Dotted keys nest to the left in the grammar."""
    if key.type != "dotted_key":
        return [key]
    return [step for child in key.named_children for step in _steps(child)]


def _implies(pair: Node, at: Loc, loc: Loc) -> bool:
    """Whether the pair's own dotted key, whose value is at `at`, implies the table at `loc`."""
    return len(_steps(_parts(pair)[0])) > len(at) - len(loc)


def _inline(pairs: Mapping[str, Any], prefix: str = "") -> str:
    return ", ".join(f"{prefix}{toml_key(name)} = {toml_value(value)}" for name, value in pairs.items())


def _into(table: Node, written: str) -> Splice:
    """Before the brace that ends an inline table."""
    inside = [c for c in table.named_children if c.type == "pair"]
    if not inside:
        return table.start_byte, table.end_byte, f"{{ {written} }}"
    end = _parts(inside[-1])[1].end_byte
    return end, end, f", {written}"


def _with_comma(pair: Node, text: bytes) -> tuple[int, int]:
    """The pair and the comma after it, else the one before."""
    start, end = pair.start_byte, _parts(pair)[1].end_byte
    after = text[end:].lstrip()
    if after.startswith(b","):
        end = len(text) - len(after) + 1
        return start, end + len(text[end:]) - len(text[end:].lstrip(b" "))
    before = text[:start].rstrip()
    return (len(before) - 1 if before.endswith(b",") else start), end


def _dotted(name: str) -> str:
    return ".".join(toml_key(part) for part in name.split("."))
