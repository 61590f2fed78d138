"""Formats a stack file in one style. Blanks, line ends and commas change; comments, the spelling of values and the
order do not.

The standard library's parsers have read the text before it is split here, so a few patterns for its parts are enough. A
syntax tree would not help: it knows less than the parsers do (tree-sitter's JSON has no 1e+6).
"""

from __future__ import annotations

import json
import re
import tomllib
from collections import deque
from dataclasses import field

from cortexctl.dataclass import dataclass
from cortexctl.diagnostics import error
from cortexctl.stack.document import UnreadableDocument, parse_document

WIDTH = 100
"""The most characters of a line. A longer array gets one item per line; the comment beside it does not count."""
INDENT = " " * 4
JSON_INDENT = " " * 2

_TOML_PART = re.compile(
    r'''\n | \#[^\n]* | [\[\]{},=]
        | """(?:\\.|[^\\])*?"{3,5} | \'\'\'.*?'{3,5} | "(?:\\.|[^"\\])*" | '[^']*'
        | [^\ \t\n\#\[\]{},="']+''',
    re.VERBOSE | re.DOTALL,
)
"""A line end, comment, punctuation mark, string, or a piece of a key or value without quotes. Up to two quotes of a
multi-line string can come right before its closing quotes.
"""
_JSON_PART = re.compile(r"""[\[\]{},:] | "(?:\\.|[^"\\])*" | [^\s\[\]{},:"]+""", re.VERBOSE)


@dataclass
class _Item:
    """The text between two commas. `key` ends with " = " in an inline table and is empty in an array."""

    above: list[str]
    key: str
    value: _Value
    beside: str = ""


@dataclass
class _Group:
    """An array or an inline table: `opens` is its bracket. An empty string among comments is a blank line."""

    opens: str
    beside: str = ""
    items: list[_Item] = field(default_factory=list)
    below: list[str] = field(default_factory=list)


_Value = str | _Group


