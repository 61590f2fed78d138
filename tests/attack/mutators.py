"""Changes to files and values, each chosen by a random.Random, so that a seed is a whole case.

Text is changed by byte, by token, by line, and as a file; values of JSON by their structure.
"""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tests.views import NASTY

TOKEN = re.compile(r"\w+|\s+|[^\w\s]")
DIGITS = "9" * 5000
CONTROLS = [
    "\x00",
    "\x07",
    "\x1b[2J",
    "\x1b]0;title\x07",
    "\x9b31m",
    "\x7f",
    "\u202e",
    "\u2066",
    "\u200f",
    "\r",
    "\x0c",
]

TOML_VALUES = [
    "0", "-1", "1", "2", "true", "false", "1.5", "-0.0", "nan", "inf", "-inf", "1e400", "9" * 30, DIGITS, "0x" + "f" * 4400,
    "0o" + "7" * 6000, "1979-05-27T07:32:00Z", "07:32:00", "1979-05-27", '""', "''", '" "', '"a/b"', '"../.."', '"*"', '"all"', '"none"',
    '"{{ vars.x }}"', '"a{{ vars.x }}b"', '"{{"', '"{% raw %}"', r'"\u0000"', r'"\u001b[2J"', r'"\u202e"', r'"\uD800"', r'"\U00110000"', "'''a\nb'''",
    '"' + "x" * 10_000 + '"', "[]", "{}", "[[]]", '[1, "a"]', "[{}]", "{ a = {} }", "[" * 300 + "]" * 300, "[" * 5000 + "]" * 5000,
    "{ a = " * 200 + "1" + " }" * 200, '"30 s"', '"-1s"', '"1e9h"', '"99999999999999999999d"', '"12 GiB"', '"1e30 GiB"', '"0 B"', "[0, 1]", "[0, 0]",
    "[-1]", '["0"]', "{ count = 2 }", "{ count = 99999999999999999999 }", '{ env = "HF_TOKEN" }', '{ file = "/nowhere" }', '{ var = "x" }',
    '{ path = "x" }', '{ repo = "a/b" }', '"127.0.0.1:0"', '"127.0.0.1:99999"', '"[::1]:80"', '"0.0.0.0:8000"', '"image:v0.32.0"', '"a:b:c@d"',
    "99_99", "+1", "1__0", ".5", "5.", "0b2", "#", "=", "[", "}",
]  # fmt: skip
TOKENS = [
    "stack", "models", "hosts", "env", "vars", "default", "secret", "profiles", "use", "replicas", "hosts.here", "image", "source", "gpus", "publish",
    "args", "extra_args", "secrets", "rollout", "gate", "hooks", "adopt", "moved_from", "keep", "protect", "strategy", "start_first", "canary",
    "max_unavailable", "max_failures", "[", "]", "{", "}", "=", ".", ",", '"', "'", '"""', "'''", "#", "\\", "[[", "]]", "\n", "\t", "0", "nan", "true",
]  # fmt: skip
JSON_VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 1.5, -0.0, float("nan"), float("inf"), float("-inf"), 10**30, -(10**30), 1e308, "", " ", "x", "0", "\x00", "\x1b[2J\x9b",
    "\u202e", "\ud800", "x" * 10_000, [], {}, [None], [[]], [{}], ["x"], [1, "x"], {"x": 1}, {"": None}, {"x": [1]}, "here", "replace", "1", 8192,
    2**31, 2**63, 2**64, {"v": 1}, *NASTY,
]  # fmt: skip
DEEP: list[Callable[[], Any]] = [
    lambda: nested(60),
    lambda: nested(300),
    lambda: nested(600),
    lambda: nested_tables(300),
]


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def nested_tables(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth):
        value = {"x": value}
    return value


# text


