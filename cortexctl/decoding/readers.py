"""Readers for single values, used by `Decoder`: from a plain JSON value to a typed one, or an error. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

LARGEST_NUMBER = 2**63 - 1
"""The largest absolute value of a typed number: the range that daemons and clocks use."""

Reader = Callable[[Any], Any]


class NotAsExpected(ValueError):
    """The problem: `expected` as text, and the place."""

    def __init__(self, expected: str, path: str = "") -> None:
        super().__init__(f"{path}: {expected}" if path else expected)
        self.expected = expected
        self.path = path

    def below(self, key: str | int) -> NotAsExpected:
        """The same error, with the path seen from one level higher."""
        step = f"[{key}]" if isinstance(key, int) else key[:60]
        dot = "." if self.path and not self.path.startswith("[") else ""
        return NotAsExpected(self.expected, f"{step}{dot}{self.path}")


def at(key: str | int, reader: Reader, value: Any) -> Any:
    try:
        return reader(value)
    except NotAsExpected as cause:
        raise cause.below(key) from None


def many(reader: Reader, *, null: bool = False) -> Reader:
    """A reader of lists, which become tuples. `null` may stand for an empty one."""

    def read(value: Any) -> Any:
        if value is None and null:
            return ()
        if type(value) not in {list, tuple}:
            raise NotAsExpected("a list is expected")
        if reader is text_of and set(map(type, value)) <= {str}:
            return tuple(value)
        return tuple([at(number, reader, v) for number, v in enumerate(value)])

    return read


def mapping(reader: Reader) -> Reader:
    """A reader of tables with any keys, whose values all have one type."""

    def read(value: Any) -> Any:
        if type(value) is not dict:
            raise NotAsExpected("a table is expected")
        if reader is text_of and set(map(type, value.values())) <= {str}:  # labels: there are many of them
            return dict(value)
        return {key: at(key, reader, v) for key, v in value.items()}

    return read


def table(
    needs: Mapping[str, Reader] | None = None, may: Mapping[str, Reader] | None = None, *, null: bool = False
) -> Reader:
    """A reader that checks a table and returns it unchanged. Keys in `needs` are required; those in `may` are null,
    absent or valid. `null` may stand for an empty table.
    """
    must, others = needs or {}, [(key, reader) for key, reader in (may or {}).items() if key not in (needs or {})]

    def read(value: Any) -> Any:
        if value is None and null:
            return {}
        if type(value) is not dict:
            raise NotAsExpected("a table is expected")
        for key, reader in must.items():
            if key not in value:
                raise NotAsExpected("it is missing", key)
            at(key, reader, value[key])
        for key, reader in others:
            item = value.get(key)
            if item is not None:
                at(key, reader, item)
        return value

    return read


def one_of(options: Sequence[Any], kind: Callable[[Any], Any] = lambda value: value) -> Reader:
    def read(value: Any) -> Any:
        if not any(type(value) is type(o) and value == o for o in options):
            raise NotAsExpected(f"one of these is expected: {', '.join(map(str, options))}")
        return kind(value)

    return read


def refusing(reader: Reader) -> Reader:
    def read(value: Any) -> Any:
        try:
            return reader(value)
        except NotAsExpected:
            raise
        except ValueError as cause:
            raise NotAsExpected(str(cause)[:200]) from None

    return read


def text_of(value: Any) -> str:
    """The value, which must be a text."""
    if type(value) is not str:
        raise NotAsExpected("a string is expected")
    return value


def _truth(value: Any) -> bool:
    if type(value) is not bool:
        raise NotAsExpected("true or false is expected")
    return value


def _integer(value: Any) -> int:
    if type(value) is not int or not -LARGEST_NUMBER <= value <= LARGEST_NUMBER:
        raise NotAsExpected("a whole number is expected")
    return value


def _number(value: Any) -> float:
    if type(value) not in {int, float} or not -LARGEST_NUMBER <= value <= LARGEST_NUMBER:
        raise NotAsExpected("a number is expected")
    number: float = value
    return number


def _anything(value: Any) -> Any:
    return value


PLAIN: dict[Any, Reader] = {str: text_of, bool: _truth, int: _integer, float: _number, Any: _anything}