def formatted(path: str, text: str) -> str:
    """The formatted text of a `.toml` or `.json` file; a formatted text does not change. A byte order mark is removed,
    and lines end with LF. An empty TOML file stays empty. Raises UnreadableDocument.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    is_json = path.endswith(".json")
    if not is_json and not text.strip(" \t\n"):
        return ""
    parse_document(path, text)
    try:
        laid_out = _json(_JSON_PART.findall(text)) if is_json else _toml(_toml_parts(text))
        same = _content(laid_out, is_json=is_json) == _content(text, is_json=is_json)
    except RecursionError:
        raise UnreadableDocument(error("CX101", f"{path} is nested too deeply to be formatted")) from None
    except ValueError:  # the new text cannot be read
        same = False
    if not same:
        raise UnreadableDocument(
            error(
                "CX101",
                f"{path} cannot be formatted without a change of its content",
                help="this is a bug in cortexctl; the file was not changed",
            )
        )
    return laid_out


def _content(text: str, *, is_json: bool) -> tuple[str, str]:
    """The content that must not change: the values in their order, and every character except blanks and commas.

    As text, because in text 1 is not 1.0 and nan is nan.
    """
    if is_json:
        return repr(json.loads(text)), "".join(_JSON_PART.findall(text))
    return repr(tomllib.loads(text)), "".join(part for part in _toml_parts(text) if part not in {",", "\n"})


def _toml_parts(text: str) -> deque[str]:
    return deque(_comment(part) if part[0] == "#" else part for part in _TOML_PART.findall(text))


def _comment(part: str) -> str:
    """A blank after the `#`; none in `#:schema`, `#!` and lines of `#`."""
    part = part.rstrip(" \t")
    return part if part[1:2] in {"", " ", "\t", "!", ":", "#"} else f"# {part[1:]}"


def _toml(parts: deque[str]) -> str:
    """Lines of keys, headers and comments. Comments right above a header belong to it."""
    entries: list[str] = []  # each one a line, or a value of several lines; an empty one is a blank line
    line_ends = 1
    while parts:
        part = parts.popleft()
        if part == "\n":
            line_ends += 1
            continue
        if part[0] == "#" and line_ends == 0:
            entries[-1] += f"  {part}"
            continue
        if line_ends > 1 and entries and not entries[-1].startswith("["):
            entries.append("")
        line_ends = 0
        if part[0] == "#":
            entries.append(part)
        elif part == "[":
            first = len(entries)
            while first and entries[first - 1].startswith("#"):
                first -= 1
            if first and entries[first - 1]:
                entries.insert(first, "")
            entries.append(_header(parts))
        else:
            parts.appendleft(part)
            key = _key(parts)
            entries.append(key + _laid_out(_value(parts), len(key), ""))
    return "".join(f"{entry}\n" for entry in entries)


def _header(parts: deque[str]) -> str:
    """The text from the first `[` to the last `]`."""
    depth = 1
    if parts[0] == "[":
        parts.popleft()
        depth = 2
    name = ""
    while parts[0] != "]":
        name += parts.popleft()
    for _ in range(depth):
        parts.popleft()
    return "[" * depth + name + "]" * depth


def _key(parts: deque[str]) -> str:
    """The key with its ` = `. A dotted key arrives in pieces if blanks or quotes separate it."""
    key = ""
    while (part := parts.popleft()) != "=":
        key += part
    return f"{key} = "


def _value(parts: deque[str]) -> _Value:
    if parts[0] in {"[", "{"}:
        return _group(parts)
    value = parts.popleft()
    while parts and parts[0][0] not in ",]}\n#":  # a date and its time of day
        value += f" {parts.popleft()}"
    return value


def _group(parts: deque[str]) -> _Group:
    """A comment on the line of an item, or of the bracket, stays beside it; other comments go above the next item."""
    group = _Group(parts.popleft())
    above: list[str] = []
    line_ends = 0
    while (part := parts.popleft()) not in {"]", "}"}:
        if part == "\n":
            line_ends += 1
            continue
        if part == ",":
            continue
        if part[0] == "#" and line_ends == 0:
            (group.items[-1] if group.items else group).beside = part
            continue
        if line_ends > 1 and (group.items or above):
            above.append("")
        line_ends = 0
        if part[0] == "#":
            above.append(part)
            continue
        parts.appendleft(part)
        key = _key(parts) if group.opens == "{" else ""
        group.items.append(_Item(above, key, _value(parts)))
        above = []
    group.below = above
    return group


def _laid_out(value: _Value, column: int, indent: str) -> str:
    """`column`: how many characters of the line are used. `indent`: that of the line on which the value begins."""
    flat = _on_one_line(value)
    if isinstance(value, str):
        return value
    if flat and (column + len(flat) <= WIDTH or not value.items):
        return flat
    return _inline_table(value, column, indent) if value.opens == "{" else _one_item_a_line(value, indent)


def _on_one_line(value: _Value) -> str:
    """Empty if that is impossible, because of a comment or a line end inside."""
    if isinstance(value, str):
        return "" if "\n" in value else value
    if value.beside or value.below or any(item.beside or any(item.above) for item in value.items):
        return ""
    items = [_on_one_line(item.value) for item in value.items]
    if not all(items):
        return ""
    inside = ", ".join(item.key + text for item, text in zip(value.items, items, strict=True))
    if value.opens == "[":
        return f"[{inside}]"
    return f"{{ {inside} }}" if inside else "{}"


def _inline_table(table: _Group, column: int, indent: str) -> str:
    """TOML keeps it on one line, except inside its values."""
    text = "{ "
    for number, item in enumerate(table.items, start=1):
        text += item.key
        after = ", " if number < len(table.items) else " }"
        _, broken, line = text.rpartition("\n")
        taken = len(line + after) if broken else column + len(line + after)
        text += _laid_out(item.value, taken, indent) + after
    return text


def _one_item_a_line(array: _Group, indent: str) -> str:
    inner = indent + INDENT
    lines = [_beside("[", array.beside)]
    for item in array.items:
        lines += [note and inner + note for note in item.above]
        lines.append(_beside(f"{inner}{_laid_out(item.value, len(inner) + 1, inner)},", item.beside))
    lines += [note and inner + note for note in array.below]
    return "\n".join([*lines, f"{indent}]"])


def _beside(line: str, comment: str) -> str:
    return f"{line}  {comment}" if comment else line


def _json(parts: list[str]) -> str:
    """As the standard library indents: one item per line, nothing inside an empty group."""
    pieces: list[str] = []
    depth = 0
    before = ""
    for part in parts:
        opened, closes = before in {"[", "{"}, part in {"]", "}"}
        depth += opened - closes
        if before == ":":
            pieces.append(" ")
        elif opened != closes or before == ",":
            pieces.append("\n" + JSON_INDENT * depth)
        pieces.append(part)
        before = part
    return "".join(pieces) + "\n"
