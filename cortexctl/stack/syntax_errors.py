"""A stack file that is not TOML or JSON: the place where the mistake begins, and what to write in place of it.

A parser stops where it understands nothing any more, which is often behind the mistake.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from cortexctl.diagnostics import Diagnostic, SourceSpan, error
from cortexctl.stack.suspicion import SECRET_WORD

_PLACE = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)")
_TWICE = re.compile(r"Cannot declare \((.*)\) twice")
_CURLY = str.maketrans(
    {"\u201c": '"', "\u201d": '"', "\u201e": '"', "\u2018": "'", "\u2019": "'", "\u00ab": '"', "\u00bb": '"'}
)
_BOOLEANS = {"true": "true", "false": "false", "yes": "true", "on": "true", "no": "false", "off": "false"}
_NULL = {"none", "null", "nil", "~"}
_KEY = r"[\w.\"'-]+"
_SETTING = re.compile(rf"\s*({_KEY})\s*=\s*(.*?)\s*$")
_YAML_SETTING = re.compile(rf"\s*(?:- )?({_KEY}):(?:\s+(.*?))?\s*$")
_BARE = re.compile(r"[\w.:/@+*~-]+")
_BARE_LIST = re.compile(rf"\[\s*((?:{_BARE.pattern}\s*,\s*)*{_BARE.pattern})\s*,?\s*\]")
_ESCAPES = {"'": re.compile(r"'"), '"': re.compile(r'"|\\.')}


def toml_error(path: str, text: str, message: str) -> Diagnostic:
    """`message`: the parser's."""
    match = _PLACE.search(message)
    lines = text.split("\n")
    if match and match[1]:
        line, column = int(match[1]), int(match[2])
    else:
        rest = text.rstrip("\n").split("\n")
        line, column = len(rest), len(rest[-1]) + 1
    plain = _PLACE.sub("", message)
    if twice := _TWICE.fullmatch(plain):
        return _declared_twice(path, text, line, column, re.findall(r"'([^']*)'", twice[1]))
    if first := _other_format(lines):
        summary, advice, at = first
        return error("CX101", summary, point(path, text, at, 1), help=advice)
    advice = _advice(lines[line - 1])
    if not advice and (opened := _open_at(lines, line, column)):
        bracket, at, start = opened
        if not lines[at - 1][: start - 1].strip():
            return error("CX101", f"not valid TOML: {plain}", point(path, text, line, column), help='end it with "]"')
        summary, advice = _not_closed(bracket, lines[at - 1])
        return error("CX101", summary, point(path, text, at, start), help=advice)
    return error("CX101", f"not valid TOML: {plain}", point(path, text, line, column), help=advice)


def json_error(path: str, text: str, cause: json.JSONDecodeError) -> Diagnostic:
    line = text.split("\n")[cause.lineno - 1]
    before, after = line[: cause.colno - 1].rstrip(), line[cause.colno - 1 :]
    advice = ""
    if after.startswith(("//", "#", "/*")):
        advice = "JSON has no comments; a stack in TOML has them"
    elif after.startswith("'"):
        advice = f"JSON puts texts into double quotes: {json.dumps(after[1:].partition(chr(39))[0])}"
    elif cause.msg.startswith("Expecting property name") or (
        cause.msg.startswith("Expecting value") and after[:1] == "]"
    ):
        advice = "JSON has no comma after the last item: remove it"
    elif before.endswith(("True", "False", "None")) or after.startswith(("True", "False", "None")):
        advice = "JSON's words are true, false and null"
    return error("CX101", f"not valid JSON: {cause.msg}", point(path, text, cause.lineno, cause.colno), help=advice)


def point(path: str, text: str, line: int, column: int) -> SourceSpan:
    """A place in a text that could not be parsed: text after a key that looks like a secret's is not shown."""
    lines = text.split("\n")
    shown = lines[line - 1] if line <= len(lines) else ""
    key, separator, value = shown.partition("=" if "=" in shown else ":")
    if separator and SECRET_WORD.search(key):
        shown = key + separator + " " + "*" * len(value.strip())
    return SourceSpan(path, line, column, column + 1, shown)


def _other_format(lines: list[str]) -> tuple[str, str, int] | None:
    """Another format than TOML, by the first line that is not a comment: (summary, fix, line)."""
    first = next(((n, s) for n, s in enumerate(lines, 1) if s.strip() and not s.lstrip().startswith("#")), None)
    if first is None:
        return None
    number, line = first
    if line.lstrip().startswith("{"):
        return "not valid TOML: this is JSON", "a stack in JSON is in a file whose name ends in .json", number
    if re.match(r"---\s*$", line) or (_YAML_SETTING.fullmatch(line) and "=" not in line):
        advice = (
            "a stack is TOML or JSON: cortexctl init writes one; cortexctl import HOST prints the entries of "
            "running containers, such as those of a Compose file"
        )
        return "not valid TOML: this is YAML", advice, number
    return None


