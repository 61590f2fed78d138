"""Records of collectors and structured loggers: one line is a JSON object or a list of NAME=VALUE, and the message is
one of its fields.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cortexctl.dataclass import dataclass

LONGEST_RECORD = 64 << 10
"""The most characters of a record; a longer line is read as text."""
_MESSAGES = (
    *("log", "message", "msg", "MESSAGE", "textPayload", "jsonPayload", "fields", "line", "@message", "short_message"),
    *("event", "body", "text", "content", "_raw", "output", "data", "_source", "stringValue"),
)
"""Fields with the message, the most specific first."""
_EXCEPTIONS = ("exc_info", "exception", "exc_text", "stack_trace", "traceback", "full_message")
_LEVELS = ("levelname", "level", "lvl", "loglevel", "log_level", "level_name", "log.level")
_COLLECTED = ("severity", "PRIORITY", "priority", "syslog_severity", "detected_level")
"""Levels that many collectors derive from the stream, not from the message."""
_LOGGERS = frozenset(
    {"logger", "name", "logger_name", "module", "filename", "lineno", "pathname", "funcName", "caller"}
)
_WARNINGS = frozenset({"warning", "warn", "notice"})
_INFOS = frozenset({"info", "information", "informational", "debug", "trace", "verbose"})
_ERRORS = frozenset({"error", "err", "critical", "crit", "fatal", "severe", "panic", "alert", "emergency"})
_LEVEL_NUMBERS = {10: "info", 20: "info", 30: "warning", 40: "error", 50: "error"}
"""As Python numbers them."""
MOST_PAIRS = 64
_ESCAPED = frozenset({"22", "26", "27", "2b", "3c", "3d", "3e", "7f"})
"""Codes of the ASCII characters that writers of JSON escape for HTML."""


@dataclass(frozen=True, slots=True)
class Record:
    """`level`: "error", "warning", "info", or "" if the record names none."""

    message: str
    level: str


def record_in(text: str) -> Record | None:
    """The record that is the whole text; None if it is not a record with a message."""
    text = text.strip()
    if len(text) > LONGEST_RECORD or _hides_letters(text):
        return None
    if text.startswith("{") and text.endswith("}"):
        fields = _json(text)
    elif text.startswith(("time=", "ts=", "level=", "t=", "timestamp=")):
        fields = _pairs(text)
    else:
        return None
    fields = {**{name.lower(): value for name, value in fields.items()}, **fields}
    message = _message(fields)
    if message is None:
        return None
    details = [value for name in _EXCEPTIONS if isinstance(value := fields.get(name), str) and value not in message]
    return Record("\n".join((message, *details)), _level(fields))


def _hides_letters(text: str) -> bool:
    """Whether it escapes letters that no writer escapes: behind them a secret could pass the filter that the log has
    passed.
    """
    codes = (part[:2].lower() for part in text.split("\\u00")[1:])
    return any(code[:1] in set("234567") and code not in _ESCAPED for code in codes)


def _json(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _pairs(text: str) -> Mapping[str, Any]:
    """logfmt: time="…" level=warning msg="…". Empty if any part of the text is not a pair."""
    fields: dict[str, str] = {}
    rest = text
    while rest and len(fields) < MOST_PAIRS:
        name, _, rest = rest.partition("=")
        if not name or " " in name:
            return {}
        if rest.startswith('"'):
            end = _closing(rest)
            if not end:
                return {}
            fields[name], rest = _unescaped(rest[1:end]), rest[end + 1 :].lstrip()
        else:
            fields[name], _, rest = rest.partition(" ")
    return fields


def _closing(text: str) -> int:
    """The index of the quote that ends a quoted text; 0 if there is none."""
    end = text.find('"', 1)
    while end > 0:
        before = end
        while text[before - 1] == "\\":
            before -= 1
        if (end - before) % 2 == 0:
            return end
        end = text.find('"', end + 1)
    return 0


def _unescaped(quoted: str) -> str:
    try:
        value = json.loads(f'"{quoted}"')
    except ValueError:
        return quoted
    return value if isinstance(value, str) else quoted


def _message(fields: Mapping[str, Any]) -> str | None:
    for name in _MESSAGES:
        value = fields.get(name)
        if isinstance(value, dict):
            inner = next((value[key] for key in _MESSAGES if isinstance(value.get(key), str)), None)
            if inner is not None:
                return str(inner)
        elif isinstance(value, list) and value and all(isinstance(byte, int) and 0 <= byte <= 255 for byte in value):
            return bytes(value).decode("utf-8", "replace")  # journald, for a message with colours
        elif isinstance(value, str):
            return value
    return None


def _level(fields: Mapping[str, Any]) -> str:
    level = next((named for name in _LEVELS if (named := _named(fields.get(name)))), "")
    collected = next((named for name in _COLLECTED if (named := _named(fields.get(name)))), "")
    if level:
        return level
    return collected if collected == "warning" or not _LOGGERS.isdisjoint(fields) else ""


def _named(value: object) -> str:
    if isinstance(value, int):
        return _LEVEL_NUMBERS.get(value, "")
    word = value.lower() if isinstance(value, str) else ""
    for level, names in (("warning", _WARNINGS), ("info", _INFOS), ("error", _ERRORS)):
        if word in names:
            return level
    return ""