def by_byte(choose: random.Random, text: bytes) -> bytes:
    at = choose.randrange(len(text) + 1)
    length = choose.choice([1, 1, 1, 2, 5, 40])
    match choose.randrange(5):
        case 0:
            return text[:at] + text[at + length :]
        case 1:
            return text[:at] + bytes(choose.randrange(256) for _ in range(length)) + text[at:]
        case 2:
            return text[:at] + bytes([choose.randrange(256)]) + text[at + 1 :]
        case 3:
            return text[:at] + text[at : at + length] * choose.choice([2, 3, 50]) + text[at + length :]
        case _:
            return text[:at]


def by_token(choose: random.Random, text: str, others: Sequence[str]) -> str:
    tokens = TOKEN.findall(text)
    if not tokens:
        return choose.choice(others)
    at, other = choose.randrange(len(tokens)), choose.randrange(len(tokens))
    match choose.randrange(5):
        case 0:
            del tokens[at]
        case 1:
            tokens.insert(at, tokens[other])
        case 2:
            tokens[at], tokens[other] = tokens[other], tokens[at]
        case 3:
            tokens[at] = choose.choice([*others, *CONTROLS])
        case _:
            tokens.insert(at, choose.choice([*others, *CONTROLS]))
    return "".join(tokens)


def by_line(choose: random.Random, text: str, other: str) -> str:
    """`other`: a text that lines may come from."""
    lines, others = text.splitlines(keepends=True) or [""], other.splitlines(keepends=True) or [""]
    at, there = choose.randrange(len(lines)), choose.randrange(len(others))
    match choose.randrange(6):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, lines[choose.randrange(len(lines))])
        case 2:
            lines.insert(at, others[there])
        case 3:
            lines[at:at] = others[there : there + choose.randrange(1, 8)]
        case 4:
            swapped = choose.randrange(len(lines))
            lines[at], lines[swapped] = lines[swapped], lines[at]
        case _:
            del lines[at : at + choose.randrange(1, 8)]
    return "".join(lines)


def by_neighbour(choose: random.Random, text: str, other: str) -> str:
    """A value that the same key has in another text: what comes out is often right."""
    values: dict[str, list[str]] = {}
    for line in other.splitlines(keepends=True):
        if "=" in line and line.endswith("\n"):
            values.setdefault(line.partition("=")[0], []).append(line)
    lines = text.splitlines(keepends=True)
    shared = [n for n, line in enumerate(lines) if line not in values.get(line.partition("=")[0], [line])]
    if not shared:
        return by_line(choose, text, text)
    at = choose.choice(shared)
    lines[at] = choose.choice(values[lines[at].partition("=")[0]])
    return "".join(lines)


def by_value(choose: random.Random, text: str) -> str:
    """Another value after one of the equals signs, or another name before it."""
    lines = text.splitlines(keepends=True)
    settings = [n for n, line in enumerate(lines) if "=" in line and not line.startswith("#")]
    if not settings:
        return text + f"\nx = {choose.choice(TOML_VALUES)}\n"
    at = choose.choice(settings)
    name, _, value = lines[at].partition("=")
    if choose.random() < 0.15:
        lines[at] = f"{choose.choice(TOKENS)} = {value}"
    elif choose.random() < 0.1:
        lines[at] = lines[at] + f"{name.strip()}.more = {choose.choice(TOML_VALUES)}\n"
    else:
        lines[at] = f"{name}= {choose.choice(TOML_VALUES)}\n"
    return "".join(lines)


def as_file(choose: random.Random, text: bytes) -> bytes:
    """What an editor, a tool or an accident makes of a whole file."""
    match choose.randrange(9):
        case 0:
            return b"\xef\xbb\xbf" + text
        case 1:
            return text.replace(b"\n", b"\r\n")
        case 2:
            return text.replace(b"\n", b"\r")
        case 3:
            return text.decode("utf-8", "replace").encode(choose.choice(["utf-16", "utf-16-le", "utf-32", "utf-7"]))
        case 4:
            return text * choose.choice([2, 5])
        case 5:
            return text.rstrip(b"\n")
        case 6:
            return b"\x00" * choose.choice([1, 1000]) + text
        case 7:
            return text + b"x" * choose.choice([1, 100_000])
        case _:
            return text.replace(b" ", choose.choice([b"\t", b"\xc2\xa0", b"\x0b", b""]))