def _declared_twice(path: str, text: str, line: int, column: int, parts: list[str]) -> Diagnostic:
    name = ".".join(parts)
    header = re.compile(r"\s*\[\s*" + r"\s*\.\s*".join(rf"[\"']?{re.escape(p)}[\"']?" for p in parts) + r"\s*\]")
    first = next((n for n, s in enumerate(text.split("\n"), 1) if n < line and header.match(s)), None)
    where = f", first in line {first}" if first else ""
    span = point(path, text, line, max(column - len(name) - 1, 1))
    return error("CX101", f"[{name}] is declared twice{where}", span, help="write all its keys below one [header]")


def _not_closed(bracket: str, line: str) -> tuple[str, str]:
    """(summary, fix) of a bracket that begins in this line."""
    if bracket == "[":
        return "not valid TOML: this list is not closed", 'write "]" after its last item, and a comma between items'
    setting = _SETTING.match(line)
    key = f"{setting[1]} = " if setting else ""
    return (
        "not valid TOML: a table in braces must end in the same line",
        f"write it on one line: {key}{{ … }}, without a comma at its end; or as a table of its own, below a [header]",
    )


def _open_at(lines: list[str], line: int, column: int) -> tuple[str, int, int] | None:
    """The innermost bracket that is open at the place, and that is never closed, or for a brace not in its line:
    (bracket, line, column).
    """
    waiting: list[tuple[str, int, int]] = []
    closed: dict[tuple[str, int, int], int] = {}
    before: list[tuple[str, int, int]] = []
    for bracket, at, position in _brackets(lines):
        if (at, position) <= (line, column):
            before = waiting[:]
        if bracket in "[{":
            waiting.append((bracket, at, position))
        elif waiting:
            closed[waiting.pop()] = at
        if (at, position) <= (line, column):
            before = waiting[:]
    for opened in reversed(before):
        end = closed.get(opened)
        if end is None or (opened[0] == "{" and end != opened[1]):
            return opened
    return None


def _brackets(lines: list[str]) -> Iterator[tuple[str, int, int]]:
    """Those of values, outside texts and comments: (bracket, line, column). A header of a table has none."""
    for number, line in enumerate(lines, 1):
        at = 0
        if (
            line.lstrip().startswith("[")
            and re.fullmatch(r"\s*\[.*\]\s*(#.*)?", line)
            and "=" not in line
            and "," not in line
        ):
            continue
        while at < len(line):
            letter = line[at]
            if letter == "#":
                break
            if letter in "'\"":
                end = next((m.end() for m in _ESCAPES[letter].finditer(line, at + 1) if m[0] == letter), len(line))
                at = end
                continue
            if letter in "[]{}":
                yield letter, number, at + 1
            at += 1


def _advice(line: str) -> str:
    """What to write in place of a line that no parser takes."""
    straight = line.translate(_CURLY)
    if straight != line:
        return _if_shown(line, f"write straight quotes: {straight.strip()}", "write straight quotes")
    setting = _SETTING.match(line)
    if setting is None:
        yaml = _YAML_SETTING.match(line)
        if yaml and yaml[2]:
            return _if_shown(
                line, f"write = between a key and its value: {yaml[1]} = {_quoted(yaml[2])}", "write KEY = VALUE"
            )
        return ""
    key, value = setting[1], setting[2].partition(" #")[0].rstrip()
    if value.lower() in _BOOLEANS:
        return f"write {key} = {_BOOLEANS[value.lower()]}"
    if value.lower() in _NULL:
        return f"TOML has no {value}: remove the line"
    if not value:
        return f"write a value after {key} ="
    if (items := _BARE_LIST.fullmatch(value)) and not value.startswith(("[[", "[]")):
        quoted = ", ".join(_quoted(item.strip()) for item in items[1].split(","))
        return _if_shown(line, f"put texts in quotes: {key} = [{quoted}]", "put texts in quotes")
    if _BARE.fullmatch(value):
        return _if_shown(line, f"put the text in quotes: {key} = {_quoted(value)}", "put the text in quotes")
    return ""


def _quoted(value: str) -> str:
    return value if value[:1] in "'\"[{" or re.fullmatch(r"-?\d+|true|false", value) else f'"{value}"'


def _if_shown(line: str, advice: str, without: str) -> str:
    """No advice repeats the value of a key that looks like a secret's."""
    return without if SECRET_WORD.search(re.split("[=:]", line, maxsplit=1)[0]) else advice