def mutated_toml(choose: random.Random, texts: Sequence[str]) -> bytes:
    """One of the texts, changed once to four times."""
    text = choose.choice(texts)
    for _ in range(choose.choice([1, 1, 1, 1, 2, 2, 3])):
        match choose.choices(range(4), [2, 2, 6, 3])[0]:
            case 0:
                text = by_line(choose, text, choose.choice(texts))
            case 3:
                text = by_neighbour(choose, text, choose.choice(texts))
            case 1:
                text = by_token(choose, text, TOKENS)
            case _:
                text = by_value(choose, text)
    raw = text.encode("utf-8", "surrogatepass")
    if choose.random() < 0.12:
        raw = by_byte(choose, raw)
    return as_file(choose, raw) if choose.random() < 0.06 else raw


# values


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values inside a value of JSON, itself included."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, below in inner:
        yield from places(below, (*path, step))


def mutated_json(choose: random.Random, value: Any, times: int, keep: Sequence[str] = ()) -> Any:
    """A copy, changed at up to `times` places. `keep`: top-level keys that stay."""
    value = copy.deepcopy(value)
    for number in range(times):
        ways = [way for way in places(value) if way and way[0] not in keep]
        if not ways:
            break
        # most paths are deep, so a depth is chosen first
        depth = choose.choice(sorted({len(way) for way in ways}))
        way = choose.choice([way for way in ways if len(way) == depth])
        if (
            number == times - 1 and choose.random() < 0.06
        ):  # only at the end, because this program cannot copy such a value
            at(value, way[:-1])[way[-1]] = choose.choice(DEEP)()
        else:
            _change(choose, value, way, ways)
    return value


def _change(choose: random.Random, value: Any, way: tuple[Any, ...], ways: Sequence[tuple[Any, ...]]) -> None:
    parent = at(value, way[:-1])
    key = way[-1]
    match choose.choices(range(5), [10, 2, 1, 1, 1])[0]:
        case 0:
            parent[key] = copy.deepcopy(choose.choice(JSON_VALUES))
        case 1:
            del parent[key]
        case 2:
            parent[key] = copy.deepcopy(at(value, choose.choice(ways)))
        case 3:
            if isinstance(parent, dict):
                parent[choose.choice(["x", "", "\x1b", "name", "\u202e", "0"])] = parent.pop(key)
            else:
                parent.insert(key, copy.deepcopy(parent[key]))
        case _:
            parent[key] = _of_another_type(parent[key])


def _of_another_type(value: Any) -> Any:
    if isinstance(value, str):
        return [value]
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, int | float):
        return str(value)
    return json.dumps(value, default=str)


def at(value: Any, way: Sequence[Any]) -> Any:
    for step in way:
        value = value[step]
    return value


def mutated_json_text(choose: random.Random, value: Any) -> bytes:
    """A value as a JSON file, changed as a value and perhaps as a text."""
    if choose.random() < 0.85:
        value = mutated_json(choose, value, choose.choice([1, 1, 2, 3]))
    text = json.dumps(value, indent=choose.choice([None, 2]), ensure_ascii=choose.random() < 0.5)
    if choose.random() < 0.3:
        text = by_token(
            choose, text, ['"', "{", "}", "[", "]", ",", ":", DIGITS, "1e999", r'"\ud800"', '"stack": "x",', "\\"]
        )
    if choose.random() < 0.1:  # a key twice
        pairs = re.findall(r'"\w+": (?:"[^"]*"|\d+)', text) or ['"x": 1']
        one = choose.choice(pairs)
        text = text.replace(one, f"{one}, {one}", 1)
    if choose.random() < 0.05:
        text = text.replace("[]", "[" * 100_000 + "]" * 100_000, 1)
    raw = text.encode("utf-8", "surrogatepass")
    return as_file(choose, raw) if choose.random() < 0.08 else raw
